"""Say of each network whether its validation Dice still rose when training ended."""

from organbench.analysis import convergence
from organbench.core import jobs, tables

with jobs.job_log(snakemake.log[0]) as logger:
    params = snakemake.params
    found = convergence.table(tables.histories(snakemake.input.histories), params.models, params.margin)
    for words in found["words"]:
        logger.info(words)
    tables.write(found, snakemake.output[0])
