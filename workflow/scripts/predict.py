"""Predict one test case, back on the scanner's grid."""

from pathlib import Path

from organbench.core import files, jobs
from organbench.data import conversion
from organbench.hardware import devices
from organbench.inference.prediction import Prediction, predict_files
from organbench.study import protocol

with jobs.job_log(snakemake.log[0]) as logger:
    fixed = protocol.Values.of(snakemake.params.evaluation, snakemake.params.organs)
    protocol.register(Path(snakemake.params.results), fixed)
    device = devices.prepare(threads=snakemake.threads, gpus=snakemake.resources.gpu)
    folder = Path(snakemake.input.image).parent
    settings, organs = Prediction(**files.tuples(snakemake.params.settings)), snakemake.params.organs
    prediction, case, cost = predict_files(
        snakemake.input.weights, folder, settings, device, organs, snakemake.params.networks
    )
    conversion.write_prediction(prediction, case, snakemake.output.labels)
    files.write_json(cost, snakemake.output.cost)
    logger.info("predicted %s on %s, %s, in %.1f s", case.name, device, cost["precision"], cost["prediction_seconds"])
