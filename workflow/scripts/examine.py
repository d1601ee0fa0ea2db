"""Check one case as its conversion would, and keep nothing but what was found."""

from organbench.core.errors import InputError
from organbench.core.files import write_json
from organbench.core.jobs import job_log
from organbench.data import conversion

with job_log(snakemake.log[0]) as logger:
    name, originals, params = (
        snakemake.wildcards.case,
        (snakemake.input.volume, snakemake.input.labels),
        snakemake.params,
    )
    try:
        _, _, info = conversion.prepare(
            name, *originals, organs=params.organs, ignored=params.ignored, spacing=params.spacing
        )
    except InputError as error:
        logger.info("error: %s", error)
        info = {"case": name, "bad": str(error)}
    write_json(info, snakemake.output[0])
