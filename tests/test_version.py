"""The version is told in three places, which agree."""

import re
import tomllib
from pathlib import Path

from organbench.core.version import VERSION

ROOT = Path(__file__).parents[1]


def test_the_version_is_the_same_everywhere():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
    assert re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), flags=re.M)[1] == VERSION
