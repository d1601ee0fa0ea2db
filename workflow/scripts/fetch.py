"""Fetch one patient of the OpenKBP challenge."""

from organbench.core.jobs import job_log
from organbench.data.sources.openkbp import fetching

with job_log(snakemake.log[0]):
    params, output = snakemake.params, (snakemake.output.volume, snakemake.output.labels)
    fetching.fetch(snakemake.wildcards.case, params.address, params.folder, *output, checksums=params.checksums)
