"""Lay out a fold for nnU-Net, and have nnU-Net plan and preprocess it."""

import sys
from pathlib import Path

from organbench.core.jobs import job_log
from organbench.data import cases
from organbench.learning.nnunet import calling, layout

with job_log(snakemake.log[0]) as logger:
    params, job = snakemake.params, dict(snakemake.params.job)
    folder = Path(snakemake.output[0])
    names = [*job["training"], *job["validation"]]
    infos = dict(zip(names, map(cases.read_info, snakemake.input.cases), strict=True))
    files = dict(zip(names, zip(snakemake.input.volumes, snakemake.input.labels, strict=True), strict=True))
    usable = {case: pair for case, pair in files.items() if "bad" not in infos[case]}
    layout.write(folder, usable, organs=params["values"], ignored=params.ignored, linked=params.elsewhere is None)
    for role in ("training", "validation"):
        job[role] = [case for case in job[role] if case in usable]
    logger.info("laid out %d cases for nnU-Net", len(usable))
    calling.call("prepare", job, folder, threads=snakemake.threads, log=snakemake.log[0], own=sys.executable)
