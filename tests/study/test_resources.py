"""What jobs ask for follows from the size of their scans, and never stops the workflow from being parsed."""

import dataclasses
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from tiny import examples, settings_of

from organbench.data.grids import Grid
from organbench.inference.settings import Prediction
from organbench.study import resources
from organbench.study.resources import USUAL, Scan
from organbench.study.settings import Network

SIZES = st.tuples(*[st.integers(1, 600)] * 3)
SPACINGS = st.tuples(*[st.floats(0.3, 6.0)] * 3)
UNET = Network(
    {"network": "unet", "dims": 2, "features": [16, 32, 64, 128, 256]},
    settings_of(steps=400, batch_size=14, patch=[96, 96], context=1),
)
UNET_3D = Network(
    {"network": "unet", "dims": 3, "features": [16, 32, 64]},
    settings_of(steps=400, batch_size=2, patch=[64, 96, 96], context=0),
)
PREDICTION = Prediction(overlap=0.5, mirror=False, smallest_part=0.0, keep_largest=())


def predict(scan, *members, classes=7, gpu=False):
    return resources.predict(scan, (None, None, 3.0), members, PREDICTION, classes=classes, gpu=gpu)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_scans_grid_is_read_from_its_header(write_image, name):
    path = write_image(name, np.zeros((5, 7, 11), np.float32), spacing=(0.5, 0.75, 2.5))
    assert resources.scan(path) == Scan((11, 7, 5), (0.5, 0.75, 2.5))


def test_a_header_with_the_other_byte_order_is_read(tmp_path):
    header = bytearray(348)
    struct.pack_into(">i", header, 0, 348)
    struct.pack_into(">3h", header, 42, 11, 7, 5)
    struct.pack_into(">3f", header, 80, 0.5, -0.75, 2.5)
    (tmp_path / "a.nii").write_bytes(header)
    assert resources.scan(tmp_path / "a.nii") == Scan((11, 7, 5), (0.5, 0.75, 2.5))


@pytest.mark.parametrize(
    "change", [(0, "<i", 1), (42, "<3h", 0, 7, 5), (42, "<3h", 32767, 32767, 32767), (80, "<3f", 1, float("nan"), 1)]
)
def test_a_header_that_cannot_be_true_counts_as_none(write_image, change):
    path = write_image("a.nii", np.zeros((5, 7, 11), np.int16))
    content = bytearray(path.read_bytes())
    struct.pack_into(change[1], content, change[0], *change[2:])
    path.write_bytes(content)
    assert resources.scan(path) == USUAL


def test_a_scan_that_is_not_there_yet_is_looked_for_again(write_image, tmp_path):
    assert resources.scan(tmp_path / "late.nii.gz") == USUAL
    assert resources.scan(write_image("late.nii.gz", np.zeros((5, 7, 11), np.int16))).size == (11, 7, 5)


def test_a_file_that_is_no_volume_counts_as_none(tmp_path):
    for name, content in (("a.nii.gz", b"no gzip"), ("a.nii", b""), ("a.nrrd", b"NRRD0004\n" + b"x" * 400)):
        (tmp_path / name).write_bytes(content)
        assert resources.scan(tmp_path / name) == USUAL


@examples(50)
@given(SIZES, SPACINGS, st.tuples(*[st.none() | st.floats(0.5, 8.0)] * 3))
def test_the_working_grid_is_that_of_conversion(size, spacing, wanted):
    image = sitk.Image([1, 1, 1], sitk.sitkUInt8)
    image.SetSpacing(spacing)
    grid = Grid(size, spacing, image.GetOrigin(), image.GetDirection()).with_spacing(wanted)
    assert Scan(size, spacing).at(wanted).size == grid.size


