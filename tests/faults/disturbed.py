"""A study that is small enough to be disturbed often, ways to disturb it, and ways to watch it."""

import ctypes
import os
import shutil
import signal
import struct
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

# All that a study comes to but what the clock says: histories and costs hold seconds.
OUTCOMES = (
    "cases/*/*",
    "runs/*/*/weights.pt",
    "runs/*/*/predictions/*.nii.gz",
    "runs/*/*/metrics/*.csv",
    "tables/*.csv",
)


class Study:
    """A study of config/ in a folder of its own."""

    def __init__(self, folder, name="faults"):
        self.folder, self.name, self.results = folder, name, folder / "results" / name
        self.tables = [f"results/{name}/tables/{table}.csv" for table in ("comparison", "summary", "per_case")]
        self.processes = []
        self.environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")

    def disturb(self, rule, code):
        """Have every job of a rule run some Python before its script."""
        code = textwrap.indent(textwrap.dedent(code), "    ")
        code = f"import sys\nif sys.orig_argv[-1].endswith('.{rule}.py'):\n{code}"
        (self.folder / "disturbing").mkdir()
        (self.folder / "disturbing" / "sitecustomize.py").write_text(code)
        return {"PYTHONPATH": str(self.folder / "disturbing")}

    def start(self, *arguments, **environment):
        """Start Snakemake in a session of its own."""
        command = [sys.executable, "-m", "snakemake", "--configfile", f"config/{self.name}.yaml"]
        self.log = self.folder / f"run-{len(self.processes)}.txt"
        with self.log.open("w") as log:
            process = subprocess.Popen(
                [*command, "--resources", "gpu=0", "--cores", "2", *(arguments or self.tables)],
                cwd=self.folder,
                env=self.environment | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def run(self, *arguments, **environment):
        """Run Snakemake to its end; its exit status and what it said."""
        process = self.start(*arguments, **environment)
        log = self.log
        return process.wait(timeout=600), log.read_text()

    def wait_for(self, condition):
        """Wait while the study runs until something is so, and give what it is."""
        found = until(lambda: condition() or self.processes[-1].poll() is not None)
        assert condition(), self.log.read_text()[-5000:]
        return found

    def end(self):
        """Kill what a failed test has left running."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def finish(self):
        """Run the study to its end, which must be a good one."""
        code, output = self.run()
        assert code == 0, output[-5000:]
        return output

    def outcome(self):
        """Every file that the study comes to, by its path; hidden ones may be left by jobs that were killed.

        But for those that hold dates: `source.json` has those of the files that a case was prepared from.
        """
        return {
            str(path.relative_to(self.results)): path.read_bytes()
            for pattern in OUTCOMES
            for path in self.results.glob(pattern)
            if not path.name.startswith(".") and path.name != "source.json"
        }

    def copy(self, folder):
        """Another folder with the same, as it was left."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Study(folder, self.name)

    def remove(self, *patterns):
        """Remove results, and the tables that are made of them: Snakemake makes nothing again that nothing asks for."""
        for pattern in ("tables/comparison.csv", *patterns):
            found = list(self.results.glob(pattern))
            assert found or pattern.startswith("tables/"), pattern
            for path in found:
                path.unlink()

    def scripts(self):
        """The processes of running jobs."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.cwd() == str(self.folder) and ".snakemake/scripts" in " ".join(process.cmdline()):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found


def same(ours, theirs):
    """Whether two outcomes have the same files with the same bytes."""
    assert ours.keys() == theirs.keys()
    assert [path for path in ours if ours[path] != theirs[path]] == []


class Watch:
    """What happens to files below folders, told by Linux's inotify; folders that are made are watched too."""

    MODIFY, CLOSE_WRITE, MOVED_TO, CREATE = 0x2, 0x8, 0x80, 0x100
    FOLDER = 0x40000000

    def __init__(self, *folders):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.handle = self.libc.inotify_init()
        self.folders, self.appeared, self.written = {}, set(), set()
        for folder in folders:
            self._add(folder)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _add(self, folder):
        mask = self.MODIFY | self.CLOSE_WRITE | self.MOVED_TO | self.CREATE
        self.folders[self.libc.inotify_add_watch(self.handle, os.fsencode(folder), mask)] = folder
        for inner in folder.iterdir():
            if inner.is_dir():
                self._add(inner)

    def _read(self):
        while data := os.read(self.handle, 1 << 16):
            at = 0
            while at < len(data):
                watch, mask, _, length = struct.unpack_from("iIII", data, at)
                name = data[at + 16 : at + 16 + length].rstrip(b"\0").decode()
                at += 16 + length
                path = self.folders[watch] / name
                if mask & self.FOLDER:
                    if mask & self.CREATE:
                        self._add(path)
                elif mask & self.MOVED_TO:
                    self.appeared.add(path)
                elif mask & (self.MODIFY | self.CREATE | self.CLOSE_WRITE):
                    self.written.add(path)


@contextmanager
def mounted(folder, options):
    """A small disk in memory at a folder; gives a function that changes the mount's options."""
    folder.mkdir(parents=True, exist_ok=True)

    def mount(options, *others):
        command = ["mount", "-t", "tmpfs", *others, "-o", options, "organbench", str(folder)]
        return subprocess.run(command, capture_output=True, text=True)

    made = mount(options) if shutil.which("mount") else None
    if made is None or made.returncode:
        pytest.skip(f"no file system can be mounted here ({made.stderr.strip() if made else 'there is no mount'})")
    try:
        yield lambda options: mount(f"remount,{options}")
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def until(condition, seconds=300):
    """Wait until something is so, and give what it is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for {condition}")


@contextmanager
def memory_limit(limit):
    """A control group with so many bytes of memory and no swap."""
    root = Path("/sys/fs/cgroup")
    first = (root / "memory") if (root / "memory").is_dir() else root
    group = first / f"organbench-{os.getpid()}"
    file = "memory.limit_in_bytes" if first != root else "memory.max"
    try:
        if first == root and "memory" not in (root / "cgroup.subtree_control").read_text():
            (root / "cgroup.subtree_control").write_text("+memory")
        group.mkdir()
        (group / file).write_text(str(limit))
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no control group with a memory limit can be made here ({error})")
    try:
        yield group
    finally:
        until(lambda: remove(group))  # its last process may still be ending


def remove(group):
    """Remove a control group if it is empty; whether it was."""
    with suppress(OSError):
        group.rmdir()
    return not group.exists()
