"""Measure one prediction against the original labels."""

from organbench.core import tables
from organbench.core.files import unchanged
from organbench.core.jobs import job_log
from organbench.data import grids
from organbench.data.grids import Grid
from organbench.data.images import read_labels
from organbench.evaluation import metrics

files, params = (snakemake.input.labels, snakemake.input.prediction), snakemake.params
with job_log(snakemake.log[0]), unchanged(*files):
    reference, prediction = read_labels(files[0], params.organs, params.ignored), read_labels(files[1], params.organs)
    grids.check_pair(Grid.of(reference), Grid.of(prediction), *files)
    (true, grid), (predicted, _) = (grids.oriented(image) for image in (reference, prediction))  # so that z is axial
    table = metrics.measure(
        true,
        predicted,
        organs=list(params.organs),
        spacing=grid.spacing,
        tolerance_mm=params.tolerance_mm,
        workers=snakemake.threads,
    )
    for position, column in enumerate(("model", "fold", "seed", "case")):
        table.insert(position, column, snakemake.wildcards[column])
    tables.write(table, snakemake.output[0])
