"""Bring a prediction that was made elsewhere to the scan's grid and the study's label values."""

from pathlib import Path

from organbench.core.files import write_json
from organbench.core.jobs import job_log
from organbench.data import cases, conversion, predicted, shared_voxels
from organbench.data.structures import Frame
from organbench.study import protocol

with job_log(snakemake.log[0]) as logger:
    params = snakemake.params
    fixed = protocol.Values.of(params.evaluation, list(params.organs))
    protocol.register(Path(params.results), fixed)
    info = cases.read_info(snakemake.input.case)
    frame, where = Frame.of_case(params.volume, info), f"models.{snakemake.wildcards.model}.labels"
    scan = frame.grid
    found = predicted.collect(params.files, list(params.organs), frame, where)
    for line in found.lines():
        logger.info("%s: %s", info["case"], line)
    conversion.write_labels(found.indices, scan, params.organs, snakemake.output.labels)
    shared_voxels.write_drawn(found.drawn, snakemake.output.drawn)
    cost = {"case": info["case"], "voxels": scan.voxels, "prediction_seconds": None, "device": None, **found.told()}
    write_json(cost, snakemake.output.cost)
