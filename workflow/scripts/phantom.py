"""Generate one patient."""

from organbench import phantoms, volumes
from organbench.jobs import job_log

with job_log(snakemake.log[0]):
    volume, labels = phantoms.phantom(
        int(snakemake.wildcards.case), seed=snakemake.params.seed, size=snakemake.params.size
    )
    volumes.write(volume, snakemake.output.volume)
    volumes.write(labels, snakemake.output.labels)
