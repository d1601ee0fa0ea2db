"""Train a model's first steps again and predict a case again; do both agree with what is on disk, bit for bit?"""

import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from organbench.core import files, jobs, runs, tables
from organbench.data import conversion
from organbench.hardware import devices
from organbench.inference.prediction import predict_files
from organbench.learning.run import Job, settings_with, train_files
from organbench.learning.trainer import FINGERPRINT_STEP

CONDITIONS = ("device", "precision", "threads", "versions")  # of cost.json: what may move the last bits

with jobs.job_log(snakemake.log[0]):
    device = devices.prepare(threads=snakemake.threads, gpus=snakemake.resources.gpu)
    recorded = files.read_json(snakemake.input.cost)
    job = snakemake.params.job | {"validation": [], "threads": snakemake.threads, "gpus": snakemake.resources.gpu}
    job["settings"] = settings_with(job["settings"], getattr(snakemake.input, "tuned", None))
    with tempfile.TemporaryDirectory() as folder:
        job["folder"] = folder
        again = Job.of(job)
        _, _, rows, cost = train_files(again, device=device, checkpoint_seconds=float("inf"), until=FINGERPRINT_STEP)
        history = tables.read(snakemake.input.history)
        losses = [row["loss"] for row in rows] == history["loss"][: len(rows)].tolist()
        case_folder = Path(snakemake.input.image).parent
        network = job["settings"]["network"]["network"]
        prediction, case, _ = predict_files(
            [snakemake.input.weights], case_folder, again.prediction, device, networks=[network]
        )
        written = Path(folder, "again.nii.gz")
        conversion.write_prediction(prediction, case, written)
        ours, theirs = (
            sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in (written, snakemake.input.prediction)
        )
    changed = {key: [recorded[key], cost[key]] for key in CONDITIONS if recorded[key] != cost[key]}
    result = {
        "run": str(runs.Run.of(snakemake.input.cost)),
        "steps": len(rows),
        "weights_agree": losses and recorded["fingerprint"] == cost["fingerprint"],
        "case": case.name,
        "voxels_that_differ": int(np.count_nonzero(ours != theirs)) if ours.shape == theirs.shape else ours.size,
        "then_and_now": changed,
    }
    files.write_json(result, snakemake.output[0])
