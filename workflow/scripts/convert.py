"""Check one case and bring it to the working grid, or only say what was found, and why where it cannot be used."""

from pathlib import Path

from organbench.core import errors, files, jobs
from organbench.data import cases, conversion, origins, references, structures

originals = {"volume": snakemake.input.volume, "labels": snakemake.input.labels}
with jobs.job_log(snakemake.log[0]) as logger, files.unchanged(*originals.values()):
    name, params, output = snakemake.wildcards.case, snakemake.params, snakemake.output
    asked, reference = params.structures, None
    try:
        if asked:
            names = dict(zip(params.organs, asked["names"], strict=True))
            frame = structures.Frame.of(originals["volume"])
            reference = references.read(originals["labels"], frame, names, absent=asked["missing"] == "absent")
        prepared = conversion.prepare(
            name,
            *originals.values(),
            organs=params.organs,
            ignored=params.ignored,
            spacing=params.spacing,
            reference=reference,
            unannotated=[list(params.organs)[index - 1] for index in params.unannotated],
        )
        if reference:
            prepared[-1]["structures"]["asked"] = asked
            for note in (*reference.notes, *filter(None, [reference.overlaps])):
                logger.info("%s", note)
    except errors.InputError as error:  # no failure yet, so that check_cases names all excluded cases together
        logger.info("error: %s", error)
        prepared, reference = cases.excluded(name, str(error), params.tried), None
    if hasattr(output, "labels"):
        indices, grid = (reference.labels, reference.grid) if reference else references.NOTHING
        conversion.write_labels(indices, grid, params.organs, output.labels)
    if hasattr(output, "drawn"):
        references.write_drawn(reference, list(params.organs), output.drawn)
    if hasattr(output, "image"):
        folder = Path(output.case).parent
        cases.write(*prepared, folder)
        origins.note(folder, originals)
    else:
        files.write_json(prepared[-1], output.case)
