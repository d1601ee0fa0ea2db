"""A CT series in a folder: which slices, in which order, where they lie; and what is refused, in one line."""

import zlib

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicoms import write_series
from geometry import centres, grid, rotation
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    MRImageStorage,
    RTStructureSetStorage,
    generate_uid,
)

from organbench.core.errors import InputError
from organbench.data.dicom import series
from organbench.data.grids import Grid, differences

SIZE = (7, 5, 6)  # x y z


@pytest.fixture
def hu():
    return np.random.default_rng(1).integers(-1024, 3000, SIZE[::-1])


def found(folder, hu, wanted):
    """Check that a series is read as it was written: the same voxel at the same place, whatever the order of slices."""
    scan = series.find(folder)
    image = series.read(scan)
    assert Grid.of(image) == scan.grid
    voxels = sitk.GetArrayFromImage(image)
    flipped = not np.allclose(centres(scan.grid)[0, 0, 0], centres(wanted)[0, 0, 0], atol=1e-3)
    there = centres(scan.grid)[::-1] if flipped else centres(scan.grid)
    np.testing.assert_allclose(there, centres(wanted), atol=1e-3)
    np.testing.assert_array_equal(voxels[::-1] if flipped else voxels, hu)
    return scan


@pytest.mark.parametrize("angles", [(0, 0, 0), (0.4, 0, 0), (0.3, -0.2, 0.5), (0, np.pi / 2, 0), (0, 0, np.pi)])
def test_voxels_lie_where_positions_orientation_and_both_spacings_say(tmp_path, hu, angles):
    wanted = grid(SIZE, (0.8, 1.1, 2.5), (-120.5, -80.25, -300.0), rotation(angles))
    write_series(tmp_path, hu, wanted)
    scan = found(tmp_path, hu, wanted)
    assert scan.grid.spacing == pytest.approx((0.8, 1.1, 2.5))
    assert not any(differences(wanted, scan.grid))


def test_slices_that_go_down_are_put_in_order(tmp_path, hu):
    down = np.diag([1.0, 1.0, -1.0])  # as no right-handed grid has it: the slices are written from the top
    wanted = grid(SIZE, (0.8, 1.1, 2.0), (0.0, 0.0, 50.0), down)
    write_series(tmp_path, hu, wanted)
    scan = found(tmp_path, hu, wanted)
    assert scan.grid.origin == (0.0, 0.0, 40.0)
    assert [path.name for path in scan.files] == ["0005", "0004", "0003", "0002", "0001", "0000"]
    headers = [pydicom.dcmread(path) for path in scan.files]
    assert [header.SOPInstanceUID for header in headers] == list(scan.instances)
    assert scan.header.PatientID == "P1"
    assert "PixelData" not in scan.header


def test_other_series_and_files_are_told_apart(tmp_path, hu):
    wanted = grid(SIZE, (1, 1, 2))
    uid = write_series(tmp_path, hu, wanted)

    def of(kind, modality):
        def change(header, z):
            header.SOPClassUID, header.Modality = kind, modality

        return change

    def scout(header, z):
        header.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    write_series(tmp_path, hu, wanted, change=of(MRImageStorage, "MR"), name="mr{z}")
    write_series(tmp_path, hu[:1], wanted, change=of(RTStructureSetStorage, "RTSTRUCT"), name="rs{z}.dcm")
    write_series(tmp_path, hu[:1], grid((7, 5, 1), (3, 3, 3)), change=scout, name="scout{z}")
    (tmp_path / "readme.txt").write_text("notes")
    (tmp_path / "inside").mkdir()
    assert series.find(tmp_path).uid == uid
    found(tmp_path, hu, wanted)


def test_of_two_series_the_one_that_is_named_is_read(tmp_path, hu):
    wanted, other = grid(SIZE, (1, 1, 2)), grid(SIZE, (1, 1, 3))
    write_series(tmp_path, hu, wanted)
    uid = write_series(tmp_path, hu, other, name="b{z}")
    with pytest.raises(InputError, match=r"holds 2 CT series \(.* 6 slices; .* 6 slices\); leave one"):
        series.find(tmp_path)
    assert series.find(tmp_path, uid).grid.spacing[2] == 3
    with pytest.raises(InputError, match=r"no CT series 1\.2\.3 is there"):
        series.find(tmp_path, "1.2.3")


