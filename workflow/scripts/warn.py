"""List what to look at before the tables are believed."""

from organbench.analysis import convergence
from organbench.core import jobs, tables

with jobs.job_log(snakemake.log[0]) as logger:
    trainings, per_case = tables.records(snakemake.input.trainings), tables.read(snakemake.input.per_case)
    found = convergence.only_background(trainings, per_case)
    for words in found["words"]:
        logger.warning("warning: %s", words)  # warnings reach the screen
    tables.write(found, snakemake.output[0])
