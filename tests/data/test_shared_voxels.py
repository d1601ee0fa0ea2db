"""Structures that overlap, as a label map: the first named has the voxels, and what others lose is told."""

import numpy as np
import pytest
from dicoms import write_series, write_structures
from geometry import grid
from hypothesis import given
from hypothesis import strategies as st
from tiny import examples

from organbench.data import references, slicer
from organbench.data.shared_voxels import label_map
from organbench.data.structures import Frame

SHAPE = (3, 4, 5)  # z y x
PLAIN = grid(SHAPE[::-1], (1.0, 2.0, 2.5), (0.0, 0.0, 0.0))


def boxes():
    """Three structures along x that overlap one another, the largest of which is named first, and an empty one."""
    found = {name: np.zeros(SHAPE, bool) for name in ("body", "liver", "never", "vessel")}
    found["body"][:, :, :4], found["liver"][:2, :2, 2:5], found["vessel"][1, :, 3:] = True, True, True
    return found


@examples(60)
@given(st.integers(1, 6), st.integers(0, 99))
def test_each_voxel_is_of_the_first_that_has_it(count, seed):
    masks = {str(k): mask for k, mask in enumerate(np.random.default_rng(seed).random((count, *SHAPE)) < 0.4)}
    found = label_map(masks.items(), SHAPE)
    stacked = np.array([*masks.values()])
    np.testing.assert_array_equal(found.labels, np.where(stacked.any(axis=0), stacked.argmax(axis=0) + 1, 0))
    assert found.labels.dtype == np.uint8
    for label, (name, mask) in enumerate(masks.items(), start=1):
        kept = int((found.labels == label).sum())
        assert found.sizes[name] == mask.sum()
        assert sum(n for (_, loser), n in found.lost.items() if loser == name) == mask.sum() - kept
        assert (label in found.drawn) == (kept < mask.sum())
    for label, mask in found.drawn.items():
        np.testing.assert_array_equal(mask, stacked[label - 1])


def test_what_each_lost_is_told_in_one_line():
    masks = boxes()
    told = label_map(masks.items(), SHAPE).told(0.005)
    assert told == (
        "structures overlap, of which the first named has the voxels in the label map: "
        "liver (0.06 ml) lost 8 voxels (0.04 ml) to body, "
        "vessel (0.04 ml) lost 4 voxels (0.02 ml) to body and 2 voxels (0.01 ml) to liver"
    )
    assert label_map([("body", masks["body"])], SHAPE).told(0.005) == ""
    assert label_map([], SHAPE).told(0.005) == ""


@pytest.mark.parametrize("kind", ["rtstruct", "seg", "seg.nrrd"])
def test_a_study_takes_its_own_order_whatever_that_of_the_file(tmp_path, kind):
    write_series(tmp_path / "ct", np.zeros(SHAPE, int), PLAIN)
    frame, masks = Frame.of(tmp_path / "ct"), {name: mask for name, mask in boxes().items() if mask.any()}
    path = tmp_path / f"a.{kind}"
    if kind == "seg":
        pytest.importorskip("highdicom", reason="requirements-seg.txt is not installed")
        from organbench.data.dicom import seg, series

        seg.write(masks, series.find(tmp_path / "ct"), path, colors={}, algorithm="test", version="1")
    elif kind == "rtstruct":
        write_structures(tmp_path / "ct", masks, path)
    else:
        slicer.write(masks, frame.grid, path, colors={})
    for order in (["vessel", "liver", "body"], ["body", "liver", "vessel"]):
        found = references.read(path, frame, {name: [name] for name in order})
        expected = label_map([(name, masks[name]) for name in order], SHAPE)
        np.testing.assert_array_equal(found.labels, expected.labels)
        assert found.overlaps == expected.told(frame.grid.voxel_ml)
        assert dict(found.lost) == dict(expected.lost)
        for index, name in enumerate(order, start=1):  # as drawn
            own = found.drawn.get(index, found.labels == index)
            np.testing.assert_array_equal(own, masks[name])
