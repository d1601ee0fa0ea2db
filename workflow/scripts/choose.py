"""Choose the settings of a network in a fold from what its candidates reached on the validation cases."""

from pathlib import Path

from organbench.analysis import choosing
from organbench.core import files, jobs
from organbench.study import tuning

with jobs.job_log(snakemake.log[0]) as logger:
    candidates, wildcards = tuning.candidates(snakemake.params.tune), snakemake.wildcards
    table = choosing.assess(Path(snakemake.output[0]).parent, candidates, snakemake.params.weights)
    for row in table.itertuples():
        logger.info("%s: validation Dice %.4f%s", list(candidates)[row.Index], row.dice, " failed" * row.failed)
    name = list(candidates)[choosing.choose(table, f"{wildcards.model} in fold {wildcards.fold}")]
    logger.info("chosen: %s", name)
    # Scores are not in it: another candidate that is not chosen then leaves it as it was, and trains nothing again.
    files.write_json({"candidate": name, "settings": candidates[name]}, snakemake.output[0])
