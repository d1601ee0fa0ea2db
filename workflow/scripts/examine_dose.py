"""Say what a case's planned dose is like, and why where it cannot be used."""

from organbench.core import errors, files, jobs
from organbench.data import doses

given, params = snakemake.input, snakemake.params
with jobs.job_log(snakemake.log[0]) as logger, files.unchanged(given.labels, *given.dose):
    found = {}
    try:
        if given.dose:
            found = doses.survey(given.dose, given.labels, params.organs, params.ignored)
    except errors.InputError as error:  # no failure yet, so that check_data names all faults together
        logger.info("error: %s", error)
        found = {"bad": str(error)}
    files.write_json(found, snakemake.output[0])
