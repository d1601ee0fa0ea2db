"""Fetch the planned dose of one patient of the OpenKBP challenge."""

from organbench.core.jobs import job_log
from organbench.data.sources.openkbp import fetching

with job_log(snakemake.log[0]):
    params, files = snakemake.params, (snakemake.input.volume, snakemake.output.dose)
    fetching.fetch_dose(snakemake.wildcards.case, params.address, params.folder, *files, moments=params.moments)
