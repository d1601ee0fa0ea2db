"""Bring a prediction that was made elsewhere to the scan's grid and the study's label values."""

from pathlib import Path

from organbench.core.files import write_json
from organbench.core.jobs import job_log
from organbench.data import cases, conversion, elsewhere
from organbench.data.grids import Grid
from organbench.study import protocol

with job_log(snakemake.log[0]) as logger:
    params = snakemake.params
    fixed = protocol.Values.of(params.evaluation, list(params.organs))
    protocol.register(Path(params.results), fixed)
    info = cases.read_info(snakemake.input.case)
    scan = Grid.from_json(info["original"])
    found = elsewhere.collect(params.files, list(params.organs), scan, f"case {info['case']}")
    for line in found.lines():
        logger.info("%s: %s", info["case"], line)
    conversion.write_labels(found.indices, scan, params.organs, snakemake.output.labels)
    cost = {"case": info["case"], "voxels": scan.voxels, "prediction_seconds": None, "device": None, **found.told()}
    write_json(cost, snakemake.output.cost)
