"""Train one contender on one fold with one seed; on several GPUs where they are granted."""

from pathlib import Path

from organbench import devices, processes, training

job = {
    **snakemake.params.folders,
    **{name: getattr(snakemake.params, name) for name in ("settings", "window", "organs")},
    # not among the params: where these shape the weights they are among the settings, and otherwise train nothing again
    "prediction": snakemake.config["prediction"],
    # nor this: going on without a bad case in another fold trains nothing again
    "skip_bad": snakemake.config["dataset"]["on_bad_case"] == "skip",
    "seed": int(snakemake.wildcards.seed),
    "threads": snakemake.threads,
    "gpus": snakemake.resources.gpu,
    "code": [str(Path(snakemake.scriptdir, "train.py")), *snakemake.input.code],
    "checkpoint": snakemake.params.checkpoint,
    "log": snakemake.log[0],
    **{name: getattr(snakemake.output, name) for name in ("weights", "history", "cost")},
}
count = devices.reserve(snakemake.resources.gpu)
if count > 1:
    processes.launch(training.run, job, count)
else:
    training.run(job)
