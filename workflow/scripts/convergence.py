"""Say of each network whether its validation Dice still rose when training ended."""

from organbench import convergence, tables
from organbench.files import atomic
from organbench.jobs import job_log

with job_log(snakemake.log[0]) as logger:
    params = snakemake.params
    found = convergence.table(tables.histories(snakemake.input.histories), params.models, params.margin)
    for words in found["words"]:
        logger.info(words)
    with atomic(snakemake.output[0]) as path:
        found.to_csv(path, index=False)
