"""RTSTRUCT: what is written comes back to the last voxel; a planning system's files; hostile ones in one line."""

import shutil
import subprocess
import time

import numpy as np
import pydicom
import pytest
from dicoms import write_series
from geometry import grid, rotation
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from organbench.core.errors import InputError
from organbench.data.dicom import contours, rtstruct, series, structures
from organbench.data.dicom.structures import Structure
from organbench.data.grids import Grid

SIZE = (13, 11, 6)  # x y z
SPACING, ORIGIN = (0.8, 1.1, 2.5), (-120.5, -80.25, -300.0)
PROGRAM = {"colors": {"ring": "#E69F00"}, "algorithm": "unet", "version": "0.1.0"}
PLAIN = grid(SIZE, SPACING, ORIGIN, np.eye(3))


def masks():
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:11, :13]
    ring = np.zeros(SIZE[::-1], bool)
    ring[1:5] = (np.hypot(x - 6, y - 5) < 5) & (np.hypot(x - 6, y - 5) > 2)
    ring[2, 5, 6] = True  # an island in its hole
    return {
        "ring": ring,
        "bits": rng.random(SIZE[::-1]) < 0.05,
        "noise": rng.random(SIZE[::-1]) < 0.5,
        "all": np.ones(SIZE[::-1], bool),
        "Ösophagus": np.zeros(SIZE[::-1], bool),
    }


def scan(folder, wanted=PLAIN):
    write_series(folder, np.zeros(wanted.shape, int), wanted)
    return series.find(folder)


@pytest.fixture
def ct(tmp_path):
    return scan(tmp_path / "ct")


def square(z, low=2.0, high=6.0):
    """Points in mm of a square in a slice of the plain grid, from voxel to voxel."""
    corners = np.array([[low, low, z], [high, low, z], [high, high, z], [low, high, z]])
    return corners * SPACING + ORIGIN


def structure_set(path, items=(), *, names=("heart",), change=None, frame="1.2.3", uid="1.2.4"):
    """Write an RTSTRUCT by pydicom alone; an item is a structure's number, its points (or text) and its type."""
    header = pydicom.Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    header.SOPClassUID, header.SOPInstanceUID, header.Modality = RTStructureSetStorage, generate_uid(), "RTSTRUCT"
    on, study, place = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    on.SeriesInstanceUID = uid
    study.RTReferencedSeriesSequence = Sequence([on])
    place.FrameOfReferenceUID, place.RTReferencedStudySequence = frame, Sequence([study])
    header.ReferencedFrameOfReferenceSequence = Sequence([place])
    header.StructureSetROISequence, header.ROIContourSequence = Sequence(), Sequence()
    for number, name in enumerate(names, start=1):
        entry, group = pydicom.Dataset(), pydicom.Dataset()
        entry.ROINumber, entry.ROIName, entry.ReferencedFrameOfReferenceUID = number, name, frame
        group.ReferencedROINumber, group.ContourSequence = number, Sequence()
        header.StructureSetROISequence.append(entry)
        header.ROIContourSequence.append(group)
    for number, points, kind in items:
        item = pydicom.Dataset()
        item.ContourGeometricType = kind
        text = points if isinstance(points, str) else "\\".join(f"{value:.4f}" for value in np.ravel(points))
        item.NumberOfContourPoints = (text.count("\\") + 1) // 3
        item[0x30060050] = pydicom.DataElement(0x30060050, "DS", text, already_converted=True)
        header.ROIContourSequence[number - 1].ContourSequence.append(item)
    if change:
        change(header)
    header.save_as(path, enforce_file_format=True)
    return path


def drawn(path, wanted=PLAIN):
    """The first structure of a file as a mask, and all notes."""
    found = rtstruct.read(path)
    mask, notes = rtstruct.drawn(found.structures[0], wanted, path)
    return mask, [*found.notes, *notes]


@pytest.mark.parametrize("keyholes", [False, True])
@pytest.mark.parametrize("angles", [(0, 0, 0), (0, 0, 0.4), (0.3, -0.2, 0.5), (0, np.pi / 2, 0), (np.pi, 0, 0)])
def test_masks_come_back_exactly_from_any_series(tmp_path, angles, keyholes):
    """Oblique, turned in plane, sagittal, slices that go down; and a row's spacing is not a column's."""
    ct = scan(tmp_path / "ct", grid(SIZE, SPACING, ORIGIN, rotation(angles)))
    path = tmp_path / "rtss.dcm"
    rtstruct.write(masks(), ct, path, **PROGRAM, keyholes=keyholes)
    found = rtstruct.read(path)
    assert [structure.name for structure in found.structures] == list(masks())
    for structure in found.structures:
        np.testing.assert_array_equal(rtstruct.mask(structure, ct.grid, path), masks()[structure.name])
    assert rtstruct.check_series(found, ct) == []
    assert found.notes == ()


