"""What several test files share: small volumes on disk, and the real CT that some tests can use."""

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import yaml

ROOT = Path(__file__).parents[1]


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
    return yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())


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
