"""Files of images are read whole or refused."""

import gzip
import zlib

import numpy as np
import pytest
import SimpleITK as sitk

from organbench.core.errors import InputError
from organbench.data import images
from organbench.data.formats import nifti
from organbench.data.images import read_volume


@pytest.fixture
def noise(write_image):
    array = np.random.default_rng(0).integers(-1024, 3000, (30, 40, 50)).astype(np.int16)
    return write_image("volume.nii.gz", array)


@pytest.mark.parametrize("left", [0.0, 0.0005, 0.01, 0.5, 0.99, -1000, -20, -9, -8, -4, -1])
def test_a_compressed_file_that_was_cut_is_refused(noise, left):
    """SimpleITK fills the rest with zeros and says nothing. Negative: bytes from the end, where the checksum is."""
    whole = noise.read_bytes()
    noise.write_bytes(whole[: int(left * len(whole)) if left >= 0 else left])
    with pytest.raises(InputError, match=r"volume.nii.gz: .*copy the file again"):
        images.read(noise)


@pytest.mark.parametrize("where", [0.3, 0.5, 0.9, 1.0])
def test_a_compressed_file_with_a_wrong_byte_is_refused(noise, where):
    broken = bytearray(noise.read_bytes())
    broken[int(where * (len(broken) - 1))] ^= 0x55
    noise.write_bytes(broken)
    with pytest.raises(InputError, match=r"volume.nii.gz: .*copy the file again"):
        images.read(noise)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
@pytest.mark.parametrize("missing", [1, 2000, 119000])
def test_a_file_with_too_few_voxels_is_refused(noise, suffix, missing):
    """Cut before it was compressed, or never compressed."""
    content = gzip.decompress(noise.read_bytes())[:-missing]
    path = noise.with_name(f"short.{suffix}")
    path.write_bytes(content if suffix == "nii" else gzip.compress(content))
    with pytest.raises(InputError, match=r"short.nii.*copy the file again"):
        images.read(path)


def test_whole_files_of_every_kind_are_read(noise):
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(noise)))
    content = gzip.decompress(noise.read_bytes())
    scaled = bytearray(content)
    scaled[112:120] = np.array([2, -1024], "<f4").tobytes()  # slope and intercept
    kinds = {
        "plain.nii": content,
        "parts.nii.gz": gzip.compress(content[:5000]) + gzip.compress(content[5000:]),
        "padded.nii.gz": gzip.compress(content) + bytes(512),
        "longer.nii.gz": gzip.compress(content + b"more"),
        "unpacked.nii.gz": content,
        "scaled.nii.gz": gzip.compress(scaled),
    }
    for name, written in kinds.items():
        path = noise.with_name(name)
        path.write_bytes(written)
        found = sitk.GetArrayFromImage(read_volume(path))
        np.testing.assert_array_equal(found, expected * 2.0 - 1024 if "scaled" in name else expected)
    for suffix in ("mha", "mhd", "nrrd", "nhdr", "hdr"):
        path = noise.with_name(f"other.{suffix}")
        sitk.WriteImage(sitk.ReadImage(str(noise)), str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(images.read(path)), expected)


@pytest.mark.parametrize(
    ("slope", "intercept"), [(0, 0), (1, 0), (1, -1024), (2, -1024), (0.1, 3.7), (-1, 5), (1e-5, 1e20)]
)
def test_rescaled_voxels_are_checked_without_unpacking_twice(noise, slope, intercept, monkeypatch):
    """What does not fit is unpacked again and found sound; a wrong checksum is found in any case."""
    content = bytearray(gzip.decompress(noise.read_bytes()))
    content[112:120] = np.array([slope, intercept], "<f4").tobytes()
    noise.write_bytes(gzip.compress(content))
    checksums = []
    plain = nifti.stored_checksum
    monkeypatch.setattr(nifti, "stored_checksum", lambda *given: checksums.append(plain(*given)) or checksums[-1])
    images.read(noise)
    if intercept != 1e20:  # else all voxels were rounded to one value
        assert checksums == [zlib.crc32(content)]
    broken = bytearray(noise.read_bytes())
    broken[-6] ^= 1  # of the checksum
    noise.write_bytes(broken)
    with pytest.raises(InputError, match="copy the file again"):
        images.read(noise)


def test_two_files_of_one_name_are_not_confused(noise):
    """SimpleITK reads the header of volume.nii.gz and then the voxels of volume.nii, if that is there, too."""
    expected = sitk.GetArrayFromImage(images.read(noise))
    other = noise.with_name("volume.nii")
    sitk.WriteImage(sitk.ReadImage(str(noise)) * 0, str(other))
    assert not sitk.GetArrayFromImage(images.read(other)).any()
    with pytest.raises(InputError, match=r"volume.nii.gz: .*volume.nii .*remove one of the two"):
        images.read(noise)
    other.unlink()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(images.read(noise)), expected)


def test_files_that_are_no_volume_are_refused(tmp_path, write_image):
    plain = np.zeros((4, 5, 6), np.float32)
    broken = plain.copy()
    broken[3, 4, 5] = np.nan
    text = tmp_path / "text.nii.gz"
    text.write_text("no image")
    refused = [
        (tmp_path / "absent.nii.gz", "no such file"),
        (text, "is no NIfTI file"),
        (write_image("4d.nii.gz", np.zeros((2, 3, 4, 5), np.float32)), "has 4D"),
        (write_image("2d.nii.gz", plain[0]), "has 2D"),
        (write_image("rgb.nii.gz", np.zeros((4, 5, 6, 3), np.uint8), vector=True), "3 values a voxel"),
        (write_image("complex.nii.gz", plain.astype(np.complex64)), "complex"),
        (write_image("nan.nii.gz", broken), "NaN or infinite"),
        (write_image("infinite.nii.gz", np.where(np.isnan(broken), -np.inf, plain)), "NaN or infinite"),
    ]
    for path, message in refused:
        with pytest.raises(InputError, match=message) as refusal:
            read_volume(path)
        assert str(refusal.value).startswith(str(path))
        assert "\n" not in str(refusal.value)
