"""Predict one test case, back on the scanner's grid."""

import time
from pathlib import Path

import numpy as np

from organbench import cases, devices, inference, volumes
from organbench.errors import job_log

with job_log(snakemake.log[0]) as logger:
    settings = snakemake.params.settings
    device = devices.prepare(threads=snakemake.threads, gpus=snakemake.resources.gpu)
    networks, recipes = zip(*(inference.load(path, device) for path in snakemake.input.weights), strict=True)
    predictors = [
        inference.Predictor(
            network,
            patch=recipe["patch"],
            context=recipe["context"],
            window=recipe["window"],
            device=device,
            precision=devices.precision_to_predict(recipe["precision"], device),
            overlap=settings["overlap"],
            mirror=settings["mirror"],
        )
        for network, recipe in zip(networks, recipes, strict=True)
    ]
    organs = recipes[0]["organs"]
    organ_ml = np.median([recipe["organ_ml"] for recipe in recipes], axis=0).tolist()  # they differ from fold to fold
    case = cases.load(Path(snakemake.input.image).parent)
    started = time.monotonic()
    with devices.energy_meter(device) as meter:
        prediction = inference.predict_case(
            predictors[0] if len(predictors) == 1 else inference.Ensemble(predictors),
            case,
            smallest_ml=[settings["smallest_part"] * volume for volume in organ_ml],
            keep_largest=[organs.index(organ) + 1 for organ in settings["keep_largest"]],
        )
        cases.write_prediction(prediction, case, snakemake.output.labels)
    precisions = ", ".join(dict.fromkeys(predictor.precision for predictor in predictors))
    cost = {
        "case": case.name,
        "voxels": int(np.prod(case.original.size)),
        "parameters": sum(recipe["parameters"] for recipe in recipes),
        "multiply_adds": sum(
            round(recipe["multiply_adds_per_voxel"] * predictor.voxels)
            for recipe, predictor in zip(recipes, predictors, strict=True)
        ),
        "prediction_seconds": round(time.monotonic() - started, 3),
        "precision": precisions,
        **meter.joules(),
        **devices.peak_memory(device),
        **devices.describe(device),
    }
    volumes.write_json(cost, snakemake.output.cost)
    logger.info("predicted %s on %s, %s, networks: %d", case.name, device, precisions, len(predictors))
