"""Check one case and bring it to the working grid."""

from pathlib import Path

from organbench import cases
from organbench.errors import job_log

with job_log(snakemake.log[0]):
    cases.convert(
        snakemake.wildcards.case,
        snakemake.input.volume,
        snakemake.input.labels,
        Path(snakemake.output.case).parent,
        organs=snakemake.params.organs,
        ignored=snakemake.params.ignored,
        spacing=snakemake.params.spacing,
    )
