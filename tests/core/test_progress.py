"""A bar is for a terminal; a file gets nothing of it."""

import io

from organbench.core.progress import bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_sees_a_bar_that_is_gone_at_the_end():
    terminal = Terminal()
    with bar("patient", 4, terminal) as drawn:
        drawn.advance(1)
        drawn.advance(3)
    told = terminal.getvalue()
    assert "patient [" in told
    assert "100%" in told
    assert told.endswith("\r\033[K")
    assert "\n" not in told


def test_what_is_no_terminal_sees_nothing():
    stream = io.StringIO()
    with bar("patient", 0, stream) as drawn:
        drawn.advance(7)
    assert stream.getvalue() == ""