def test_what_is_written_says_what_it_is(tmp_path, ct):
    path = tmp_path / "rtss.dcm"
    rtstruct.write(masks(), ct, path, **PROGRAM)
    header = pydicom.dcmread(path)
    assert (header.Modality, header.ApprovalStatus) == ("RTSTRUCT", "UNAPPROVED")
    assert (header.PatientID, header.StudyInstanceUID) == ("P1", ct.study)
    (frame,) = header.ReferencedFrameOfReferenceSequence
    (on,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert (frame.FrameOfReferenceUID, on.SeriesInstanceUID) == (ct.frame_of_reference, ct.uid)
    assert [image.ReferencedSOPInstanceUID for image in on.ContourImageSequence] == list(ct.instances)
    entry = header.StructureSetROISequence[0]
    (drawer,) = entry.ROIDerivationAlgorithmIdentificationSequence
    assert entry.ROIGenerationAlgorithm == "AUTOMATIC"
    assert (drawer.AlgorithmName, drawer.AlgorithmVersion) == ("unet", "0.1.0")
    ring = header.ROIContourSequence[0]
    assert list(ring.ROIDisplayColor) == [230, 159, 0]
    for item in ring.ContourSequence:
        z = (float(item.ContourData[2]) - ORIGIN[2]) / SPACING[2]
        assert item.ContourImageSequence[0].ReferencedSOPInstanceUID == ct.instances[round(z)]
        assert item.NumberOfContourPoints * 3 == len(item.ContourData)
    assert "ContourSequence" not in header.ROIContourSequence[4]  # an empty mask
    assert max(len(str(text)) for text in ring.ContourSequence[0].ContourData) <= 16


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian's dicom3tools) is not installed")
@pytest.mark.parametrize("keyholes", [False, True])
def test_what_is_written_is_valid(tmp_path, ct, keyholes):
    path = tmp_path / "rtss.dcm"
    rtstruct.write(masks(), ct, path, **PROGRAM, keyholes=keyholes)
    told = subprocess.run(["dciodvfy", path], capture_output=True, text=True)
    lines = (told.stdout + told.stderr).splitlines()
    assert told.returncode == 0
    assert not [line for line in lines if line.startswith("Error")]
    assert "RTStructureSet" in lines


def test_holes_are_contours_of_their_own_unless_keyholes_are_wanted(tmp_path, ct):
    mask = np.zeros(SIZE[::-1], bool)
    mask[2, 1:8, 1:8] = True
    mask[2, 3:5, 3:5] = mask[2, 6, 3:5] = False
    counts = []
    for keyholes in (False, True):
        rtstruct.write({"a": mask}, ct, tmp_path / "a.dcm", **PROGRAM, keyholes=keyholes)
        counts.append(len(rtstruct.read(tmp_path / "a.dcm").structures[0].contours))
    assert counts == [3, 1]


def test_a_keyhole_of_another_program(tmp_path):
    """Out along a channel around the hole and back along the same channel."""
    hole = square(2, 3.0, 5.0)[::-1]
    points = np.concatenate([square(2, 0.6, 8.4), square(2, 0.6, 8.4)[:1], hole, hole[:1]])
    mask, notes = drawn(structure_set(tmp_path / "a.dcm", [(1, points, "CLOSED_PLANAR")]))
    assert notes == []
    assert mask[2, 1:9, 1:9].sum() == mask.sum() == 60
    assert not mask[2, 3:5, 3:5].any()


def test_a_contour_inside_another_is_a_hole_and_one_inside_that_an_island(tmp_path):
    items = [(1, square(2, *ends), "CLOSED_PLANAR") for ends in ((0.5, 9.5), (2.5, 7.5), (4.5, 5.5))]
    mask, _ = drawn(structure_set(tmp_path / "a.dcm", items))
    assert mask.sum() == 81 - 25 + 1


@pytest.mark.parametrize(("z", "used"), [(2.4, 2), (2.6, 3), (2.5, 3), (2.4999, 3), (-0.4, 0), (5.4, 5)])
def test_a_plane_between_slices_goes_to_the_nearest(tmp_path, z, used):
    mask, notes = drawn(structure_set(tmp_path / "a.dcm", [(1, square(z), "CLOSED_PLANAR")]))
    assert np.flatnonzero(mask.any(axis=(1, 2))).tolist() == [used]
    assert notes == []


def test_of_planes_that_are_closer_than_slices_the_nearest_counts(tmp_path):
    items = [(1, square(2 + step / 4, 2, 6 + step), "CLOSED_PLANAR") for step in range(-1, 3)]
    mask, (note,) = drawn(structure_set(tmp_path / "a.dcm", items))
    assert mask.sum() == 16 + 36  # 2.5 goes up, of 1.75, 2 and 2.25 the middle is nearest
    assert "2 of its planes lie between" in note


def test_planes_halfway_between_slices_all_go_to_the_same_side(tmp_path):
    items = [(1, square(z + 0.5 + shift), "CLOSED_PLANAR") for z, shift in enumerate((0, -4e-5, 4e-5, 0))]
    mask, notes = drawn(structure_set(tmp_path / "a.dcm", items))
    assert mask.any(axis=(1, 2)).tolist() == [False, True, True, True, True, False]
    assert notes == []


def test_slices_without_a_contour_are_told(tmp_path):
    items = [(1, square(z), "CLOSED_PLANAR") for z in (0, 2, 4)]
    mask, (note,) = drawn(structure_set(tmp_path / "a.dcm", items))
    assert mask.any(axis=(1, 2)).tolist() == [True, False, True, False, True, False]
    assert "heart: has no contour on 2 of the 5 slices that it spans" in note


def test_what_lies_outside_is_told_and_all_of_it_refused(tmp_path):
    items = [(1, square(z), "CLOSED_PLANAR") for z in (-0.6, 0, 5, 5.6)]
    mask, (note, _) = drawn(structure_set(tmp_path / "a.dcm", items))
    assert mask.any(axis=(1, 2)).tolist()[::5] == [True, True]
    assert "2 of its 4 contours lie outside the CT" in note
    _, notes = drawn(structure_set(tmp_path / "a.dcm", [(1, square(1, -4, 6), "CLOSED_PLANAR")]))
    assert "reaches beyond the CT's edge" in notes[0]
    for points in (square(-1), square(6), square(2, 20, 30)):
        with pytest.raises(InputError, match="all of it lies outside the CT"):
            drawn(structure_set(tmp_path / "a.dcm", [(1, points, "CLOSED_PLANAR")]))


def test_a_contour_that_is_there_twice_is_taken_once(tmp_path):
    again = [square(1), np.roll(square(1), 2, axis=0), square(1)[::-1], np.vstack([square(1), square(1)[:1]])]
    for points in again:
        items = [(1, square(1), "CLOSED_PLANAR"), (1, points, "CLOSED_PLANAR")]
        mask, (note,) = drawn(structure_set(tmp_path / "a.dcm", items))
        assert mask.sum() == 16
        assert "1 of its contours are there twice" in note


def test_contours_smaller_than_a_voxel_are_told(tmp_path):
    mask, (note,) = drawn(structure_set(tmp_path / "a.dcm", [(1, square(1, 2.1, 2.9), "CLOSED_PLANAR")]))
    assert not mask.any()
    assert "encloses no voxel's centre" in note


def test_contours_across_the_slices_are_refused(tmp_path):
    points = square(1)[:, [0, 2, 1]]
    with pytest.raises(InputError, match=r"heart: a contour rises by .* mm across the CT's slices"):
        drawn(structure_set(tmp_path / "a.dcm", [(1, points + np.array([0, 219, -219]), "CLOSED_PLANAR")]))


def test_points_and_lines_are_skipped_with_a_note(tmp_path):
    items = [
        (1, square(1), "CLOSEDPLANAR_XOR"),
        (1, square(1)[:1], "POINT"),
        (1, square(2), "OPEN_PLANAR"),
        (1, square(2)[:2], "CLOSED_PLANAR"),
    ]
    mask, notes = drawn(structure_set(tmp_path / "a.dcm", items))
    assert mask.sum() == 16
    assert [note.split("heart: ")[1][:24] for note in notes] == [
        "1 contours OPEN_PLANAR e",
        "1 contours POINT enclose",
        "1 contours of fewer than",
    ]


def test_structures_that_are_named_but_not_drawn_or_drawn_but_not_named(tmp_path):
    def change(header):
        header.ROIContourSequence[1].ReferencedROINumber = 7
        header.ROIContourSequence[2].ROIDisplayColor = [1, 2, 999]

    items = [(1, square(1), "CLOSED_PLANAR"), (2, square(1), "CLOSED_PLANAR")]
    found = rtstruct.read(structure_set(tmp_path / "a.dcm", items, names=("a", " b ", "c"), change=change))
    assert [(one.name, one.number, one.color, len(one.contours)) for one in found.structures] == [
        ("a", 1, None, 1),
        ("b", 2, None, 0),
        ("c", 3, None, 0),
    ]
    assert "contours of structure number 7, which has no name" in found.notes[0]
    assert (found.series, found.frame_of_reference) == ("1.2.4", "1.2.3")
    assert not rtstruct.mask(found.structures[2], PLAIN, found.path).any()


def test_another_frame_of_reference(tmp_path, ct):
    found = rtstruct.read(structure_set(tmp_path / "a.dcm", [(1, square(1), "CLOSED_PLANAR")]))
    with pytest.raises(InputError, match="another frame of reference than that of the CT"):
        rtstruct.check_series(found, ct)
    path = structure_set(tmp_path / "b.dcm", [(1, square(1), "CLOSED_PLANAR")], frame=ct.frame_of_reference)
    assert "another series of the same frame" in rtstruct.check_series(rtstruct.read(path), ct)[0]

    def change(header):
        header.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "9.9"

    items = [(number, square(1), "CLOSED_PLANAR") for number in (1, 2)]
    found = rtstruct.read(structure_set(tmp_path / "c.dcm", items, names=("a", "b"), change=change))
    assert [len(one.contours) for one in found.structures] == [0, 1]
    assert "a: drawn in another frame of reference" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1\\2\\3\\4", "has 4 numbers"),
        ("1\\2\\3\\4\\5\\nan", "lies nowhere"),
        ("1\\2\\3\\4\\5\\inf", "lies nowhere"),
        ("1\\2\\3\\4\\5\\1e300", "lies nowhere"),
        ("1\\2\\3\\4\\5\\abc", "what is no number"),
        ("1\\2\\\\4\\5\\6", "what is no number"),
        ("\\", "what is no number"),
    ],
)
def test_points_that_are_none(tmp_path, text, words):
    refused(structure_set(tmp_path / "a.dcm", [(1, text, "CLOSED_PLANAR")]), words)


