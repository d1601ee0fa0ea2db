"""Have nnU-Net train on a fold that was prepared, and keep what comes of it as of any training."""

import json
import sys
from pathlib import Path

from organbench.core.files import write_json
from organbench.core.jobs import job_log
from organbench.data import cases, origins
from organbench.learning import run as trainings
from organbench.learning.nnunet import calling
from organbench.study import identity
from organbench.study.kinds import nnunet

job, told = dict(snakemake.params.job), dict(snakemake.params.nnunet)
with job_log(snakemake.log[0]) as logger:
    folders = map(Path, (*job["training"], *job["validation"]))
    infos = {
        folder.name: cases.read_info(folder / "case.json") | {"sources": origins.read(folder)} for folder in folders
    }
    infos = {case: info for case, info in infos.items() if "bad" not in info or not job["skip_bad"]}
    job["identity"] = identity.of_folders(job, infos)
    if not trainings.is_there(job):
        run, prepared = Path(job["folder"]), Path(snakemake.input.prepared)
        made = run / nnunet.CHECKPOINTS
        told |= {
            "seed": job["seed"],
            "validated": any(case in infos for case in told["validation"]),
            "stamp": job["identity"]["sha256"],
            "gpus": snakemake.resources.gpu,
            "folder": str(made.absolute()),
        }
        calling.call(
            "train", told, prepared, results=made, threads=snakemake.threads, log=snakemake.log[0], own=sys.executable
        )
        planning = json.loads((prepared / calling.PLANNED).read_text())
        cost = json.loads((made / trainings.FILES["cost"]).read_text())
        trainings.set_aside(run)
        for name in ("weights", "history"):
            (made / trainings.FILES[name]).replace(run / trainings.FILES[name])
        write_json({**cost, "planning": planning, "identity": job["identity"]}, run / trainings.FILES["cost"])
