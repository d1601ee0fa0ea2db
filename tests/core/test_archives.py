"""An archive is read from a stranger without fear: what `write` does not write is refused in one line."""

import struct
import zipfile

import pytest

from organbench.core import archives
from organbench.core.errors import InputError

CONTENT = {"model.json": b"{}", "weights/a-fold0.safetensors": bytes(range(256)) * 40, "source/net.py": b"x = 1\n"}


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "model.zip"
    archives.write(CONTENT, path)
    return path


def refused(path, words):
    with pytest.raises(InputError, match=words) as error:
        archives.read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_what_is_written_is_read(archive, tmp_path):
    assert archives.read(archive) == CONTENT
    archives.write(CONTENT, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()


def test_a_cut_or_changed_file_is_refused(archive):
    whole = archive.read_bytes()
    for length in (0, 1, 30, len(whole) // 2, len(whole) - 1):
        archive.write_bytes(whole[:length])
        refused(archive, "no archive of organbench, or damaged")
    place = whole.index(bytes(range(64)))
    archive.write_bytes(whole[:place] + b"!" + whole[place + 1 :])
    refused(archive, "Bad CRC-32")


def test_no_file_is_refused(tmp_path):
    refused(tmp_path / "model.zip", "there is no such file")
    refused(tmp_path, "there is no such file")


def test_a_zip_bomb_is_refused_before_it_goes_off(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("model.json", bytes(50_000_000))
    assert path.stat().st_size < 100_000
    refused(path, "claims to hold more than its own size")


def test_entries_that_share_their_bytes_are_refused(archive):
    """As of the zip bombs whose entries overlap: many names for the same bytes."""
    whole = archive.read_bytes()
    (end,) = [whole.rindex(b"PK\x05\x06")]
    count, size, start = struct.unpack("<xxxxxxxxxxHIIxx", whole[end : end + 22])
    rows = whole[start : start + size]
    first = rows[: rows.index(b"PK\x01\x02", 4)]
    second = rows[len(first) : rows.index(b"PK\x01\x02", len(first) + 4)]  # the one with 10 kB
    names = [second.replace(b"weights/a-fold0", f"weights/a-fol{n:02}".encode()) for n in range(10, 60)]
    more = b"".join([rows, *names])
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count + 50, count + 50, len(more), start, 0)
    archive.write_bytes(whole[:start] + more + tail)
    refused(archive, "claims to hold more than its own size")


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "weights/../../x", "C:\\windows\\x", "weights\\..\\x", ".hidden", "a//b", "a/"],
)
def test_names_that_may_lead_out_are_refused(tmp_path, name):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = name
        archive.writestr(info, b"")
    refused(path, "may lead out of a folder")
    with pytest.raises(InputError, match="cannot be packed under this name"):
        archives.write({name: b""}, tmp_path / "mine.zip")
    assert not (tmp_path / "mine.zip").exists()


def test_compressed_doubled_and_very_many_entries_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"short")
    refused(path, "compressed or locked")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", b"2")
    refused(path, "two files of one name")
    monkeypatch.setattr(archives, "MOST_FILES", 2)
    archives.write(CONTENT, path)
    refused(path, "holds over 2 files")
