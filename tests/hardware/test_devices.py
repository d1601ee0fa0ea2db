"""Jobs of one machine never share a GPU, a dead job's GPU is free again, and energy is measured or None."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock

from organbench.hardware import devices, energy, locks

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
CPU = torch.device("cpu")

JOB = """
import logging, pathlib, signal, sys
signal.alarm(600)  # a test that waits in vain fails, but not on a busy machine
logging.basicConfig(stream=sys.stdout, format="%(message)s")
from organbench.hardware import locks
position, lock = locks.acquire(sys.argv[2:], pathlib.Path(sys.argv[1]), poll_seconds=0.05)
print(position, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start_job(tmp_path):
    """Start a process that locks one of the devices, says which, and holds it until its standard input ends."""
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


# Locks


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
        _, lock = locks.acquire(["MIG-GPU-8f6d/1/0"], tmp_path)
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
    position, lock = locks.acquire(["0", "1"], tmp_path)
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
        monkeypatch.setattr(locks.tempfile, "gettempdir", lambda: str(tmp_path))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if chosen is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
        return current

    threads = torch.get_num_threads()
    yield pretend
    devices._lasting_lock.cache_clear()
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


def test_a_job_that_sees_more_locks_one_of_them_for_good(machine, tmp_path, start_job):
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


# Energy


class NVMLError(Exception):
    pass


@pytest.fixture
def nvml(monkeypatch):
    """A pretended NVML: its energy counters by UUID, in mJ, and how often it is open."""
    state = SimpleNamespace(counters={}, open=0)

    def init():
        state.open += 1

    def shutdown():
        state.open -= 1

    def find(uuid):
        if uuid not in state.counters:
            raise NVMLError("Not Found")
        return uuid

    def read(handle):
        if state.counters[handle] is None:
            raise NVMLError("Not Supported")
        return state.counters[handle]

    pretended = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=init,
        nvmlShutdown=shutdown,
        nvmlDeviceGetHandleByUUID=find,
        nvmlDeviceGetTotalEnergyConsumption=read,
    )
    monkeypatch.setattr(energy, "pynvml", pretended)
    yield state
    assert state.open == 0


@pytest.fixture
def powercap(tmp_path):
    """A pretended machine with two packages, and zones that are no package or part of one."""
    write_zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000, 5_000_000)
    write_zone(tmp_path, "intel-rapl:0:0", "core", 500_000, 5_000_000)
    write_zone(tmp_path, "intel-rapl:1", "package-1", 4_000_000, 5_000_000)
    write_zone(tmp_path, "intel-rapl:2", "psys", 9_000_000, 50_000_000)
    write_zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1_000_000, 5_000_000)
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


def write_zone(folder, zone, name, now, maximum):
    (folder / zone).mkdir()
    (folder / zone / "name").write_text(f"{name}\n")
    (folder / zone / "energy_uj").write_text(f"{now}\n")
    (folder / zone / "max_energy_range_uj").write_text(f"{maximum}\n")


def count(folder, zone, now):
    (folder / zone / "energy_uj").write_text(f"{now}\n")


def test_the_gpus_energy_is_what_its_counter_gained(nvml, tmp_path):
    nvml.counters = {"GPU-a": 10_000, "GPU-b": 0}
    with energy.Meter("a", powercap=tmp_path) as meter:
        nvml.counters = {"GPU-a": 12_500, "GPU-b": 99_000}
        assert meter.joules() == {"gpu_energy_j": 2.5, "cpu_energy_j": None}
        nvml.counters["GPU-a"] = 13_000
    nvml.counters["GPU-a"] = 50_000  # what comes after the block is not counted
    assert meter.joules() == {"gpu_energy_j": 3.0, "cpu_energy_j": None}


