"""Reads files in a process of its own, with little memory and time: what hostile input must be refused in."""

import io
import json
import logging
import multiprocessing
import os
import resource
import sys
import traceback
from multiprocessing import forkserver
from pathlib import Path
from unittest import mock

import torch
import yaml
from snakemake.common.configfile import load_configfile

from organbench.core.errors import InputError
from organbench.core.jobs import LOGGER
from organbench.data import cases, conversion, finding, splits
from organbench.inference import weights
from organbench.learning.checkpoint import Checkpoint
from organbench.study import configuration, schema

ROOT = Path(__file__).parents[1]
ORGANS = {"liver": [1], "brain": [2]}

MEMORY = 2 << 30  # bytes beyond what the process has when it starts
SECONDS = 10  # of computing

CONTEXT = multiprocessing.get_context("forkserver")  # so that all is imported once
CONTEXT.set_forkserver_preload(["limits"])


def limited(function, *arguments):
    """What comes of a call: `read` and what it returns, `refused` and the message of an InputError, or `failed`."""
    with mock.patch.dict(os.environ, {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}):
        forkserver.ensure_running()
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=work, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        return receiver.recv() if receiver.poll(120) else ("failed", "it did not end")
    except EOFError:
        process.join(10)
        return "failed", f"the process ended with {process.exitcode}"
    finally:
        process.kill()
        process.join(10)


def work(sender, function, arguments):
    with open("/proc/self/statm") as file:
        present = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (present + MEMORY, present + MEMORY))
    spent = int(resource.getrusage(resource.RUSAGE_SELF).ru_utime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + SECONDS, spent + SECONDS))
    try:
        result = "read", function(*arguments)
    except InputError as error:
        result = "refused", str(error)
    except BaseException:  # also KeyboardInterrupt and SystemExit are no refusals
        result = "failed", traceback.format_exc()
    sender.send(result)


# --- what is done with a file; the folder is where a program in it would leave a trace


def convert(folder, volume, labels):
    os.chdir(folder)
    conversion.convert("7", volume, labels, "results", organs=ORGANS, spacing=(1.0, None, None))
    return json.loads((folder / "results/case.json").read_text())["voxels"]


def resolve(folder, path):
    os.chdir(folder)
    defaults = yaml.safe_load((ROOT / "config.yaml").read_text())
    known = schema.load(ROOT / "workflow/schemas/config.schema.yaml")
    configuration.check_keys(path)
    resolved = configuration.resolve(load_configfile(path), defaults, known)
    splits.split(["a", "b", "c"], **resolved["split"])


def read_split(folder, path):
    os.chdir(folder)
    splits.read(path, ["a", "b"])


def find_cases(folder, root):
    os.chdir(folder)
    dataset = {"source": "nifti", "root": root, "image": "volume-{case}.nii", "label": "labels-{case}.nii"}
    return finding.find_cases(dataset | {"on_bad_case": "stop"})


def load_case(folder, path):
    os.chdir(folder)
    cases.load(path)


def load_weights(folder, path):
    os.chdir(folder)
    weights.load(path, torch.device("cpu"))


def resume(folder, path):
    os.chdir(folder)
    lines = io.StringIO()
    to_lines = logging.StreamHandler(lines)
    LOGGER.addHandler(to_lines)
    progress = Checkpoint(path, "s", {}).resume({})
    LOGGER.removeHandler(to_lines)
    return progress.step, lines.getvalue()
