"""Draw truth and predictions on the CT, for the best, the median, the worst and the most disputed case."""

import pandas as pd
import SimpleITK as sitk

from organbench import figures, volumes
from organbench.errors import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    organs = {organ: values[:1] for organ, values in params.organs.items()}  # predictions hold the first value
    folds = pd.read_csv(snakemake.input.per_case, dtype={"case": str}).groupby("case")["fold"].first()
    examples = pd.read_csv(snakemake.input.examples, dtype={"case": str})
    rows = []
    for (rank, case), chosen in examples.groupby(["rank", "case"], sort=False):
        volume = volumes.orient(volumes.read_volume(params.patterns["volume"].format(case=case)))
        labels = volumes.read_labels(params.patterns["labels"].format(case=case), params.organs, params.ignored)
        reference = volumes.orient(labels)
        images = {}
        for model in chosen["model"]:
            path = params.patterns["prediction"].format(model=model, fold=folds[case], seed=params.seed, case=case)
            images[model] = volumes.orient(volumes.read_labels(path, organs))
        truth = sitk.GetArrayViewFromImage(reference)
        predictions = {model: sitk.GetArrayViewFromImage(image) for model, image in images.items()}
        notes = {row.model: f"Dice {row.dice:.2f}" for row in chosen.itertuples()}
        title = f"{rank}: {case}"
        if rank == "disputed":
            title += f"\n{chosen['apart'].iloc[0]:.2f} apart"
        row = []
        for axis, written in ((figures.AXIAL, notes), (figures.CORONAL, {})):
            if rank == "worst":
                index = figures.telling_error(truth, list(predictions.values()), axis)
            elif rank == "disputed":
                index = figures.telling_dispute(list(predictions.values()), axis)
            else:
                index = figures.telling_slice(truth, axis)
            array = sitk.GetArrayViewFromImage(volume)
            spacing = volume.GetSpacing()[::-1]
            row.append(figures.cut(title, axis, index, array, spacing, truth, predictions, written))
        rows.append(row)
    figures.save(figures.overlays(rows, list(organs)), snakemake.output.png, snakemake.output.svg)
