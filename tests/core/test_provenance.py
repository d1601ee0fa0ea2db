"""Code is followed by its imports, and compared by what it does."""

import pytest

from organbench.core import provenance

CODE = '''"""What it is for."""
import math
from a.b import (
    one,
    two,
)


class Shape:
    """A shape."""

    def area(self, size: float) -> float:
        """Its area, mm2."""
        return math.pi * size ** 2  # a circle
'''
SAME = """from a.b import two, one
import math



class Shape:
    # nothing is said of it
    def area(
        self, size: float,
    ) -> float:
        return (math.pi * size**2)
"""


@pytest.fixture
def house(tmp_path):
    """Write files and give the folder they are in; nothing of earlier files is remembered."""

    def write(files=(), **others):
        for name, text in {**dict(files), **others}.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for known in (provenance.tree, provenance.file_fingerprint, provenance.imported):
            known.cache_clear()
        return tmp_path

    yield write
    for known in (provenance.tree, provenance.file_fingerprint, provenance.imported):
        known.cache_clear()


def test_comments_docstrings_format_and_the_order_of_imports_say_nothing(house):
    first = provenance.fingerprint([house(code=CODE) / "code.py"], house())
    assert provenance.fingerprint([house(code=SAME) / "code.py"], house()) == first


@pytest.mark.parametrize(
    ("old", "new"), [("** 2", "** 3"), ("size:", "width:"), ("one,", "three,"), ("math.pi", "1.0 * math.pi")]
)
def test_what_code_does_is_compared(house, old, new):
    first = provenance.fingerprint([house(code=CODE) / "code.py"], house())
    assert provenance.fingerprint([house(code=CODE.replace(old, new)) / "code.py"], house()) != first


def test_a_files_name_counts_and_its_place_does_not(house):
    folder = house(code=CODE, other=CODE)
    assert provenance.fingerprint([folder / "code.py"], folder) != provenance.fingerprint([folder / "other.py"], folder)


def test_imports_are_followed_from_file_to_file(house):
    folder = house(
        {
            "script": "from lib.a import thing\nimport lib.b\nimport json",
            "lib/__init__": "SAID = 1",
            "lib/a": "def thing():\n    from lib import c\n",
            "lib/b": "from . import d\nfrom .sub import e",
            "lib/c": "",
            "lib/d": "from .sub.e import X",
            "lib/sub/__init__": "from ..other import Y",
            "lib/sub/e": "X = 1",
            "lib/other": "Y = 1",
            "lib/unused": "",
        }
    )
    found = provenance.followed(folder / "script.py", root=folder)
    names = {path.relative_to(folder).as_posix() for path in found}
    assert names == {"script.py", *(f"lib/{name}.py" for name in ("a", "b", "c", "d", "sub/e"))}


def test_a_relative_import_that_leads_out_is_refused_in_one_line(house):
    folder = house({"lib/a": "from ... import thing"})
    with pytest.raises(ImportError, match=r"lib/a.py, line 1: this relative import leads out of .*; name the module"):
        provenance.followed(folder / "lib/a.py", root=folder)


def test_a_name_that_a_package_defines_counts_its_init(house):
    folder = house({"script": "from lib import SAID", "lib/__init__": "SAID = 1"})
    assert provenance.followed(folder / "script.py", root=folder) == [folder / "lib/__init__.py", folder / "script.py"]
