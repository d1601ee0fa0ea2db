"""A file comes over whole from a server that breaks off, is busy or lies, and politely; or one line says why not."""

import time

import pytest
from serving import serving

from organbench.core.errors import InputError
from organbench.data.sources import downloads

CONTENT = bytes(range(256)) * 1000
LIMIT = 10**6


@pytest.fixture
def server():
    with serving() as running:
        running.files["/file"] = CONTENT
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(downloads, "BACKOFF", 0.0)
    monkeypatch.setattr(downloads, "BLOCK", 1000)
    monkeypatch.setattr(downloads, "TRIES", 4)
    monkeypatch.setattr(downloads, "LONGEST_WAIT", 1)


@pytest.fixture
def get(server, tmp_path):
    """Download the file, and give what lies in the folder then."""

    def download(path="/file", limit=LIMIT):
        with downloads.session() as connection:
            downloads.download(connection, server.address + path, tmp_path / "file", limit=limit)
        return {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    return download


@pytest.mark.parametrize(
    "faults",
    [
        [],
        ["break"],
        ["break", "break", "break"],
        ["break", 503, "break"],
        ["break", "whole"],  # the server knows no ranges
        ["break", "elsewhere"],  # and sends another one
        ["break", "some"],  # of what was asked for
        ["break", 416],
        ["more"],  # than there is
        [500, 502, 429],
    ],
    ids=str,
)
def test_a_file_arrives_whole(server, get, faults):
    server.faults["/file"].extend(faults)
    assert get() == {"file": CONTENT}
    # "whole" is no failure; after "more" the server is asked for a rest that there is not
    assert server.times("/file") == len(faults) + ("whole" not in faults) + ("more" in faults)


def test_what_has_come_is_asked_for_no_more(server, get):
    server.faults["/file"].extend(["break", "break"])
    get()
    half, quarter = len(CONTENT) // 2, len(CONTENT) // 4
    assert [asked[1] for asked in server.asked] == [None, f"bytes={half}-", f"bytes={half + quarter}-"]


def test_a_later_run_goes_on(server, get, tmp_path):
    server.faults["/file"].extend(["break", 403])
    with pytest.raises(InputError, match=r"answers 403 Forbidden; check dataset.openkbp.address"):
        get()
    assert (tmp_path / "file.part").read_bytes() == CONTENT[: len(CONTENT) // 2]
    assert get() == {"file": CONTENT}
    assert server.asked[-1][1] == f"bytes={len(CONTENT) // 2}-"


def test_a_part_that_is_longer_than_the_file_is_begun_anew(server, get, tmp_path):
    """As a part of another file may be: the server then answers 416 to whoever asks for the rest."""
    (tmp_path / "file.part").write_bytes(bytes(len(CONTENT) + 1))
    assert get() == {"file": CONTENT}


def test_a_file_that_is_there_is_not_asked_for(server, get, tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    assert get() == {"file": b"mine"}
    assert not server.asked


def test_a_busy_server_is_asked_again_when_it_says(server, get):
    server.faults["/file"].append(503)  # with Retry-After: 1
    before = time.monotonic()
    get()
    assert 1 <= time.monotonic() - before < 3


def test_a_busy_server_is_not_waited_for_long(server, get):
    server.retry_after = "20"
    server.faults["/file"].append(503)
    before = time.monotonic()
    get()
    assert time.monotonic() - before < 10


def test_the_server_is_told_who_asks(server, get):
    get()
    assert server.asked[0][2].startswith("OrganBench")


@pytest.mark.parametrize(
    ("faults", "message", "requests"),
    [
        ([503] * 9, "answers 503 Service Unavailable; run again later", 4),
        (["break"] * 99, "cannot be downloaded .*what has come is kept: run again later", None),
        (["huge"] * 9, "is said to have 10000000000000 bytes, more than the 1000000", 1),
        (["endless"] * 9, "sends more than the 1000000 bytes", 1),
        ([404], "answers 404 Not Found; check dataset.openkbp.address", 1),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_server_that_never_sends_the_file_is_given_up_in_one_line(server, get, tmp_path, faults, message, requests):
    server.faults["/file"].extend(faults)
    with pytest.raises(InputError, match=message) as refusal:
        get()
    assert "\n" not in str(refusal.value)
    assert requests is None or len(server.asked) == requests
    assert not (tmp_path / "file").exists()
    assert all(file.stat().st_size <= LIMIT for file in tmp_path.iterdir())


def test_a_full_disk_is_told_in_one_line(server, get, tmp_path, full_disk):
    with pytest.raises(InputError, match=r"file\.part: cannot be written .*mend the disk and run again"):
        get()
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:4096]


def test_a_server_that_is_not_there(get, server):
    server.httpd.shutdown()
    server.httpd.server_close()
    with pytest.raises(InputError, match=r"cannot be downloaded .*run again later"):
        get()
