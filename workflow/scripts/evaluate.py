"""Measure one prediction against the original labels."""

from organbench.core.files import atomic, unchanged
from organbench.core.jobs import job_log
from organbench.data import grids
from organbench.data.grids import Grid
from organbench.data.images import read_labels
from organbench.evaluation import metrics

with job_log(snakemake.log[0]), unchanged(snakemake.input.labels, snakemake.input.prediction):
    organs = snakemake.params.organs
    reference = read_labels(snakemake.input.labels, organs, snakemake.params.ignored)
    prediction = read_labels(snakemake.input.prediction, organs)
    ours, theirs = (Grid.of(image) for image in (reference, prediction))
    grids.check_pair(ours, theirs, snakemake.input.labels, snakemake.input.prediction)
    (true, grid), (predicted, _) = (grids.oriented(image) for image in (reference, prediction))  # so that z is axial
    table = metrics.measure(
        true,
        predicted,
        organs=list(organs),
        spacing=grid.spacing,
        tolerance_mm=snakemake.params.tolerance_mm,
        workers=snakemake.threads,
    )
    for position, column in enumerate(("model", "fold", "seed", "case")):
        table.insert(position, column, snakemake.wildcards[column])
    with atomic(snakemake.output[0]) as path:
        table.to_csv(path, index=False)
