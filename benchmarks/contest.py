"""Measure contestants side by side: in turn, each run in a process of its own, so that a drift of the machine hits all.

A benchmark is a script with a function a contestant. The function does the job once and returns what it measured of
itself, at least `seconds`; its docstring says what exactly it does, and goes into the results.
"""

import argparse
import functools
import inspect
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCRIPTS = HERE.parent / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

PREPARE = "prepare"
PACKAGES = ("numpy", "scipy", "SimpleITK", "torch", "monai", "nnunetv2", "surface-distance", "pydicom", "rt-utils")

Contestant = Callable[[Path], dict[str, float]]


def main(
    benchmark: str,
    contestants: Mapping[str, Contestant],
    *,
    claims: Sequence[Mapping[str, Any]],
    prepare: Callable[[Path, Path], None],
    needs_ct: bool = True,
    warmups: int = 1,
) -> None:
    """The command line of a benchmark.

    Args:
        benchmark: its name, that of `results/<benchmark>.json`.
        contestants: each one's name and function, which is given the work folder.
        claims: what is to be shown of them; see `report`.
        prepare: makes the inputs in the work folder (first argument), from the CT's folder (second).
        needs_ct: whether the CT's folder is asked for.
        warmups: rounds that are not counted: they fill the disk cache and compile Python's files.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    if needs_ct:
        parser.add_argument("ct", type=Path, help="folder of cxr.nii.gz and mask.nii.gz; see README.md")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "organbench-benchmarks")
    parser.add_argument("--repetitions", type=int, default=5, help="counted runs of each contestant")
    parser.add_argument("--only", nargs="+", choices=contestants, default=list(contestants), help="fewer contestants")
    parser.add_argument("--contestant", choices=[*contestants, PREPARE], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contestant == PREPARE:
        prepare(given.work, given.ct if needs_ct else given.work)
        print("{}")
        return
    if given.contestant:
        print(json.dumps(contestants[given.contestant](given.work)))
        return
    given.work.mkdir(parents=True, exist_ok=True)
    run(PREPARE)  # elsewhere, because Linux counts what a parent holds as memory that its new process held
    load = os.getloadavg()[0]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in given.only}
    for repetition in range(-warmups, given.repetitions):
        for name in given.only:
            result = run(name)
            print(f"{'warm-up' if repetition < 0 else repetition + 1}  {name}: {shown(result)}", flush=True)
            if repetition >= 0:
                runs[name].append(result)
    content = {
        "benchmark": benchmark,
        "machine": machine() | {"load_before": round(load, 2)},
        "contestants": {name: {"does": does(contestants[name]), "runs": results} for name, results in runs.items()},
        "claims": list(claims),
    }
    path = HERE / "results" / f"{benchmark}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"written: {path}")


def run(name: str) -> dict[str, float]:
    """Let a contestant run in a new process.

    Returns:
        What it measured itself, with `process_seconds` (from its start to its end, imports included) and `peak_mib`,
        the most memory it held.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *sys.argv, "--contestant", name],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        output.seek(0)
        printed = output.read()
    if status:
        raise SystemExit(f"{name} failed:\n{printed}")
    factor = 1024 if platform.system() == "Linux" else 1024**2  # kilobytes, but bytes on macOS
    measured = json.loads(printed.splitlines()[-1])
    return measured | {"process_seconds": round(seconds, 3), "peak_mib": round(usage.ru_maxrss / factor, 1)}


def does(contestant: Contestant) -> str:
    """What a contestant does: its docstring, on one line."""
    function = contestant.func if isinstance(contestant, functools.partial) else contestant
    return " ".join((inspect.getdoc(function) or "").split())


def shown(result: Mapping[str, Any]) -> str:
    """A run's numbers on a line."""
    return ", ".join(f"{key} {value:.4g}" for key, value in result.items())


def machine() -> dict[str, Any]:
    """What the numbers were measured on and with."""
    from organbench.hardware import devices

    installed = {distribution.name.lower() for distribution in metadata.distributions()}
    return {
        "cpu": devices.cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {package: metadata.version(package) for package in PACKAGES if package.lower() in installed},
    }
