"""A scan that is unlike those in training is told apart, and one like them is not."""

import pytest

from organbench.data import ranges
from organbench.data.grids import STRAIGHT, Grid


def info(spacing, size, p50):
    oriented = {"size": size, "spacing": spacing, "origin": (0, 0, 0), "direction": STRAIGHT}
    return {
        "oriented": oriented,
        "hu": {"volume": {"mean": 0.0, "std": 1.0, "p0.5": -1000.0, "p50": p50, "p99.5": 300.0}},
    }


KNOWN = ranges.of_cases([info((1, 1, 3), (400, 400, 100), -900.0), info((0.8, 0.8, 5), (512, 512, 50), -700.0)])


def test_ranges_are_those_of_all_cases():
    assert KNOWN["spacing_x_mm"] == (0.8, 1)
    assert KNOWN["extent_z_mm"] == (250, 300)
    assert KNOWN["p50_hu"] == (-900, -700)
    assert set(KNOWN) == {f"{what}_{axis}_mm" for what in ("spacing", "extent") for axis in "xyz"} | {
        f"p{p}_hu" for p in ("0.5", "50", "99.5")
    }


@pytest.mark.parametrize(
    ("spacing", "size", "p50", "words"),
    [
        ((1, 1, 3), (400, 400, 100), -900.0, []),
        ((1.05, 1.05, 5.4), (400, 400, 50), -990.0, []),  # a little outside may be chance
        ((1, 1, 1), (400, 400, 280), -800.0, ["spacing along the patient 1 mm, in training 3 to 5"]),
        ((1, 1, 5), (400, 400, 8), -800.0, ["field of view along the patient 40 mm, in training 250 to 300"]),
        ((1, 1, 3), (200, 400, 100), -800.0, ["field of view left to right 200 mm, in training 400 to 410"]),
        ((1, 1, 3), (400, 400, 100), 40.0, ["50 % of its voxels are below 40 HU, in training -900 to -700"]),
    ],
)
def test_what_lies_outside_is_told_in_words(spacing, size, p50, words):
    case = info(spacing, size, p50)
    scan = ranges.of_scan(Grid.from_json(case["oriented"]), case["hu"]["volume"])
    assert ranges.outside(scan, KNOWN) == words


def test_quantities_that_a_newer_version_knows_are_left_alone():
    assert ranges.outside({"spacing_x_mm": 1.0}, {"kernel_sharpness": (0, 1)}) == []
