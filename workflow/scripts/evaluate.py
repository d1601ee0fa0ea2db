"""Measure one prediction against the original labels."""

from organbench.core.files import atomic, unchanged
from organbench.core.jobs import job_log
from organbench.data import volumes
from organbench.evaluation import metrics

with job_log(snakemake.log[0]), unchanged(snakemake.input.labels, snakemake.input.prediction):
    organs = snakemake.params.organs
    reference = volumes.read_labels(snakemake.input.labels, organs, snakemake.params.ignored)
    prediction = volumes.read_labels(snakemake.input.prediction, organs)
    volumes.check_pair(reference, prediction, snakemake.input.labels, snakemake.input.prediction)
    (true, grid), (predicted, _) = (volumes.oriented(image) for image in (reference, prediction))  # so that z is axial
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