def refused(path, words="."):
    """A file is refused in one line that names it, within seconds."""
    began = time.perf_counter()
    with pytest.raises(InputError, match=words) as caught:
        rtstruct.read(path)
    assert time.perf_counter() - began < 60  # on a machine with much else to do
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def read_or_told(path):
    """A file's structures, each of which was drawn; None where one line says why that cannot be."""
    told = None
    try:
        found = rtstruct.read(path)
        for structure in found.structures:
            rtstruct.drawn(structure, PLAIN, path)
    except InputError as error:
        told = str(error)
    assert told is None or "\n" not in told
    return None if told else found


def test_lengths_that_lie(tmp_path):
    def change(header):
        header.ROIContourSequence[0].ContourSequence[0].NumberOfContourPoints = 400

    refused(structure_set(tmp_path / "a.dcm", [(1, square(1), "CLOSED_PLANAR")], change=change), "has 12 numbers")
    content = (tmp_path / "a.dcm").read_bytes()
    for tag in (b"\x06\x30\x39\x00", b"\x06\x30\x50\x00", b"\x06\x30\x20\x00", b"\x06\x30\x40\x00"):
        place = content.index(tag) + 4
        for length in (b"\xfe\xff\xff\xff", b"\xff\xff\xff\xff", b"\x01\0\0\0", b"\xff\xff\xff\x7f"):
            (tmp_path / "b.dcm").write_bytes(content[:place] + length + content[place + 4 :])
            refused(tmp_path / "b.dcm")


