"""A SLURM cluster on this machine, of two nodes with two pretended GPUs each, for as long as the tests run."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

DAEMONS = ("munged", "slurmctld", "slurmd")
NODES = ("one", "two")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# a job of a node that failed starts again once its credential has expired
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
# nodes may say that they have more than this machine
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=10
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 RealMemory=64000 Gres=gpu:2
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 RealMemory=64000 Gres=gpu:2
PartitionName=all Nodes=ALL Default=YES
"""
GPUS = """
NodeName=one,two Name=gpu File=/dev/null
NodeName=one,two Name=gpu File=/dev/zero
"""


class Slurm:
    """A cluster whose files all lie in a folder; commands find it by the environment.

    The executor's job steps keep little of the environment, and `srun` would look for the cluster in /etc: what they
    find first is a script of this name that says where it is.
    """

    def __init__(self, folder):
        self.folder, self.configuration = folder, folder / "slurm.conf"
        for name in ("state", "bin", *(f"spool-{node}" for node in NODES)):
            (folder / name).mkdir()
        self.configuration.write_text(
            CONFIGURATION.format(folder=folder, host=socket.gethostname(), ports=free_ports(3))
        )
        (folder / "gres.conf").write_text(GPUS)
        (folder / "munge.key").touch(0o600)
        (folder / "munge.key").write_bytes(secrets.token_bytes(128))
        srun = folder / "bin" / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF="{self.configuration}" exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)
        self.environment = dict(
            os.environ, SLURM_CONF=str(self.configuration), PATH=f"{srun.parent}:{os.environ['PATH']}"
        )
        self.daemons = []
        # it ends all that is left once its input ends, at the latest with this process, however that ends
        self.cleaner = subprocess.Popen(
            [sys.executable, __file__, self.configuration], stdin=subprocess.PIPE, start_new_session=True
        )

    def start(self):
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={self.folder}/munge.{suffix}" for option, suffix in files.items()]
        self.daemon("munged", "--foreground", "--force", *options)
        wait_for((self.folder / "munge.socket").exists, "munge's socket", self.folder)
        self.daemon("slurmctld", "-D")
        for node in NODES:
            self.daemon("slurmd", "-D", "-N", node)
        wait_for(lambda: self.run("sinfo", "-hNo", "%t").split() == ["idle"] * 2, "two idle nodes", self.folder)

    def daemon(self, *command):
        with open(self.folder / f"daemon-{len(self.daemons)}.out", "w") as log:
            self.daemons.append(subprocess.Popen(command, env=self.environment, stdout=log, stderr=log))

    def run(self, *command):
        """What a command says; nothing where it fails."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True).stdout

    def job(self, number):
        """State, node and time limit of a job, as squeue says them."""
        return self.run("squeue", "-hj", number, "--states=all", "-o", "%T %N %l").split()

    def stop(self):
        self.cleaner.communicate()
        for daemon in self.daemons:
            daemon.wait()


def end_all(configuration):
    """Kill daemons, jobs and whatever else was started with a cluster's configuration in its environment."""
    wanted = f"SLURM_CONF={configuration}".encode()
    left = True
    while left:
        left = False
        for path in Path("/proc").iterdir():
            with contextlib.suppress(OSError):  # it has ended
                if path.name.isdigit() and wanted in (path / "environ").read_bytes().split(b"\0"):
                    os.kill(int(path.name), signal.SIGKILL)
                    left = True


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def wait_for(condition, what, logs, seconds=900):
    """Wait until a condition holds; it is a test's fault when it never does, so long waits are for busy machines."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            pytest.fail(f"no {what} within {seconds} s; see {logs}")
        time.sleep(0.1)
    return found


if __name__ == "__main__":
    sys.stdin.read()
    end_all(sys.argv[1])
