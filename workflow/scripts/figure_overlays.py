"""Draw truth and predictions on the CT, for the best, median and worst case of each contender."""

import numpy as np
import pandas as pd
import SimpleITK as sitk

from organbench import figures, statistics, volumes
from organbench.errors import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    organs = {organ: values[:1] for organ, values in params.organs.items()}  # predictions hold the first value
    per_case = pd.read_csv(snakemake.input.per_case, dtype={"case": str})
    models = list(dict.fromkeys(per_case["model"]))
    panels = []
    for chosen in statistics.representative_cases(per_case).itertuples():
        fold = per_case.loc[per_case["case"] == chosen.case, "fold"].iloc[0]
        volume = volumes.orient(volumes.read_volume(params.patterns["volume"].format(case=chosen.case)))
        reference = volumes.orient(
            volumes.read_labels(params.patterns["labels"].format(case=chosen.case), params.organs, params.ignored)
        )
        predictions = {}
        for model in models:
            path = params.patterns["prediction"].format(model=model, fold=fold, seed=params.seed, case=chosen.case)
            predictions[model] = volumes.orient(volumes.read_labels(path, organs))
        truth = sitk.GetArrayViewFromImage(reference)
        z = figures.telling_slice(truth)
        panels.append(
            figures.Panel(
                title=f"{chosen.rank} case of {chosen.model}: {chosen.case}, Dice {chosen.dice:.2f}",
                ct=np.array(sitk.GetArrayViewFromImage(volume)[z], np.float32),
                spacing=(volume.GetSpacing()[1], volume.GetSpacing()[0]),
                reference=np.array(truth[z]),
                predictions={
                    model: np.array(sitk.GetArrayViewFromImage(image)[z]) for model, image in predictions.items()
                },
            )
        )
    figures.save(figures.overlays(panels, list(organs)), snakemake.output.png, snakemake.output.svg)
