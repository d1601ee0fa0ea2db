"""Fetch one patient of the OpenKBP challenge."""

from organbench.core.jobs import job_log
from organbench.data.sources.openkbp import fetching

with job_log(snakemake.log[0]):
    fetching.fetch(
        snakemake.wildcards.case,
        snakemake.params.address,
        snakemake.params.folder,
        snakemake.output.volume,
        snakemake.output.labels,
        checksums=snakemake.params.checksums,
    )
