"""Say what a case's planned dose is like, and why where it cannot be used."""

from organbench.core import errors, files, jobs
from organbench.data import cases, doses

given, params = snakemake.input, snakemake.params
with jobs.job_log(snakemake.log[0]) as logger, files.unchanged(given.labels, *given.dose):
    found, info = {}, cases.read_info(given.case)
    try:
        if "bad" in info:
            found = {"excluded": info["bad"]}
        elif given.dose:
            found = doses.survey(
                given.dose,
                given.labels,
                params.organs,
                params.ignored,
                frame_of_reference=doses.frame_of(info),
                drawn_path=given.get("drawn"),
            )
    except errors.InputError as error:  # no failure yet, so that all faults are named together
        logger.info("error: %s", error)
        found = {"bad": str(error)}
    files.write_json(found, snakemake.output[0])