def moved(step, only=None):
    """Move slices by a step (x y z, mm) times their number, or one slice by it."""

    def change(header, z):
        times = z if only is None else float(z == only)
        header.ImagePositionPatient = [
            f"{float(a) + b * times:.6g}" for a, b in zip(header.ImagePositionPatient, step, strict=True)
        ]

    return change


def dropped(*gone):
    return lambda header, z: z not in gone


def doubled(header, z):
    if z == 3:
        moved((0, 0, -2), only=3)(header, z)


def setting(z_wanted=None, **values):
    def change(header, z):
        for keyword, value in values.items():
            if z_wanted in (None, z):
                setattr(header, keyword, value)

    return change


def without(keyword):
    return lambda header, z: header.pop(keyword) and None


REFUSED = {
    "missing": (dropped(2, 3), "2 slices are missing, the first after 0001, where the next one is 6 mm away and not 2"),
    "missing here and there": (dropped(1, 4), "2 slices are missing, the first after 0000"),
    "doubled": (doubled, "0002 and 0003 are two slices at the same place"),
    "uneven": (moved((0, 0, 0.7), only=3), "slices are unevenly spaced, 1.3 to 2.7 mm, at worst by 0.70 mm at 0003"),
    "tilt": (moved((0, 0.3, 0)), "the gantry was tilted by 8.5 degrees"),
    "shifted": (moved((4, 0, 0), only=2), "slices are shifted against one another by up to 4.0 mm"),
    "modality": (setting(SOPClassUID=MRImageStorage, Modality="MR"), r"holds no CT series \(modality MR: 6 files\)"),
    "enhanced": (setting(SOPClassUID=EnhancedCTImageStorage), "several slices in one file: 6 files"),
    "single": (dropped(1, 2, 3, 4, 5), "a single CT slice"),
    "turned": (setting(2, ImageOrientationPatient=[0, 1, 0, -1, 0, 0]), "0002 has another ImageOrientationPatient"),
    "other spacing": (setting(2, PixelSpacing=[1, 2]), "0002 has another PixelSpacing than 0000"),
    "frame": (setting(2, FrameOfReferenceUID=generate_uid()), "two studies or frames of reference"),
    "no position": (without("ImagePositionPatient"), "has no ImagePositionPatient of 3 numbers"),
    "no HU": (without("RescaleIntercept"), "does not say what its values are in HU"),
    "no spacing": (setting(PixelSpacing=[0, 1]), "has a spacing of"),
    "skew": (setting(ImageOrientationPatient=[1, 0, 0, 0.6, 0.8, 0]), "its ImageOrientationPatient is none"),
    "colour": (setting(SamplesPerPixel=3), "is no grey slice"),
    "frames": (setting(NumberOfFrames=10**6), "is no grey slice"),
    "size": (setting(Rows=60000, Columns=60000), "claims 60000 x 60000 pixels"),
    "pixels": (setting(Rows=500, Columns=500), "is cut short, or claims pixels that are not there"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_sound_series_is_refused_in_one_line(tmp_path, hu, change, message):
    write_series(tmp_path, hu, grid(SIZE, (1, 1, 2)), change=change)
    with pytest.raises(InputError, match=message) as refused:
        series.find(tmp_path)
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_positions_that_were_rounded_are_sound(tmp_path, hu):
    write_series(tmp_path, hu, grid(SIZE, (1, 1, 1.25)), change=lambda header, z: rounded(header))
    assert series.find(tmp_path).grid.spacing[2] == pytest.approx(1.25, abs=0.03)


def rounded(header):
    header.ImagePositionPatient = [f"{value:.1f}" for value in header.ImagePositionPatient]


def test_a_folder_that_is_none_or_empty_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        series.find(tmp_path / "ct")
    with pytest.raises(InputError, match="it is empty"):
        series.find(tmp_path)


def test_slices_that_are_stored_in_other_ways_than_the_first_are_read(tmp_path, hu):
    """As the first one's, which has no value below 0, HU of the others would turn over to 65 000."""

    def change(header, z):
        header.PixelRepresentation, header.BitsStored = z % 2, 12 + z % 2
        header.HighBit = header.BitsStored - 1
        header.RescaleIntercept = -1024 * (z > 1)
        header.PixelData = (stored[z] - header.RescaleIntercept).astype("<i2").tobytes()

    stored = np.clip(hu, -1000, 3000)
    stored[0] = np.abs(stored[0])
    wanted = grid(SIZE, (1, 1, 2))
    write_series(tmp_path, stored, wanted, change=change)
    found(tmp_path, stored, wanted)


def test_hu_between_whole_numbers_are_read_as_such(tmp_path, hu):
    write_series(tmp_path, hu, grid(SIZE, (1, 1, 2)), change=setting(RescaleSlope=0.5, RescaleIntercept=-2048.25))
    voxels = sitk.GetArrayFromImage(series.read(series.find(tmp_path)))
    np.testing.assert_array_equal(voxels, hu / 2 - 0.25)


# --- hostile files: each is refused as an InputError of one line


def truncated(content):
    return [content[:end] for end in (0, 100, 140, 300, 500, 900, len(content) - 1)]


def lying(content):
    """Every element's length made huge, one at a time."""
    places = range(132, len(content) - 80, 71)
    return [content[:place] + b"\xff\xff\xff\xfe" + content[place + 4 :] for place in places]


@pytest.mark.parametrize("spoil", [truncated, lying])
def test_a_damaged_slice_is_refused_or_read_as_it_was(tmp_path, hu, spoil):
    write_series(tmp_path, hu, grid(SIZE, (1, 1, 2)))
    path = tmp_path / "0002"
    content = path.read_bytes()
    for spoiled in spoil(content):
        path.write_bytes(spoiled)
        try:
            message, size = "", series.read(series.find(tmp_path)).GetSize()
        except InputError as refused:
            message, size = str(refused), None
        assert message.startswith(str(tmp_path)) if message else size == SIZE
        assert message if spoil is truncated else "\n" not in message


def test_private_junk_and_deep_sequences_are_passed_over_or_refused(tmp_path, hu):
    def junk(header, z):
        header.add_new(0x00090010, "LO", "JUNK")
        header.add_new(0x00091001, "UN", np.random.default_rng(z).bytes(1 << 20))

    wanted = grid(SIZE, (1, 1, 2))
    write_series(tmp_path, hu, wanted, change=junk)
    found(tmp_path, hu, wanted)
    content = (tmp_path / "0001").read_bytes()
    start = content.index(b"\x09\x00\x10\x00")
    deep = b"\x09\x00\x01\x00SQ\0\0\xff\xff\xff\xff" + 3000 * (
        b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x09\x00\x01\x00SQ\0\0\xff\xff\xff\xff"
    )
    (tmp_path / "0001").write_bytes(content[:start] + deep)
    with pytest.raises(InputError, match=r"0001: .*export it again|0001: is cut short"):
        series.find(tmp_path)


def test_a_file_that_unpacks_to_a_thousand_times_its_size_is_not_unpacked(tmp_path, hu):
    write_series(tmp_path, hu, grid(SIZE, (1, 1, 2)))
    header = pydicom.dcmread(tmp_path / "0001")
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    pydicom.dcmwrite(tmp_path / "0001", header)
    packer = zlib.compressobj(wbits=-15)
    with (tmp_path / "0001").open("ab") as stream:
        stream.write(packer.compress(bytes(1 << 26)) + packer.flush())
    with pytest.raises(InputError, match="0001: is deflated"):
        series.find(tmp_path)


# --- real series


def test_a_real_series_in_jpeg_2000_is_read(real_data):
    scan = series.find(real_data / "dicom" / "ct-20slices")
    assert scan.grid.size == (512, 512, 20)
    assert scan.grid.spacing == (0.9765625, 0.9765625, 2.0)
    labels = sitk.ReadImage(str(real_data / "dicom" / "ct-20slices-labels.nii.gz"))
    assert not any(differences(scan.grid, Grid.of(sitk.DICOMOrient(labels, "LPS"))))
    voxels = sitk.GetArrayViewFromImage(image := series.read(scan))
    assert (voxels.min(), voxels.max()) == (-1024, 1839)
    del voxels, image


def test_a_real_series_is_spaced_by_positions(real_data):
    scan = series.find(real_data / "dicom" / "ct-3slices")
    assert scan.grid.spacing == (0.810547, 0.810547, 1.0)  # SliceThickness says 1.25
    assert [path.name for path in scan.files] == ["03.dcm", "02.dcm", "01.dcm"]


def test_a_real_series_that_is_cut_short_is_refused(real_data, tmp_path):
    for path in sorted((real_data / "dicom" / "ct-20slices").iterdir())[:3]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    last = tmp_path / path.name
    last.write_bytes(last.read_bytes()[:-5000])
    with pytest.raises(InputError, match="16575: is cut short"):
        series.read(series.find(tmp_path))
