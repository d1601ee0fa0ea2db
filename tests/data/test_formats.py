"""A format of files is a module in `formats`: it is read, and its code counts, without being named elsewhere."""

import pytest
from conftest import ROOT

from organbench.core import provenance
from organbench.core.errors import InputError
from organbench.data import formats

SCRIPTS = ROOT / "workflow" / "scripts"


def followed(script):
    return {path.name for path in provenance.followed(SCRIPTS / script, root=SCRIPTS) if "formats" in path.parts}


def test_every_format_has_suffixes_of_its_own():
    suffixes = [suffix for known in formats.FORMATS for suffix in known.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert {"NIfTI", "MetaImage", "NRRD"} <= {known.name for known in formats.FORMATS}


def test_a_file_of_no_known_format_is_told_which_there_are(tmp_path):
    (tmp_path / "volume.dcm").write_bytes(bytes(400))
    with pytest.raises(InputError, match=r"no NIfTI file, nor named as .*MetaImage.* \(.*\.mha .mhd.*\)"):
        formats.read_header(tmp_path / "volume.dcm")


def test_the_code_of_every_format_shapes_conversion_but_no_weights():
    assert {"nifti.py", "metaimage.py", "nrrd.py"} < followed("convert.py")
    assert followed("train.py") == {"kind.py"}  # constants
