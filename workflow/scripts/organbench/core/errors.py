"""The exceptions that a job ends with in one line, and the words of such lines."""

import difflib
from collections.abc import Iterable


class StoppedError(BaseException):
    """The job was asked to end and has left behind what it needs to go on; no error that someone might handle."""


class InputError(ValueError):
    """Something the user can mend: the message is one line that names the file or key, what is wrong and what to do."""


class DivergedError(InputError):
    """A training whose loss is no number any more: other settings, such as a lower learning rate, may mend it."""


def plain(value: object) -> str:
    """A value in a line of text: cut, and quoted where it would break the line."""
    text = str(value)
    return text[:80] if text.isprintable() else repr(text[:80])


def suggestion(name: str, known: Iterable[str], otherwise: str) -> str:
    """Which known name was meant by one that is not known; another hint where none is like it."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}?" if near else otherwise
