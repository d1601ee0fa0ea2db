"""Masks, their outlines, and masks again: exact, whatever the mask."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from organbench.data.dicom import contours

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14)))
SQUARE = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 3.0], [0.0, 3.0]])


def ring(size=12):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return (np.hypot(x, y) < 0.48 * size) & (np.hypot(x, y) > 0.25 * size)


@settings(deadline=None, max_examples=150)
@given(MASKS)
def test_a_mask_comes_back_from_its_outlines(mask):
    found = contours.outlines(mask)
    assert (contours.filled(found, mask.shape) == mask).all()
    assert sum(contours.area(line) > 0 for line in found) >= mask.any()
    for line in found:
        assert len(line) >= 4
        assert len(contours.corners(line)) == len(line)  # no point lies on a straight line between others
        assert (2 * line == np.round(2 * line)).all()
        assert not (line == np.round(line)).all(axis=1).any()  # a centre


@settings(deadline=None, max_examples=150)
@given(MASKS)
def test_keyholes_enclose_the_same_by_any_rule(mask):
    found = contours.keyholes(contours.outlines(mask))
    assert all(contours.area(line) > 0 for line in found)
    assert (contours.filled(found, mask.shape) == mask).all()
    each = [contours.filled([line], mask.shape) for line in found]
    assert (np.logical_or.reduce([np.zeros_like(mask), *each]) == mask).all()
    assert np.add.reduce(each, initial=0, dtype=int).max(initial=0) <= 1


@settings(deadline=None, max_examples=100)
@given(MASKS, st.integers(-3, 3), st.randoms())
def test_order_direction_and_start_of_polygons_do_not_matter(mask, turn, random):
    found = [np.roll(line, turn, axis=0)[:: random.choice([1, -1])] for line in contours.outlines(mask)]
    random.shuffle(found)
    found = [np.concatenate([line, line[:1]]) for line in found]  # closed by its first point, as some programs write it
    assert (contours.filled(found, mask.shape) == mask).all()


@pytest.mark.parametrize("noise", [0, 1e-4, 1e-3])
def test_points_rounded_as_files_round_them(noise):
    rng = np.random.default_rng(1)
    mask = rng.random((40, 30)) < 0.5
    for found in (contours.outlines(mask), contours.keyholes(contours.outlines(mask))):
        moved = [line + rng.uniform(-noise, noise, line.shape) for line in found]
        assert (contours.filled(moved, mask.shape) == mask).all()


def test_holes_islands_in_holes_and_diagonal_neighbours():
    mask = np.zeros((9, 9), bool)
    mask[1:8, 1:8] = True
    mask[2:7, 2:7] = False
    mask[4, 4] = mask[3, 3] = True
    found = contours.outlines(mask)
    assert sorted(np.sign([contours.area(line) for line in found])) in ([-1, 1, 1], [-1, 1, 1, 1])
    assert (contours.filled(found, mask.shape) == mask).all()


def test_outlines_of_a_voxel_and_of_a_block():
    mask = np.zeros((3, 4), bool)
    mask[1, 2] = True
    assert contours.area(contours.outlines(mask)[0]) == 0.5
    (line,) = contours.outlines(np.ones((4, 6), bool))  # at the border, too
    assert len(line) == 8
    assert (line.min(axis=0).tolist(), line.max(axis=0).tolist()) == ([-0.5, -0.5], [5.5, 3.5])


def test_edges_through_centres_count_once():
    """Two squares side by side share the centres on their common edge between them; none is lost or counted twice."""
    left, right = (contours.filled([SQUARE + np.array([shift, 1])], (6, 10)) for shift in (1, 4))
    assert left.sum() == right.sum() == 9
    assert not (left & right).any()
    shaken = SQUARE + np.random.default_rng(0).uniform(-1e-9, 1e-9, SQUARE.shape)
    assert (contours.filled([shaken + 1], (6, 10)) == left).all()


def test_sub_voxel_edges_go_by_the_centre():
    assert contours.filled([SQUARE / 3 * 0.8 + 0.6], (3, 3)).sum() == 1
    assert contours.filled([SQUARE / 3 * 0.8 + 0.1], (3, 3)).sum() == 0
    assert contours.filled([SQUARE / 3 * 1.2 + 0.9], (4, 4)).sum() == 4


def test_what_lies_outside_is_cut_off():
    assert contours.filled([SQUARE * 100 - 150], (5, 7)).all()
    assert not contours.filled([SQUARE - 10], (5, 7)).any()
    assert contours.filled([SQUARE * [1, 1e6] - [0.5, 5e5]], (5, 7)).sum() == 15


@pytest.mark.parametrize("count", [0, 1, 2])
def test_polygons_of_few_points_enclose_nothing(count):
    assert not contours.filled([SQUARE[:count]], (5, 5)).any()
    assert contours.filled([SQUARE[:count], SQUARE], (5, 5)).sum() == 9
    assert contours.filled([], (5, 5)).shape == (5, 5)


def test_a_ring_and_many_crossings_in_parts(monkeypatch):
    mask = ring()
    monkeypatch.setattr(contours, "CROSSINGS", 5)
    assert (contours.filled(contours.outlines(mask), mask.shape) == mask).all()
    volume = np.stack([mask, ~mask, np.zeros_like(mask)])
    found = [(z, line) for z, layer in enumerate(volume) for line in contours.outlines(layer)]
    assert (contours.stacked([line for _, line in found], [z for z, _ in found], volume.shape) == volume).all()
