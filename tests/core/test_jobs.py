"""A job ends in one line that says what to do, and its log says how far it is."""

import errno
import logging
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from organbench.core import jobs
from organbench.core.errors import InputError
from organbench.core.files import atomic
from organbench.core.jobs import Pace, job_log, termination


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_job_in_one_line(tmp_path, capsys, number):
    def job():
        with job_log(tmp_path / "log"), atomic(tmp_path / "file") as path:
            path.write_text("half")
            os.kill(os.getpid(), number)
            time.sleep(1)

    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as end:
        job()
    assert end.value.code == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "stopped: told to end; the next run makes what is missing\n"
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_job_may_note_that_it_is_to_end(number):
    before = signal.getsignal(number)
    with termination() as came:
        assert not came()
        os.kill(os.getpid(), number)
        assert came()
    assert signal.getsignal(number) == before


def test_a_job_ends_with_its_workflow(tmp_path, monkeypatch, capsys):
    def job():
        with job_log(tmp_path / "log"):
            time.sleep(2 * jobs.WATCH_SECONDS)  # nothing happens
            workflow.kill()
            workflow.wait()
            time.sleep(10)
            raise AssertionError

    workflow = subprocess.Popen(["sleep", "60"])
    monkeypatch.setenv(jobs.WORKFLOW, f"{workflow.pid} {jobs.namespace()}")
    with pytest.raises(SystemExit):
        job()
    assert "told to end" in capsys.readouterr().err


def test_a_job_whose_workflow_cannot_be_seen_goes_on(tmp_path, monkeypatch):
    for value in ("", "999999999 elsewhere"):
        monkeypatch.setenv(jobs.WORKFLOW, value)
        with job_log(tmp_path / "log"):
            time.sleep(2 * jobs.WATCH_SECONDS)


def test_a_users_mistake_is_one_line_and_exit_status_1(tmp_path, capsys):
    def job():
        with job_log(tmp_path / "log") as log:
            log.info("only for the file")
            raise InputError("data/a.nii: is odd; mend it")

    with pytest.raises(SystemExit) as end:
        job()
    assert end.value.code == 1
    assert capsys.readouterr().err == "error: data/a.nii: is odd; mend it\n"
    first, second = (tmp_path / "log").read_text().splitlines()
    assert first.endswith("only for the file")
    assert second.endswith("error: data/a.nii: is odd; mend it")


def test_any_other_failure_has_its_traceback_in_the_log_and_one_line_on_the_screen(tmp_path, capsys):
    with pytest.raises(SystemExit) as end, job_log(tmp_path / "log"):
        raise ZeroDivisionError("by nothing")
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("failed: ZeroDivisionError: by nothing; ")
    text = (tmp_path / "log").read_text()
    assert "Traceback" in text
    assert text.endswith(f" {line}\n")


def test_a_log_ends_with_its_job(tmp_path):
    for name in ("first", "second"):
        with job_log(tmp_path / name) as log:
            log.warning("of the %s", name)
    assert "second" not in (tmp_path / "first").read_text()
    assert logging.getLogger("organbench").handlers == []


def test_torchs_memory_error_names_the_gpu():
    class OutOfMemoryError(RuntimeError):
        """As torch calls it."""

    line = jobs.remedy(OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB"), "log")
    assert line.startswith(
        "the GPU's memory ran out (OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB); lower"
    )


def test_a_disk_that_fails_is_no_fault_of_ours():
    line = jobs.remedy(OSError(errno.ESTALE, "Stale file handle", "weights.pt"), "log")
    assert line.endswith("Stale file handle: 'weights.pt'; mend the disk or its rights and run again")


# --- how far a job is


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when it is told to."""
    now = [100.0]
    monkeypatch.setattr(jobs.time, "monotonic", lambda: now[0])
    return now


def test_a_line_says_how_far_how_fast_and_how_long(clock):
    pace = Pace(400, "step", done=100)
    assert pace.line() == "step 100/400  0.00 steps/s"
    clock[0] += 20
    pace.done = 140
    assert pace.line("loss 0.5") == "step 140/400  loss 0.5  2.00 steps/s  0:02:10 left"


def test_lines_come_at_intervals_and_are_in_the_file_at_once(clock, tmp_path):
    with job_log(tmp_path / "log"):
        pace = Pace(100, "validation case 1/2, slice")
        for _ in range(50):
            clock[0] += 1
            pace.advance(2)
        seen = (tmp_path / "log").read_text().splitlines()  # before the log is closed
    assert len(seen) == 4
    assert seen[0].endswith(" validation case 1/2, slice 22/100  2.00 slices/s  0:00:39 left")


def test_every_line_reaches_the_log_of_its_job_only(clock, tmp_path):
    def job():
        with job_log(tmp_path / "log"):
            raise InputError("no")

    with pytest.raises(SystemExit):
        job()
    pace = Pace(2, "slice")
    clock[0] += 60
    pace.advance(1)
    assert "slice" not in (tmp_path / "log").read_text()
    assert logging.getLogger("organbench").handlers == []


FORKED = """
import os, signal, sys
from organbench.core import jobs

if sys.argv[1:]:
    jobs.let_children_end()
with jobs.told_to_end(jobs.stop):
    child = os.fork()
    if not child:
        os._exit(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
    assert signal.getsignal(signal.SIGTERM) is jobs.stop
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
print("ends" if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) else "does not")
"""


@pytest.mark.parametrize(("arguments", "said"), [([], "does not"), (["let"], "ends")])
def test_processes_that_are_forked_can_be_let_end(arguments, said):
    command = [sys.executable, "-c", FORKED, *arguments]
    found = subprocess.run(command, cwd=ROOT / "workflow/scripts", capture_output=True, text=True, timeout=120)
    assert found.stdout == f"{said}\n", found.stderr
