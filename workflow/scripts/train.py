"""Train one model on one fold with one seed, or a candidate of tuning; on several GPUs where they are granted."""

from pathlib import Path

from organbench.core.jobs import job_log
from organbench.data import cases
from organbench.hardware import devices
from organbench.learning import processes, run
from organbench.study import identity

choice = getattr(snakemake.input, "tuned", None)  # none where nothing is tuned, and for a candidate
job = dict(snakemake.params.job)
job |= {
    "settings": run.settings_with(job["settings"], choice),
    "threads": snakemake.threads,
    "gpus": snakemake.resources.gpu,
    "log": snakemake.log[0],
    "trained": run.folder_of(choice),
}
with job_log(job["log"]):
    infos = [cases.read_info(Path(folder, "case.json")) for folder in (*job["training"], *job["validation"])]
    infos = {info["case"]: info for info in infos if "bad" not in info or not job["skip_bad"]}
    job["identity"] = identity.of_folders(job, infos)
    there = run.is_there(job)
if not there:
    count = devices.reserve(snakemake.resources.gpu)
    if count > 1:
        processes.launch(run.run, job, count)
    else:
        run.run(job)
