"""Measure one prediction against the original labels."""

import SimpleITK as sitk

from organbench import metrics, volumes
from organbench.errors import atomic, job_log

with job_log(snakemake.log[0]):
    organs = snakemake.params.organs
    reference = volumes.read_labels(snakemake.input.labels, organs, snakemake.params.ignored)
    prediction = volumes.read_labels(snakemake.input.prediction, organs)
    volumes.check_pair(reference, prediction, snakemake.input.labels, snakemake.input.prediction)
    table = metrics.overlap(
        sitk.GetArrayViewFromImage(reference),
        sitk.GetArrayViewFromImage(prediction),
        organs=list(organs),
        voxel_ml=volumes.Grid.of(reference).voxel_ml,
    )
    for position, column in enumerate(("model", "fold", "seed", "case")):
        table.insert(position, column, snakemake.wildcards[column])
    with atomic(snakemake.output[0]) as path:
        table.to_csv(path, index=False)
