"""Parts of pages that are written by programs, between two lines that mark them."""

import re
from pathlib import Path

END = "<!-- end -->\n"


def replace(page: Path, begin: str, text: str) -> None:
    """Put a text between the line `begin` and the next `END` of a page.

    Raises:
        SystemExit: the page has no such place.
    """
    found = re.compile(re.escape(begin) + ".*?" + re.escape(END), re.S)
    content = page.read_text()
    if not found.search(content):
        raise SystemExit(f"{page}: has no place between {begin.strip()!r} and {END.strip()!r}")
    page.write_text(found.sub(lambda _: begin + text + END, content))


def between(page: Path, begin: str) -> str:
    """What stands between the line `begin` and the next `END` of a page."""
    return page.read_text().partition(begin)[2].partition(END)[0]
