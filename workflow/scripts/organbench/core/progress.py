"""How far a command is, for whoever looks at its terminal; nothing is said to files and other programs."""

import datetime
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

WIDTH = 30
BLINK = 0.1  # seconds from one drawing to the next


class Bar:
    """A bar that grows in one line.

    Args:
        what: is done, in a word or two at the start of the line.
        total: parts that there are.
        stream: where it is drawn, if that is a terminal.
    """

    def __init__(self, what: str, total: int, stream: TextIO) -> None:
        self.what, self.total, self.stream = what, max(total, 1), stream
        self.done, self.started, self.drawn = 0, time.monotonic(), 0.0

    def advance(self, parts: int) -> None:
        """Some more parts are done."""
        self.done += parts
        now = time.monotonic()
        if self.stream.isatty() and (now - self.drawn >= BLINK or self.done >= self.total):
            self.drawn = now
            share = min(1.0, self.done / self.total)
            left = datetime.timedelta(seconds=round((now - self.started) * (1 / share - 1))) if share else ""
            full = round(WIDTH * share)
            bar = "#" * full + "-" * (WIDTH - full)
            self.stream.write(f"\r\033[K{self.what} [{bar}] {share:4.0%} {left} left")
            self.stream.flush()

    def clear(self) -> None:
        """Take the bar off its line."""
        if self.stream.isatty():
            self.stream.write("\r\033[K")
            self.stream.flush()


@contextmanager
def bar(what: str, total: int, stream: TextIO | None = None) -> Iterator[Bar]:
    """A bar on standard error, which is gone after the block."""
    drawn = Bar(what, total, stream or sys.stderr)
    try:
        yield drawn
    finally:
        drawn.clear()
