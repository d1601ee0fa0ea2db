"""The smoke study, as a user runs it: made once for all files of tests, each of which has a copy."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
REPLACE = "replace_trainings=true"
CLONED = ("Snakefile", "config.yaml", "config", "envs", "profiles", "workflow")


def checkout(folder):
    """A copy of what a user clones, without results."""
    for name in CLONED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def command_line(*arguments):
    """Snakemake on the smoke study, and its environment; a later option replaces an earlier one."""
    command = [sys.executable, "-m", "snakemake", "--configfile", "config/smoke.yaml", "--resources", "gpu=0"]
    return [*command, "--cores", "2", *arguments], dict(os.environ, PYTHONDONTWRITEBYTECODE="1")


def snakemake(folder, *arguments):
    command, environment = command_line(*arguments)
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    return result.returncode, result.stdout + result.stderr


def jobs_to_run(folder, *arguments):
    """How many jobs of each rule a dry run lists."""
    code, output = snakemake(folder, "-n", *arguments)
    assert code == 0, output[-3000:]
    if "Nothing to be done" in output:
        return {}
    table = output.split("Job stats:")[1].split("total")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, flags=re.M)}


def copy_of(folder, target, *options):
    """A copy with the dates of all files, or as `cp` makes it with other options."""
    subprocess.run(["cp", *(options or ["-a"]), folder, target], check=True)
    return target


def stub_of_conda(folder):
    """A folder with a `conda` that answers what Snakemake asks of it, and can do nothing else."""
    script = folder / "bin" / "conda"
    script.parent.mkdir()
    script.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        "--version) echo conda 25.1.0 ;;\n"
        """"config --get"*) echo '{"get": {"channel_priority": "strict"}}' ;;\n"""
        """*) echo '{"platform": "linux-64", "conda_prefix": "/opt/conda"}' ;;\n"""
        "esac\n"
    )
    script.chmod(0o755)
    return script.parent
