"""Measure one prediction against the original labels."""

from organbench.core import files, jobs, tables
from organbench.data import grids, images
from organbench.evaluation import metrics

both, params = (snakemake.input.labels, snakemake.input.prediction), snakemake.params
with jobs.job_log(snakemake.log[0]), files.unchanged(*both):
    reference = images.read_labels(snakemake.input.labels, params.organs, params.ignored)
    prediction = images.read_labels(snakemake.input.prediction, params.organs)
    grids.check_pair(grids.Grid.of(reference), grids.Grid.of(prediction), *both)
    (true, grid), (predicted, _) = (grids.oriented(image) for image in (reference, prediction))  # so that z is axial
    table = metrics.measure(
        true,
        predicted,
        organs=list(params.organs),
        spacing=grid.spacing,
        tolerance_mm=params.tolerance_mm,
        workers=snakemake.threads,
    )
    table = table[table["organ"].isin(params.scored)]
    for position, column in enumerate(("model", "fold", "seed", "case")):
        table.insert(position, column, snakemake.wildcards[column])
    tables.write(table, snakemake.output[0])
