"""Have nnU-Net predict one test case, and write that as any prediction."""

import sys
import tempfile
from pathlib import Path

import SimpleITK as sitk

from organbench.core.files import unchanged, write_json
from organbench.core.jobs import job_log
from organbench.data import cases, conversion, images
from organbench.data.grids import Grid
from organbench.learning.nnunet import calling, layout
from organbench.study import protocol

volume, tmpdir = snakemake.input.volume, snakemake.resources.tmpdir
with job_log(snakemake.log[0]) as logger, unchanged(volume), tempfile.TemporaryDirectory(dir=tmpdir) as temporary:
    job, work = dict(snakemake.params.job), Path(temporary)
    fixed = protocol.Values.of(snakemake.params.evaluation, job["organs"])
    protocol.register(Path(snakemake.params.results), fixed)
    info = cases.read_info(snakemake.input.case)
    job |= {
        "case": info["case"],
        "image": str(layout.readable(volume, work / "image.nii.gz")),
        "weights": str(Path(snakemake.input.weights).absolute()),
        "gpus": snakemake.resources.gpu,
        "labels": str(work / "labels.nii.gz"),
    }
    cost = calling.call("predict", job, work, threads=snakemake.threads, log=snakemake.log[0], own=sys.executable)
    indices = sitk.GetArrayFromImage(images.read(work / "labels.nii.gz"))
    conversion.write_labels(indices, Grid.from_json(info["original"]), info["organs"], snakemake.output.labels)
    write_json(cost, snakemake.output.cost)
    logger.info("predicted %s on %s, in %.1f s", info["case"], cost["device"], cost["prediction_seconds"])
