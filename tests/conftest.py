"""What several test files share: small volumes on disk, and the real CT that some tests can use."""

import fcntl
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import yaml
from smoke import checkout, snakemake

from organbench.study.schema import load

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]


@pytest.fixture
def real_data():
    """The folder with openkbp/ and torso/, which is no part of the project."""
    folder = os.environ.get("ORGANBENCH_REAL_DATA")
    if not folder:
        pytest.skip("ORGANBENCH_REAL_DATA names no folder with real CT")
    return Path(folder)


@pytest.fixture(scope="session")
def defaults():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.fixture(scope="session")
def schema():
    return load(ROOT / "workflow" / "schemas" / "config.schema.yaml")


@pytest.fixture
def write_image(tmp_path):
    """Write an array (z y x) as an image file, and give its path."""

    def write(name, array, *, spacing=None, origin=None, direction=None, vector=False):
        image = sitk.GetImageFromArray(np.asarray(array), isVector=vector)
        if spacing is not None:
            image.SetSpacing(spacing)
        if origin is not None:
            image.SetOrigin(origin)
        if direction is not None:
            image.SetDirection(np.ravel(direction).tolist())
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(image, str(path))
        return path

    return write


@pytest.fixture
def full_disk():
    """Files of at most 4 KB can be written, which fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="session")
def browser():
    """A real Chromium without a window."""
    if not CHROMIUM:
        pytest.skip("there is no Chromium; on Debian: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def smoke_study(tmp_path_factory):
    """The finished smoke study, made by whichever process of the tests comes first; copy it before you change it."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with (folder / "smoke.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "smoke_study.whole").exists():
            shutil.rmtree(folder / "smoke_study", ignore_errors=True)
            (folder / "smoke_study").mkdir()
            code, output = snakemake(checkout(folder / "smoke_study"))
            assert code == 0, output[-3000:]
            (folder / "smoke_study.whole").touch()
    return folder / "smoke_study"
