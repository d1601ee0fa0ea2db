"""Programs of others: quoted, logged, measured, and ended with the job."""

import logging
import os
import signal
import threading
import time

import psutil
import pytest

from organbench.core import commands
from organbench.core.errors import StoppedError
from organbench.core.jobs import stop, told_to_end


def test_placeholders_are_quoted_and_output_is_logged(caplog, tmp_path):
    name = tmp_path / "a b; touch hacked $(x)"
    with caplog.at_level(logging.INFO, "organbench"):
        ended = commands.run("printf '%s\\n' {image} && echo {braces} ${HOME:+home}", {"image": str(name)})
    assert ended.status == 0
    assert [line.split("| ", 1)[1] for line in caplog.messages if line.startswith("|")] == [
        str(name),
        "{braces} home",
    ]


def test_what_it_took_is_measured():
    burn = 'python3 -c "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"'
    ended = commands.run(f"{burn}; sleep 0.3; exit 3", {})
    assert ended.status == 3
    assert ended.seconds >= 0.6
    assert 0.3 <= ended.cpu_seconds < ended.seconds
    assert ended.peak_host_mib > 1


def test_it_sees_what_it_is_given(caplog):
    with caplog.at_level(logging.INFO, "organbench"):
        commands.run("echo gpu $CUDA_VISIBLE_DEVICES", {}, {"CUDA_VISIBLE_DEVICES": "7"})
    assert "| gpu 7" in caplog.messages


def test_it_ends_with_the_job(tmp_path):
    mark = tmp_path / "process"
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    started = time.monotonic()
    with pytest.raises(StoppedError), told_to_end(stop):
        commands.run("sleep 60 & echo $! > {mark}; wait", {"mark": str(mark)})
    assert time.monotonic() - started < 30
    left = int(mark.read_text())
    for _ in range(50):  # where nobody waits for it, it stays behind as a zombie
        if not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.1)
    pytest.fail(f"process {left} goes on")