def test_cut_anywhere(tmp_path, ct):
    rtstruct.write({"ring": masks()["ring"]}, ct, tmp_path / "a.dcm", **PROGRAM)
    content = (tmp_path / "a.dcm").read_bytes()
    whole = rtstruct.read(tmp_path / "a.dcm").structures[0]
    for end in [*range(0, len(content), 97), *range(len(content) - 40, len(content))]:
        (tmp_path / "b.dcm").write_bytes(content[:end])
        found = read_or_told(tmp_path / "b.dcm")
        if found:  # only what comes after the contours may be lacking
            assert len(found.structures[0].contours) == len(whole.contours)


def test_bytes_changed_anywhere(tmp_path, ct):
    rtstruct.write({"ring": masks()["ring"]}, ct, tmp_path / "a.dcm", **PROGRAM)
    content = (tmp_path / "a.dcm").read_bytes()
    rng = np.random.default_rng(7)
    for _ in range(150):
        changed = bytearray(content)
        for place in rng.integers(132, len(content), 4):
            changed[place] = rng.integers(256)
        (tmp_path / "b.dcm").write_bytes(changed)
        read_or_told(tmp_path / "b.dcm")


def test_a_million_contours(tmp_path):
    structure_set(tmp_path / "a.dcm", [(1, square(1), "CLOSED_PLANAR")] * 2)
    content = (tmp_path / "a.dcm").read_bytes()
    item = content[content.rindex(b"\xfe\xff\x00\xe0") :]
    (tmp_path / "b.dcm").write_bytes(content + item * 1_000_000)
    refused(tmp_path / "b.dcm", "as no RTSTRUCT does")


