"""Predict one test case, back on the scanner's grid."""

from pathlib import Path

from organbench import cases, devices, inference
from organbench.errors import job_log

with job_log(snakemake.log[0]) as logger:
    settings = snakemake.params.settings
    device = devices.prepare(threads=snakemake.threads, gpus=snakemake.resources.gpu)
    network, recipe = inference.load(snakemake.input.weights, device)
    predictor = inference.Predictor(
        network,
        patch=recipe["patch"],
        context=recipe["context"],
        window=recipe["window"],
        device=device,
        precision=devices.precision(recipe["precision"], device),
        overlap=settings["overlap"],
        mirror=settings["mirror"],
    )
    case = cases.load(Path(snakemake.input.image).parent)
    prediction = inference.predict_case(
        predictor,
        case,
        smallest_ml=[settings["smallest_part"] * volume for volume in recipe["organ_ml"]],
        keep_largest=[recipe["organs"].index(organ) + 1 for organ in settings["keep_largest"]],
    )
    cases.write_prediction(prediction, case, snakemake.output[0])
    logger.info("predicted %s on %s, %s", case.name, device, recipe["precision"])
