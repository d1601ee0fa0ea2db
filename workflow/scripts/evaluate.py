"""Measure one prediction against the original labels, and in Gy where the study has planned doses."""

import numpy as np

from organbench.core import files, jobs, tables
from organbench.data import cases, doses, grids, images, shared_voxels
from organbench.evaluation import metrics

both, params = (snakemake.input.labels, snakemake.input.prediction), snakemake.params
planned = snakemake.input.dose
with jobs.job_log(snakemake.log[0]) as logger, files.unchanged(*both, *planned):
    reference = images.read_labels(snakemake.input.labels, params.organs, params.ignored)
    prediction = images.read_labels(snakemake.input.prediction, params.organs)
    grids.check_pair(grids.Grid.of(reference), grids.Grid.of(prediction), *both)
    (true, grid), (predicted, _) = (grids.oriented(image) for image in (reference, prediction))  # so that z is axial
    drawn, unannotated = shared_voxels.read_drawn(snakemake.input.get("drawn"), grids.Grid.of(reference))
    unannotated.update(params.unannotated)
    predicted = np.where(np.isin(predicted, list(unannotated)), 0, predicted) if unannotated else predicted
    also_drawn, _ = shared_voxels.read_drawn(snakemake.input.get("made") or None, grids.Grid.of(prediction))
    gray = None
    if params.dose is not None:
        scan = grids.Grid.of(reference)
        frame = doses.frame_of(cases.read_info(snakemake.input.case))
        dose = doses.on(scan, doses.read(planned, frame)) if planned else doses.unknown(scan)
        gray, _ = grids.oriented(dose)
        for organ in doses.uncovered(true, gray, list(params.organs), drawn):
            logger.info("%s: not scored in Gy, as the planned dose does not cover it", organ)
    table = metrics.measure(
        true,
        predicted,
        organs=list(params.organs),
        spacing=grid.spacing,
        tolerance_mm=params.tolerance_mm,
        workers=snakemake.threads,
        dose=gray,
        drawn=drawn,
        predicted_drawn=also_drawn,
    )
    known = {organ for index, organ in enumerate(params.organs, start=1) if index not in unannotated}
    table = table[table["organ"].isin(known.intersection(params.scored))]
    for position, column in enumerate(("model", "fold", "seed", "case")):
        table.insert(position, column, snakemake.wildcards[column])
    tables.write(table, snakemake.output[0])
