"""RTDOSE: read to the voxel wherever its grid lies, as GDCM reads it too; all others are refused in one line."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import DeflatedExplicitVRLittleEndian
from rtdoses import write_rtdose

from organbench.core.errors import InputError
from organbench.data import doses
from organbench.data.dicom import rtdose
from organbench.data.grids import Grid

SHAPE = (5, 6, 7)
SPACING = (0.8, 1.1, 2.5)  # x y z
ORIGIN = (-20.0, 33.5, -410.25)
TURNED = (0.8, 0.6, 0, -0.6, 0.8, 0)  # in the axial plane
CORONAL = (1, 0, 0, 0, 0, -1)


def dose(seed=0):
    return np.random.default_rng(seed).uniform(0, 70, SHAPE)


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    ("axes", "absolute"), [((1, 0, 0, 0, 1, 0), False), ((1, 0, 0, 0, 1, 0), True), (TURNED, False), (CORONAL, False)]
)
def test_a_dose_is_read_to_the_voxel(tmp_path, axes, absolute, backwards, bits):
    place = {"spacing": SPACING, "origin": ORIGIN, "axes": axes}
    path = write_rtdose(tmp_path / "a", dose(), absolute=absolute, backwards=backwards, bits=bits, **place)
    found = rtdose.read(path)
    np.testing.assert_allclose(sitk.GetArrayFromImage(found), dose(), atol=70 / 2**bits + 1e-5)
    assert found.GetPixelID() == sitk.sitkFloat32
    grid = Grid.of(found)
    assert grid.spacing == pytest.approx(SPACING)
    assert grid.origin == pytest.approx(ORIGIN, abs=1e-4)
    matrix = np.column_stack([axes[:3], axes[3:], np.cross(axes[:3], axes[3:])])
    assert np.reshape(grid.direction, (3, 3)) == pytest.approx(matrix)


@pytest.mark.parametrize("axes", [(1, 0, 0, 0, 1, 0), TURNED])
def test_gdcm_reads_the_same(tmp_path, axes):
    path = write_rtdose(tmp_path / "a.dcm", dose(), spacing=SPACING, origin=ORIGIN, axes=axes)
    ours, theirs = rtdose.read(path), sitk.ReadImage(path, sitk.sitkFloat64)
    scaling = pydicom.dcmread(path).DoseGridScaling  # which GDCM leaves to others
    stored = sitk.GetArrayFromImage(theirs)
    np.testing.assert_allclose(sitk.GetArrayFromImage(ours), float(scaling) * stored, rtol=1e-5)
    assert Grid.of(ours).size == Grid.of(theirs).size
    for index in ((0, 0, 0), (6, 0, 0), (0, 5, 0), (0, 0, 4)):
        places = [image.TransformIndexToPhysicalPoint(index) for image in (ours, theirs)]
        assert places[0] == pytest.approx(places[1], abs=1e-3)


def test_the_dose_of_the_plan_is_found_in_a_folder(tmp_path):
    wanted = write_rtdose(tmp_path / "RD.1", dose())
    write_rtdose(tmp_path / "RD.2", dose(1), DoseSummationType="BEAM")
    write_rtdose(tmp_path / "RS.1", dose(2), SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3", Modality="RTSTRUCT")
    (tmp_path / "notes.txt").write_text("nothing")
    files = sorted(tmp_path.iterdir())
    assert rtdose.find(files) == wanted
    np.testing.assert_allclose(sitk.GetArrayFromImage(doses.read(files)), dose(), atol=1e-4)
    write_rtdose(tmp_path / "RD.3", dose(3))
    with pytest.raises(InputError, match=r"holds 2 RTDOSE of whole plans \(RD.1, RD.3\); leave that of the plan"):
        doses.read(sorted(tmp_path.iterdir()))
    write_rtdose(tmp_path / "RD.1", dose(), DoseSummationType="FRACTION")
    with pytest.raises(InputError, match=r"holds 2 RTDOSE, none of a whole plan \(RD.1, RD.2\)"):
        doses.read([tmp_path / "RD.1", tmp_path / "RD.2"])
    with pytest.raises(InputError, match="holds no RTDOSE"):
        doses.read([tmp_path / "RS.1", tmp_path / "notes.txt"])


def test_a_dose_of_another_scan_is_refused(tmp_path):
    path = write_rtdose(tmp_path / "a.dcm", dose(), frame="1.2.3")
    assert doses.read([path], "1.2.3").GetSize() == (7, 6, 5)
    with pytest.raises(InputError, match="lies in another frame of reference than the scan"):
        doses.read([path], "1.2.4")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"DoseUnits": "RELATIVE"}, "its DoseUnits is RELATIVE and not GY"),
        ({"DoseType": "ERROR"}, "its DoseType is ERROR and not PHYSICAL or EFFECTIVE"),
        ({"DoseSummationType": "BEAM"}, "its DoseSummationType is BEAM and not PLAN or MULTI_PLAN"),
        ({"without": ["DoseSummationType"]}, "its DoseSummationType is not told"),
        ({"without": ["DoseGridScaling"]}, "does not say by what its values become Gy"),
        ({"DoseGridScaling": "-1"}, "does not say by what its values become Gy"),
        ({"DoseGridScaling": "1"}, r"holds doses from .* give Gy"),
        ({"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "is no RTDOSE but CT"),
        ({"without": ["GridFrameOffsetVector"]}, "has no GridFrameOffsetVector of 5 numbers"),
        ({"GridFrameOffsetVector": [0, 3, 6, 9]}, "has no GridFrameOffsetVector of 5 numbers"),
        ({"GridFrameOffsetVector": [0, 3, 6, 9, 13]}, "its planes are not at even steps"),
        ({"GridFrameOffsetVector": [0, 0, 0, 0, 0]}, "its planes are not at even steps"),
        ({"GridFrameOffsetVector": [5, 8, 11, 14, 17]}, "begins with 5 mm, which is neither 0 nor the z"),
        ({"axes": TURNED, "absolute": True, "origin": (0, 0, 9)}, "begins with 9 mm, which is neither 0 nor the z"),
        ({"without": ["ImagePositionPatient"]}, "has no ImagePositionPatient of 3 numbers"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "as no scan has"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.5, 0.9, 0]}, "as no scan has"),
        ({"PixelSpacing": [0, 1]}, "has a spacing of"),
        ({"Rows": 60000}, "is no dose of a volume"),
        ({"Rows": 3000, "Columns": 3000}, "is cut short, or claims voxels that are not there"),
        ({"NumberOfFrames": 1, "GridFrameOffsetVector": [0]}, "is no dose of a volume"),
        ({"BitsAllocated": 8}, "has 1 values of 8 bits a voxel"),
        ({"SamplesPerPixel": 3}, "has 3 values of 32 bits a voxel"),
        ({"PixelData": b"\0\0"}, "is cut short, or claims voxels that are not there"),
        ({"without": ["PixelData"]}, "is cut short, or claims voxels that are not there"),
    ],
    ids=str,
)
def test_others_are_refused_in_one_line(tmp_path, changes, message):
    path = write_rtdose(tmp_path / "a.dcm", dose(), **changes)
    with pytest.raises(InputError, match=f"^{path}: .*{message}") as refused:
        doses.read([path])
    assert "\n" not in str(refused.value)


def test_files_that_are_cut_or_damaged_are_refused_in_one_line(tmp_path):
    whole = write_rtdose(tmp_path / "whole.dcm", dose()).read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / "a.dcm"
    contents = [whole[:length] for length in (0, 100, 132, 140, 300, 600, len(whole) - 1)]
    for _ in range(60):
        damaged = bytearray(whole[:900] if rng.random() < 0.2 else whole)
        for place in rng.integers(132, min(len(damaged), 1100), 8):
            damaged[place] = rng.integers(256)
        contents.append(bytes(damaged))
    refusals = []
    for content in contents:
        path.write_bytes(content)
        try:
            assert np.isfinite(sitk.GetArrayFromImage(doses.read([path]))).all()
        except InputError as error:
            refusals.append(str(error))
    assert len(refusals) > 30
    assert all(line.startswith(str(path)) and "\n" not in line for line in refusals)


def test_a_file_that_unpacks_to_more_is_refused(tmp_path):
    path = write_rtdose(tmp_path / "a.dcm", dose(), syntax=DeflatedExplicitVRLittleEndian)
    with pytest.raises(InputError, match="is deflated"):
        doses.read([path])
