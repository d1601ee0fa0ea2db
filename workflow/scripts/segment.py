"""Run a program on one case, measure what it costs, and bring what it wrote to the scan's grid."""

import tempfile
from pathlib import Path

from organbench.core import commands
from organbench.core.errors import InputError
from organbench.core.files import unchanged, write_json
from organbench.core.jobs import job_log
from organbench.data import cases, conversion, elsewhere, shared_voxels
from organbench.data.grids import Grid
from organbench.hardware import children, devices
from organbench.study import elsewhere as entries
from organbench.study import protocol

volume, model = snakemake.input.volume, snakemake.wildcards.model
with job_log(snakemake.log[0]) as logger, unchanged(volume):
    params = snakemake.params
    protocol.register(Path(params.results), protocol.Values.of(params.study["evaluation"], list(params.organs)))
    info = cases.read_info(snakemake.input.case)
    scan, log = Grid.from_json(info["original"]), f"see {snakemake.log[0]}"
    device = devices.prepare(threads=snakemake.threads, gpus=snakemake.resources.gpu)
    with tempfile.TemporaryDirectory(dir=snakemake.resources.tmpdir) as folder:
        output = str(Path(folder, "output" if entries.is_folder(params.output) else "output.nii.gz"))
        if entries.is_folder(params.output):
            Path(output).mkdir()
        places = {"image": str(Path(volume).resolve()), "output": output, "case": info["case"]}
        with devices.energy_meter(device) as meter:
            ended = commands.run(params.command, places, children.environment(device))
        if ended.status:
            raise InputError(f"model {model}, case {info['case']}: its command ended with status {ended.status}; {log}")
        files = entries.files(model, params.study, params.output, output=output, case=info["case"])
        if not any(Path(file).is_file() for file in files):
            wanted = ", ".join(file.removeprefix(f"{folder}/") for file in list(files)[:3])
            raise InputError(f"model {model}, case {info['case']}: its command wrote no {wanted}; {log}")
        found = elsewhere.collect(files, list(params.organs), scan, volume)
    for line in found.lines():
        logger.info("%s: %s", info["case"], line)
    conversion.write_labels(found.indices, scan, params.organs, snakemake.output.labels)
    shared_voxels.write_drawn(found.drawn, snakemake.output.drawn)
    cost = {
        "case": info["case"],
        "voxels": scan.voxels,
        "prediction_seconds": round(ended.seconds, 3),
        "cpu_seconds": round(ended.cpu_seconds, 3),
        **meter.joules(),
        "peak_host_mib": round(ended.peak_host_mib, 1),
        "peak_gpu_mib": None,
        **devices.describe(device),
        **found.told(),
    }
    write_json(cost, snakemake.output.cost)
    logger.info("segmented %s in %.1f s (%.1f s of processors)", info["case"], ended.seconds, ended.cpu_seconds)
