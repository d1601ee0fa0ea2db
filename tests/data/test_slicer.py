"""Segmentations of 3D Slicer: names decide, layers overlap, and what is written comes back to the last voxel."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk
from geometry import grid, rotation

from organbench.core.errors import InputError
from organbench.data import slicer
from organbench.data.formats import text
from organbench.data.grids import Grid

SIZE = (7, 5, 6)  # x y z
GRID = grid(SIZE, (0.8, 1.1, 2.5), (-120.5, -80.25, -300.0), rotation((0.3, -0.2, 0.5)))
COLORS = {"liver": "#E69F00"}


def masks(overlapping):
    liver, spleen = (np.zeros(SIZE[::-1], bool) for _ in range(2))
    liver[:3], spleen[2 if overlapping else 3 :, 1:3] = True, True
    return {"liver": liver, "left spleen: tail": spleen, "empty": np.zeros(SIZE[::-1], bool)}


@pytest.mark.parametrize("overlapping", [False, True])
def test_masks_come_back_exactly(tmp_path, overlapping):
    path = tmp_path / "a.seg.nrrd"
    slicer.write(masks(overlapping), GRID, path, colors=COLORS)
    found = slicer.read(path)
    assert found.layers.shape[3] == 1 + overlapping
    assert [segment.name for segment in found.segments] == list(masks(overlapping))
    assert [segment.color for segment in found.segments] == ["#E69F00", None, None]
    for segment in found.segments:
        mask, notes = slicer.drawn(segment, found, GRID)
        np.testing.assert_array_equal(mask, masks(overlapping)[segment.name])
        assert notes == []


def test_an_empty_mask_shares_its_value_with_no_other(tmp_path):
    given = dict(reversed(masks(False).items()))  # the empty one first
    slicer.write(given, GRID, tmp_path / "a.seg.nrrd", colors={})
    found = slicer.read(tmp_path / "a.seg.nrrd")
    assert len({segment.value for segment in found.segments}) == 3
    for segment in found.segments:
        np.testing.assert_array_equal(slicer.drawn(segment, found, GRID)[0], given[segment.name])


def test_any_program_that_reads_nrrd_reads_it(tmp_path):
    slicer.write(masks(False), GRID, tmp_path / "a.seg.nrrd", colors=COLORS)
    image = sitk.ReadImage(str(tmp_path / "a.seg.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image) == 1, masks(False)["liver"])
    np.testing.assert_allclose(image.GetOrigin(), GRID.origin)
    np.testing.assert_allclose(image.GetSpacing(), GRID.spacing)
    np.testing.assert_allclose(image.GetDirection(), GRID.direction)
    assert image.GetMetaData("Segment0_Name") == "liver"


def stored(path, fields, layers=1, dtype="uint8"):
    """Write a segmentation as Slicer does, its voxels 1, 2, 3, ... from layer to layer."""
    kind = {"uint8": "unsigned char", "float32": "float"}[dtype]
    voxels = np.arange(layers * 60).reshape(3, 4, 5, layers) % 4
    lines = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        f"type: {kind}",
        "dimension: 4",
        "space: left-posterior-superior",
        f"sizes: {layers} 5 4 3",
        "space directions: none (1,0,0) (0,1,0) (0,0,2)",
        "kinds: list domain domain domain",
        "endian: little",
        "encoding: gzip",
        "space origin: (0,0,0)",
        *(f"{key}:={value}" for key, value in fields.items()),
    ]
    path.write_bytes("\n".join([*lines, "", ""]).encode() + gzip.compress(voxels.astype(dtype).tobytes()))
    return path, voxels


def test_names_decide_and_not_values(tmp_path):
    grids = Grid((5, 4, 3), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    for values in ((1, 2), (2, 1), (3, 1)):
        fields = {}
        for number, (name, value) in enumerate(zip(("liver", "spleen"), values, strict=True)):
            fields |= {f"Segment{number}_Name": name, f"Segment{number}_LabelValue": value}
            fields |= {f"Segment{number}_Layer": 1 - number, f"Segment{number}_Color": "1 0.5 0"}
        path, voxels = stored(tmp_path / "a.seg.nrrd", fields, layers=2)
        found = slicer.read(path)
        for segment, value, layer in zip(found.segments, values, (1, 0), strict=True):
            np.testing.assert_array_equal(slicer.drawn(segment, found, grids)[0], voxels[..., layer] == value)
            assert segment.color == "#FF8000"


def test_files_of_old_slicer_have_a_layer_a_segment(tmp_path):
    path, _ = stored(tmp_path / "a.seg.nrrd", {"Segment0_ID": "a", "Segment1_Name": "b"}, layers=2)
    assert [(one.name, one.layer, one.value) for one in slicer.read(path).segments] == [("a", 0, 1), ("b", 1, 1)]


@pytest.mark.parametrize("claimed", [1, 3])
def test_voxels_that_are_not_as_many_as_claimed_are_refused_before_memory_is_set_aside(tmp_path, monkeypatch, claimed):
    path, _ = stored(tmp_path / "a.seg.nrrd", {"Segment0_ID": "a"}, layers=2)
    path.write_bytes(path.read_bytes().replace(b"sizes: 2", b"sizes: %d" % claimed))
    monkeypatch.setattr(text, "MUCH", 0)
    monkeypatch.setattr(sitk.ImageFileReader, "Execute", lambda reader: pytest.fail("memory is set aside"))
    with pytest.raises(InputError, match="its voxels are not those that were packed"):
        slicer.read(path)


def test_a_segmentation_that_was_cut_to_what_is_drawn_lies_where_it_did(tmp_path):
    mask = masks(True)["left spleen: tail"]
    part = Grid(
        (7, 2, 4),
        GRID.spacing,
        tuple(np.array(GRID.origin) + np.reshape(GRID.direction, (3, 3)) @ [0, 1.1, 5.0]),
        GRID.direction,
    )
    slicer.write({"spleen": mask[2:, 1:3]}, part, tmp_path / "a.seg.nrrd", colors={})
    found = slicer.read(tmp_path / "a.seg.nrrd")
    np.testing.assert_array_equal(slicer.drawn(found.segments[0], found, GRID)[0], mask)


@pytest.mark.parametrize(
    ("fields", "options", "words"),
    [
        ({}, {}, "names no segment"),
        ({"Segment0_Name": "a", "Segment0_Layer": 1}, {}, "a has no layer or value"),
        ({"Segment0_Name": "a", "Segment0_LabelValue": "x"}, {}, "a has no layer or value"),
        ({"Segment0_Name": "a", "Segment0_LabelValue": 0}, {}, "a has no layer or value"),
        ({"Segment0_Name": "a"}, {"dtype": "float32"}, "no whole numbers"),
    ],
)
def test_what_is_refused(tmp_path, fields, options, words):
    path, _ = stored(tmp_path / "a.seg.nrrd", fields, **options)
    with pytest.raises(InputError, match=words) as caught:
        slicer.read(path)
    assert "\n" not in str(caught.value)


def test_cut_files_and_odd_names_are_refused(tmp_path):
    path = tmp_path / "a.seg.nrrd"
    slicer.write(masks(True), GRID, path, colors=COLORS)
    content = path.read_bytes()
    for end in (0, 3, 200, len(content) - 30, len(content) - 4):
        path.write_bytes(content[:end])
        with pytest.raises(InputError) as caught:
            slicer.read(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="there is no such file"):
        slicer.read(tmp_path / "none.seg.nrrd")
    with pytest.raises(InputError, match=r"ends in \.seg\.nrrd"):
        slicer.write(masks(True), GRID, tmp_path / "a.nrrd", colors=COLORS)
    with pytest.raises(InputError, match="cannot be a segment's name"):
        slicer.write({"a\nb": masks(True)["liver"]}, GRID, path, colors=COLORS)
    path, _ = stored(path, {"Segment0_Name": "a"})
    found = slicer.read(path)
    with pytest.raises(InputError, match="lies beside the scan"):
        slicer.drawn(found.segments[0], found, GRID)
