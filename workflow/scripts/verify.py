"""Say of every run whether it repeats itself; fail where one does not."""

from organbench.core import errors, files, jobs

with jobs.job_log(snakemake.log[0]) as logger:
    if not snakemake.input.runs:
        raise errors.InputError(
            "config, models: no network is trained by this study, so none can repeat itself; add one"
        )
    different = []
    for path in snakemake.input.runs:
        run = files.read_json(path)
        weights = "agree" if run["weights_agree"] else "DIFFER"
        voxels = run["voxels_that_differ"]
        prediction = "agrees" if voxels == 0 else f"DIFFERS in {voxels} voxels"
        message = f"{run['run']}: weights after {run['steps']} steps {weights}, "
        message += f"prediction of case {run['case']} {prediction}"
        for key, (then, now) in run["then_and_now"].items():
            message += f"; {key} was {then} and is {now}"
        logger.warning(message)  # warnings reach the screen
        if voxels or not run["weights_agree"]:
            different.append(run["run"])
    if different:
        count = f"{len(different)} of {len(snakemake.input.runs)}"
        raise errors.InputError(f"{count} runs do not repeat: {', '.join(different)}")
