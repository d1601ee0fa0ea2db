"""Check one case and bring it to the working grid; write down why where that cannot be done."""

from pathlib import Path

from organbench.core.errors import InputError
from organbench.core.files import unchanged
from organbench.core.jobs import job_log
from organbench.data import cases, conversion, origins

originals = snakemake.input.volume, snakemake.input.labels
with job_log(snakemake.log[0]) as logger, unchanged(*originals):
    name, folder, params = snakemake.wildcards.case, Path(snakemake.output.case).parent, snakemake.params
    try:
        prepared = conversion.prepare(
            name, *originals, organs=params.organs, ignored=params.ignored, spacing=params.spacing
        )
    except InputError as error:  # no failure yet, so that check_cases names all excluded cases together
        logger.info("error: %s", error)
        cases.write_excluded(name, str(error), folder, params.tried)
    else:
        cases.write(*prepared, folder)
    origins.note(folder, dict(zip(("volume", "labels"), originals, strict=True)))
