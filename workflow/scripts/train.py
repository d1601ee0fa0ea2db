"""Train one contender on one fold with one seed, or a candidate of tuning; on several GPUs where they are granted."""

from organbench.hardware import devices
from organbench.learning import processes, training, tuned

choice = getattr(snakemake.input, "tuned", None)  # none where nothing is tuned, and for a candidate
job = {
    **snakemake.params.folders,
    **{name: getattr(snakemake.params, name) for name in ("window", "organs")},
    "settings": tuned.settings_with(snakemake.params.settings, choice),
    # not among the params: where these shape the weights they are among the settings, and otherwise train nothing again
    "prediction": snakemake.config["prediction"],
    # nor this: going on without a bad case in another fold trains nothing again
    "skip_bad": snakemake.config["dataset"]["on_bad_case"] == "skip",
    "seed": int(snakemake.wildcards.seed),
    "threads": snakemake.threads,
    "gpus": snakemake.resources.gpu,
    "code": snakemake.params.code,
    "checkpoint": snakemake.params.checkpoint,
    "log": snakemake.log[0],
    "candidate": hasattr(snakemake.wildcards, "candidate"),
    "trained": tuned.folder_of(choice),
    # no output of a candidate, which may diverge
    "weights": getattr(snakemake.output, "weights", None) or snakemake.params.weights,
    **{name: getattr(snakemake.output, name) for name in ("history", "cost")},
}
count = devices.reserve(snakemake.resources.gpu)
if count > 1:
    processes.launch(training.run, job, count)
else:
    training.run(job)
