"""Check one case and bring it to the working grid, or only say what was found, and why where it cannot be used."""

from pathlib import Path

from organbench.core import errors, files, jobs
from organbench.data import cases, conversion, origins

originals = {"volume": snakemake.input.volume, "labels": snakemake.input.labels}
with jobs.job_log(snakemake.log[0]) as logger, files.unchanged(*originals.values()):
    name, params = snakemake.wildcards.case, snakemake.params
    try:
        prepared = conversion.prepare(
            name, *originals.values(), organs=params.organs, ignored=params.ignored, spacing=params.spacing
        )
    except errors.InputError as error:  # no failure yet, so that check_cases names all excluded cases together
        logger.info("error: %s", error)
        prepared = cases.excluded(name, str(error), params.tried)
    if hasattr(snakemake.output, "case"):
        folder = Path(snakemake.output.case).parent
        cases.write(*prepared, folder)
        origins.note(folder, originals)
    else:
        files.write_json(prepared[-1], snakemake.output[0])
