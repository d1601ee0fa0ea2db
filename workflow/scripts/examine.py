"""Check one case as its conversion would, and keep nothing but what was found."""

from organbench.core.errors import InputError
from organbench.core.files import write_json
from organbench.core.jobs import job_log
from organbench.data import conversion

with job_log(snakemake.log[0]) as logger:
    try:
        _, _, info = conversion.prepare(
            snakemake.wildcards.case,
            snakemake.input.volume,
            snakemake.input.labels,
            organs=snakemake.params.organs,
            ignored=snakemake.params.ignored,
            spacing=snakemake.params.spacing,
        )
    except InputError as error:
        logger.info("error: %s", error)
        info = {"case": snakemake.wildcards.case, "bad": str(error)}
    write_json(info, snakemake.output[0])
