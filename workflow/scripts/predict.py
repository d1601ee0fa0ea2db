"""Predict one test case, back on the scanner's grid."""

from pathlib import Path

from organbench.core.files import write_json
from organbench.core.jobs import job_log
from organbench.data import cases
from organbench.hardware import devices
from organbench.inference.prediction import Prediction, predict_files
from organbench.study import protocol

with job_log(snakemake.log[0]) as logger:
    # The config and not the params: what is fixed before results are seen must not remake a prediction when it changes.
    study = snakemake.config
    fixed = protocol.Values.of(study["evaluation"], list(study["dataset"]["organs"]))
    protocol.register(Path("results", study["study"]), fixed)
    device = devices.prepare(threads=snakemake.threads, gpus=snakemake.resources.gpu)
    folder = Path(snakemake.input.image).parent
    settings = Prediction.of(snakemake.params.settings)
    prediction, case, cost = predict_files(snakemake.input.weights, folder, settings, device)
    cases.write_prediction(prediction, case, snakemake.output.labels)
    write_json(cost, snakemake.output.cost)
    logger.info("predicted %s on %s, %s, in %.1f s", case.name, device, cost["precision"], cost["prediction_seconds"])
