"""What tests of the whole workflow share."""

import fcntl
import os

import pytest
from smoke import checkout, snakemake


@pytest.fixture(scope="session")
def smoke_study(tmp_path_factory):
    """The finished smoke study, made by whichever process of the tests comes first; copy it before you change it."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with (folder / "smoke.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "smoke_study.whole").exists():
            (folder / "smoke_study").mkdir(exist_ok=True)
            code, output = snakemake(checkout(folder / "smoke_study"))
            assert code == 0, output[-3000:]
            (folder / "smoke_study.whole").touch()
    return folder / "smoke_study"
