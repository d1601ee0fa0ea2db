"""A file over HTTP: politely, going on where it broke off, and whole or not at all."""

import os
import re
import time
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from organbench.core.errors import InputError

AGENT = "OrganBench (a Snakemake workflow that compares segmentation networks)"
BUSY = (429, 500, 502, 503, 504)  # answers that may be another one later
TRIES = 6
BACKOFF = 1.0  # seconds before the second try, doubled for each further one
LONGEST_WAIT = 120  # seconds, also where a server asks for more
TIMEOUT = (10, 60)  # seconds to connect, and between two blocks
BLOCK = 1 << 14  # bytes; what is lost when a connection breaks off, at most


def session() -> requests.Session:
    """A connection that says who asks, and that waits and asks again where a server is busy or out of reach.

    It waits as long as the server's Retry-After says, but no longer than `LONGEST_WAIT`, else twice as long each time.
    """
    retry = Retry(
        total=TRIES - 1,
        backoff_factor=BACKOFF,
        backoff_max=LONGEST_WAIT,
        retry_after_max=LONGEST_WAIT,
        status_forcelist=BUSY,
        allowed_methods=["GET"],
        raise_on_status=False,
    )
    polite = requests.Session()
    polite.headers.update({"User-Agent": AGENT, "Accept-Encoding": "identity"})  # packed bytes cannot be resumed
    for scheme in ("http://", "https://"):
        polite.mount(scheme, HTTPAdapter(max_retries=retry))
    return polite


def download(connection: requests.Session, address: str, path: str | Path, *, limit: int) -> None:
    """Download a file, unless it is there.

    What has come when the connection breaks off, or the job ends, is kept as `<path>.part`; the next try asks for the
    rest.

    Args:
        connection: from `session`.
        address: the file's address.
        path: where it goes.
        limit: bytes that no such file exceeds.

    Raises:
        InputError: the server is out of reach, answers anything but the file, or breaks off time and again; the file
            is, or is said to be, larger than `limit`; or the disk is full.
    """
    path = Path(path)
    if path.exists():
        return
    part = path.with_name(f"{path.name}.part")
    failures, reason = 0, ""
    while failures < TRIES:
        before = size_of(part)
        try:
            if receive(connection, address, part, limit):
                os.replace(part, path)
                return
            reason = "it breaks off before the end"
        except requests.RequestException as error:
            reason = str(error)
        except OSError as error:
            raise InputError(
                f"{part}: cannot be written ({error.strerror}); what has come is kept: mend the disk and run again"
            ) from None
        failures = 0 if size_of(part) >= before + BLOCK else failures + 1
        if failures < TRIES:
            time.sleep(min(BACKOFF * 2**failures, LONGEST_WAIT))
    raise InputError(f"{address}: cannot be downloaded ({reason}); what has come is kept: run again later")


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def receive(connection: requests.Session, address: str, part: Path, limit: int) -> bool:
    """Ask once for what a partial file lacks; whether all of it is there now."""
    start = size_of(part)
    wanted = {"Range": f"bytes={start}-"} if start else {}
    with connection.get(address, headers=wanted, stream=True, timeout=TIMEOUT) as response:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if response.status_code == 206 and span and int(span[1]) == start:
            total = int(span[2])
        elif response.status_code == 200:
            start, total = 0, int(response.headers.get("Content-Length", -1))  # all of it
        elif response.status_code in (206, 416):
            part.unlink()  # it has another rest, or none, so the part belongs to another file: begin anew
            return False
        else:
            hint = "run again later" if response.status_code in BUSY else "check dataset.openkbp.address"
            raise InputError(f"{address}: the server answers {response.status_code} {response.reason}; {hint}")
        if total > limit:
            raise InputError(
                f"{address}: is said to have {total} bytes, more than the {limit} that such a file can have; "
                "check dataset.openkbp.address"
            )
        found = start
        with part.open("ab" if start else "wb") as stream:
            for block in response.iter_content(BLOCK):
                found += len(block)
                if found > limit:
                    part.unlink()
                    raise InputError(
                        f"{address}: sends more than the {limit} bytes that such a file can have; "
                        "check dataset.openkbp.address"
                    )
                stream.write(block)
            stream.flush()
            os.fsync(stream.fileno())
    return total < 0 or found == total  # where more has come than there is, the next answer is 416