def test_more_points_or_crossings_than_anyone_draws(tmp_path, monkeypatch):
    path = structure_set(tmp_path / "a.dcm", [(1, square(1), "CLOSED_PLANAR")])
    monkeypatch.setattr(structures, "MOST_CROSSINGS", 7)  # the square of 4 x 4 voxels has twice 4 rows
    with pytest.raises(InputError, match="go to and fro"):
        drawn(path)
    monkeypatch.setattr(rtstruct, "MOST_NUMBERS", 10)
    refused(path, "numbers and more, as no RTSTRUCT does")


def test_what_is_no_rtstruct(tmp_path, ct):
    refused(tmp_path / "none.dcm", "there is no such file")
    (tmp_path / "text.dcm").write_text("structures")
    refused(tmp_path / "text.dcm", "is no DICOM file")
    refused(ct.files[0], "is no RTSTRUCT but CT")
    refused(structure_set(tmp_path / "a.dcm", names=()), "names no structure")

    def twice(header):
        header.StructureSetROISequence[1].ROINumber = 1

    refused(structure_set(tmp_path / "b.dcm", names=("a", "b"), change=twice), "two structures of number 1")


@pytest.mark.parametrize("name", ["", " ", "a\\b", "a" * 65, "a\nb"])
def test_names_that_cannot_be_stored(tmp_path, ct, name):
    with pytest.raises(InputError, match="cannot be a structure's name"):
        rtstruct.write({name: masks()["ring"]}, ct, tmp_path / "a.dcm", **PROGRAM)
    assert not (tmp_path / "a.dcm").exists()


@pytest.mark.parametrize("changes", [{"algorithm": "a" * 65}, {"algorithm": ""}, {"version": "1\\2"}])
def test_an_algorithm_that_cannot_be_stored(tmp_path, ct, changes):
    with pytest.raises(InputError, match="of an algorithm, which has 1 to 64 letters"):
        rtstruct.write({"a": masks()["ring"]}, ct, tmp_path / "a.dcm", **{**PROGRAM, **changes})


def test_nothing_to_write(tmp_path, ct):
    with pytest.raises(InputError, match="there is no structure to write"):
        rtstruct.write({}, ct, tmp_path / "a.dcm", **PROGRAM)


def test_masks_of_another_size(tmp_path, ct):
    with pytest.raises(InputError, match="the CT has"):
        rtstruct.write({"a": np.ones((2, 3, 4), bool)}, ct, tmp_path / "a.dcm", **PROGRAM)


def test_a_clinics_structures(real_data):
    """The volumes are those that the file's publishers give, found by another program's method."""
    path = real_data / "dicom" / "rtstruct" / "rtss.dcm"
    found = {structure.name: structure for structure in rtstruct.read(path).structures}
    wanted = Grid((512, 512, 141), (1.074219, 1.074219, 3.0), (-275.0, -524.0, None), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    heights = np.unique([contour[0, 2] for contour in found["BODY"].contours])
    wanted = Grid(wanted.size, wanted.spacing, (-275.0, -524.0, float(heights[0])), wanted.direction)
    for name, ml in (("Heart", 437.46), ("Lt Lung", 1995.2)):
        mask, _ = rtstruct.drawn(found[name], wanted, path)
        assert mask.sum() * wanted.voxel_ml == pytest.approx(ml, rel=0.01)
    assert found["Areola"].contours == ()
    assert found["Heart"].color == "#FF8000"


def test_indices_of_points_on_a_grid():
    wanted = grid(SIZE, SPACING, ORIGIN, rotation((0.3, -0.2, 0.5)))
    line = contours.outlines(masks()["ring"][1])[0]
    there = rtstruct.points(line, 1, wanted)
    one = Structure("a", 1, None, (there,))
    np.testing.assert_array_equal(rtstruct.mask(one, wanted, None)[1], contours.filled([line], wanted.shape[1:]))