@examples(50)
@given(SIZES, st.integers(2, 60))
def test_more_asks_for_more(size, classes):
    small, large = Scan(size, (1.0, 1.0, 1.0)), Scan((2 * size[0], 2 * size[1], 2 * size[2]), (1.0, 1.0, 1.0))
    pairs = [
        (predict(small, UNET), predict(large, UNET)),
        (predict(small, UNET_3D, classes=classes), predict(small, UNET_3D, classes=classes + 30)),
        (predict(small, UNET), predict(small, UNET, UNET)),
        (resources.convert(small, (None,) * 3), resources.convert(large, (None,) * 3)),
        (resources.evaluate(small, classes=classes), resources.evaluate(large, classes=classes)),
        (resources.show(small, classes=classes, models=2), resources.show(small, classes=classes, models=9)),
        *(
            (
                resources.train([small], [small], UNET, classes=classes, gpu=gpu),
                resources.train([small, large], [large], UNET, classes=classes, gpu=gpu),
            )
            for gpu in (False, True)
        ),
    ]
    for less, more in pairs:
        assert 0 < less["mem_mb"] <= more["mem_mb"]
        assert 0 < less["runtime"] <= more["runtime"]


def test_classes_take_memory():
    """Of a scan large enough to tell; little ones are rounded up to the same."""
    few, many = (predict(Scan((512, 512, 300), (1.0, 1.0, 1.0)), UNET, classes=classes) for classes in (2, 60))
    assert few["mem_mb"] < many["mem_mb"]


@pytest.mark.parametrize(
    ("network", "trained", "times"),
    [
        *[(UNET, [], 1), (UNET, ["y"], 2), (UNET, ["z"], 1), (UNET, ["x", "y", "z"], 4)],
        *[(UNET_3D, ["z"], 2), (UNET_3D, ["x", "y", "z"], 8)],
    ],
)
def test_a_mirrored_prediction_takes_as_long_as_the_flips_that_it_averages(network, trained, times):
    settings = network.training
    flipped = dataclasses.replace(settings, augmentation=dict(settings.augmentation) | {"flip": trained})
    network, scan = Network(network.options, flipped), Scan((512, 512, 900), (0.7, 0.7, 1.0))
    plain, mirrored = (
        resources.predict(
            scan, (None,) * 3, [network], dataclasses.replace(PREDICTION, mirror=mirror), classes=1, gpu=False
        )["runtime"]
        for mirror in (False, True)
    )
    without = 10 + scan.voxels / 5e6 / 60  # minutes
    assert mirrored - without == pytest.approx(times * (plain - without), abs=times + 1)
    assert mirrored >= plain


def test_a_gpu_takes_the_activations_and_the_time():
    scan = Scan((512, 512, 300), (0.8, 0.8, 1.5))
    large = Network(UNET.options | {"features": [64, 1024]}, dataclasses.replace(UNET.training, batch_size=32))
    on_cpu, on_gpu = (resources.train([scan], [], large, classes=7, gpu=gpu) for gpu in (False, True))
    assert on_cpu["mem_mb"] > on_gpu["mem_mb"]
    assert on_cpu["runtime"] > on_gpu["runtime"]


@pytest.mark.parametrize(
    ("asked", "used_mb"),
    [
        (lambda scan: resources.convert(Scan((512, 512, 133), (0.7, 0.7, 2.5)), (1.5, 1.5, 1.5)), 555),
        (lambda scan: predict(scan, UNET, classes=7), 2228),
        (lambda scan: predict(scan, UNET, classes=14), 2279),
        (lambda scan: resources.evaluate(scan, classes=2), 1511),
    ],
    ids=["convert", "predict 7", "predict 14", "evaluate"],
)
def test_a_scan_of_full_size_fits_and_does_not_waste(asked, used_mb):
    """Against what benchmarks/README.md measured, the largest scans of 512 x 512 x 900 voxels."""
    mem_mb = asked(Scan((512, 512, 900), (0.7, 0.7, 1.0)))["mem_mb"]
    assert 1.2 * used_mb < mem_mb < 3 * used_mb
