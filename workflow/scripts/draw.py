"""Write one prediction as a planning system reads it: as the structures of a file that refers to the CT's slices."""

from pathlib import Path

from organbench.core import jobs
from organbench.core.version import VERSION
from organbench.data import images
from organbench.data.dicom import drawings
from organbench.reporting.colours import ORGAN_COLOURS, palette

with jobs.job_log(snakemake.log[0]) as logger:
    organs, named = snakemake.params.organs, snakemake.wildcards
    series = images.series_in(snakemake.params.image)
    masks, notes = drawings.of_labels(Path(snakemake.input.prediction), organs, series)
    for note in notes:
        logger.info("%s", note)
    drawings.write(
        named.kind,
        masks,
        series,
        Path(snakemake.output[0]),
        colors=palette(organs, ORGAN_COLOURS),
        algorithm=named.model,
        version=VERSION,
    )