@pytest.mark.parametrize(
    ("before", "after"),
    [({}, {}), ({"GPU-a": None}, {"GPU-a": None}), ({"GPU-a": 5}, {}), ({}, {"GPU-a": 5})],
    ids=["unknown", "unsupported", "lost", "late"],
)
def test_a_gpu_that_does_not_tell_has_no_energy(nvml, tmp_path, before, after):
    nvml.counters = before
    with energy.Meter("a", powercap=tmp_path) as meter:
        nvml.counters = after
    assert meter.joules() == {"gpu_energy_j": None, "cpu_energy_j": None}


def test_a_machine_without_nvml_has_no_energy():
    assert energy.gpu_joules("00000000-0000-0000-0000-000000000000") is None  # no GPU has this UUID


def test_the_processors_energy_is_that_of_their_packages(powercap):
    with energy.Meter(powercap=powercap) as meter:
        count(powercap, "intel-rapl:0", 3_000_000)
        count(powercap, "intel-rapl:0:0", 2_500_000)
        count(powercap, "intel-rapl:1", 4_500_000)
        count(powercap, "intel-rapl:2", 20_000_000)
    assert meter.joules() == {"gpu_energy_j": None, "cpu_energy_j": 2.5}


def test_a_counter_may_start_again_from_0_between_updates(powercap):
    with energy.Meter(powercap=powercap) as meter:
        for now in (4_000_000, 2_000_000, 1_000_000):  # 3 J, 3 J and 4 J later
            count(powercap, "intel-rapl:0", now)
            meter.update()
    assert meter.joules()["cpu_energy_j"] == pytest.approx(10.0)


def test_counters_are_read_often_enough_by_themselves(powercap, monkeypatch):
    monkeypatch.setattr(energy, "SAMPLE_SECONDS", 0.01)
    with energy.Meter(powercap=powercap) as meter:
        count(powercap, "intel-rapl:1", 4_500_000)
        deadline = time.monotonic() + 30
        while not meter._cpu_microjoules and time.monotonic() < deadline:
            time.sleep(0.01)
        assert meter._cpu_microjoules == 500_000


def take_away(folder):
    (folder / "intel-rapl:1" / "energy_uj").unlink()


def make_unreadable(folder):
    take_away(folder)
    (folder / "intel-rapl:1" / "energy_uj").mkdir()  # root may read any file


def garble(folder):
    (folder / "intel-rapl:1" / "energy_uj").write_text("")


def rename(folder):
    for zone in ("intel-rapl:0", "intel-rapl:1"):
        (folder / zone / "name").write_text("psys\n")


@pytest.mark.parametrize("damage", [take_away, make_unreadable, garble, rename])
@pytest.mark.parametrize("late", [False, True])
def test_a_part_of_the_processors_energy_is_no_energy(powercap, damage, late):
    if not late:
        damage(powercap)
    with energy.Meter(powercap=powercap) as meter:
        count(powercap, "intel-rapl:0", 2_000_000)
        if late:
            meter.update()
            damage(powercap)
    assert meter.joules() == {"gpu_energy_j": None, "cpu_energy_j": None}


def test_a_gap_stays_a_gap(powercap):
    with energy.Meter(powercap=powercap) as meter:
        take_away(powercap)
        meter.update()
        count(powercap, "intel-rapl:1", 4_500_000)
        meter.update()
        count(powercap, "intel-rapl:1", 4_600_000)
    assert meter.joules()["cpu_energy_j"] is None


def test_a_counter_that_stands_still_or_is_missing_counts_nothing(powercap):
    with energy.Meter(powercap=powercap) as still, energy.Meter(powercap=powercap / "missing") as missing:
        pass
    assert still.joules() == missing.joules() == {"gpu_energy_j": None, "cpu_energy_j": None}


def test_the_meter_measures_the_device_that_computes(nvml, tmp_path, monkeypatch):
    uuids = ["a", "b"]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=uuids[device.index]))
    nvml.counters = {"GPU-a": 0, "GPU-b": 0}
    with devices.energy_meter(torch.device("cuda", 1)) as meter, devices.energy_meter(CPU) as none:
        nvml.counters = {"GPU-a": 1000, "GPU-b": 2000}
    assert meter.joules()["gpu_energy_j"] == 2.0
    assert none.joules()["gpu_energy_j"] is None
