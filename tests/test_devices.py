"""Jobs of one machine never share a GPU, and a dead job's GPU is free again."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from organbench import claims, devices

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
CPU = torch.device("cpu")

JOB = """
import logging, pathlib, signal, sys
signal.alarm(60)  # a test that waits in vain fails
logging.basicConfig(stream=sys.stdout, format="%(message)s")
from organbench import claims
position, lock = claims.claim(sys.argv[2:], pathlib.Path(sys.argv[1]), poll_seconds=0.05)
print(position, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start_job(tmp_path):
    """Start a process that claims one of the devices, says which, and holds it until its standard input ends."""
    jobs = []

    def start(*names):
        job = subprocess.Popen(
            [sys.executable, "-c", JOB, str(tmp_path), *names],
            cwd=SCRIPTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        jobs.append(job)
        return job

    yield start
    for job in jobs:
        job.kill()
        job.wait()
        job.stdin.close()
        job.stdout.close()


def says(job):
    return job.stdout.readline().strip()


# Claims


def test_a_job_waits_for_a_device_of_its_own(start_job):
    first, second = start_job("0", "1"), start_job("0", "1")
    taken = [says(first), says(second)]
    assert sorted(taken) == ["0", "1"]
    third = start_job("0", "1")
    assert says(third).startswith("all 2 GPUs are taken, waiting for one (lock files: ")
    second.stdin.close()
    assert says(third) == taken[1]


def test_a_killed_jobs_device_is_free_again(start_job):
    first = start_job("0")
    assert says(first) == "0"
    second = start_job("0")
    assert "waiting" in says(second)
    first.send_signal(signal.SIGKILL)
    assert says(second) == "0"


def test_the_same_device_is_the_same_for_jobs_that_see_others(start_job):
    assert says(start_job("3")) == "0"
    assert says(start_job("2", "3")) == "0"
    assert says(start_job("3", "GPU-8f6d", "2")) == "1"


def test_a_lock_is_for_all_users_whatever_the_umask(tmp_path):
    umask = os.umask(0o077)
    try:
        _, lock = claims.claim(["MIG-GPU-8f6d/1/0"], tmp_path)
    finally:
        os.umask(umask)
    (file,) = tmp_path.iterdir()
    assert file.name == "organbench-gpu-MIG-GPU-8f6d_1_0.lock"
    assert stat.S_IMODE(file.stat().st_mode) == 0o666
    lock.release()


def test_a_file_that_only_another_user_may_open_is_a_taken_device(tmp_path, monkeypatch):
    acquire = FileLock.acquire

    def refuse(lock, **options):
        if lock.lock_file.endswith("-0.lock"):
            raise PermissionError(13, "Permission denied", lock.lock_file)
        return acquire(lock, **options)

    monkeypatch.setattr(FileLock, "acquire", refuse)
    position, lock = claims.claim(["0", "1"], tmp_path)
    assert position == 1
    lock.release()


# The device of a job


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Pretend a machine with so many visible GPUs; gives the devices that were made the current one."""
    current = []

    def pretend(count, chosen=None):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "set_device", current.append)
        monkeypatch.setattr(claims.tempfile, "gettempdir", lambda: str(tmp_path))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if chosen is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
        return current

    threads = torch.get_num_threads()
    yield pretend
    devices._lasting_claim.cache_clear()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def locked(folder):
    return sorted(file.name for file in folder.glob("*.lock"))


@pytest.mark.parametrize(("there", "granted"), [(0, 0), (0, 1), (2, 0)])
def test_without_a_grant_or_a_gpu_it_is_the_cpu(machine, tmp_path, there, granted):
    machine(there)
    assert devices.prepare(threads=1, gpus=granted) == CPU
    assert not locked(tmp_path)


@pytest.mark.parametrize(("there", "granted", "chosen"), [(1, 1, None), (1, 1, "0"), (1, 1, "5"), (2, 2, None)])
def test_a_job_that_sees_only_what_it_was_granted_locks_nothing(machine, tmp_path, there, granted, chosen):
    machine(there, chosen)
    assert devices.prepare(threads=1, gpus=granted) == torch.device("cuda", 0)
    assert not locked(tmp_path)


def test_a_job_that_sees_more_claims_one_of_them_for_good(machine, tmp_path, start_job):
    other = start_job("0")
    assert says(other) == "0"
    current = machine(2)
    assert devices.prepare(threads=1, gpus=1) == torch.device("cuda", 1)
    assert devices.prepare(threads=1, gpus=1) == torch.device("cuda", 1)  # not a second one
    assert current == [1, 1]
    assert "waiting" in says(start_job("1"))


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        (None, ("0", "1")),
        ("2,3", ("2", "3")),
        ("3, 2", ("3", "2")),
        ("GPU-8f6d,GPU-77aa", ("GPU-8f6d", "GPU-77aa")),
        ("1,2,-1,3", ("1", "2")),  # CUDA shows what comes before -1
    ],
)
def test_devices_are_named_as_the_machine_knows_them(machine, tmp_path, chosen, names):
    machine(2, chosen)
    assert devices.visible_gpus() == names
    with FileLock(tmp_path / f"organbench-gpu-{names[0]}.lock"):
        assert devices.prepare(threads=1, gpus=1) == torch.device("cuda", 1)
    assert f"organbench-gpu-{names[1]}.lock" in locked(tmp_path)
