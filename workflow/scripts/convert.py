"""Check one case and bring it to the working grid."""

from pathlib import Path

from organbench import cases
from organbench.errors import job_log, unchanged

with job_log(snakemake.log[0]), unchanged(snakemake.input.volume, snakemake.input.labels):
    cases.convert(
        snakemake.wildcards.case,
        snakemake.input.volume,
        snakemake.input.labels,
        Path(snakemake.output.case).parent,
        organs=snakemake.params.organs,
        ignored=snakemake.params.ignored,
        spacing=snakemake.params.spacing,
    )
