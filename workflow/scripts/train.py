"""Train one contender on one fold with one seed."""

import io
from pathlib import Path

import pandas as pd

from organbench import cases, devices, inference, training, volumes
from organbench.errors import atomic, job_log

with job_log(snakemake.log[0]) as logger:
    settings = snakemake.params.settings
    seed, checkpoint = int(snakemake.wildcards.seed), Path(snakemake.params.checkpoint)
    train_on, validate_on = (
        [cases.load(folder) for folder in folders]
        for folders in (snakemake.params.training, snakemake.params.validation)
    )
    device = devices.prepare(threads=snakemake.threads, gpus=snakemake.resources.gpu)
    logger.info("training %s on %s, %d threads", snakemake.wildcards.model, device, snakemake.threads)
    stamp = training.stamp(
        settings,
        snakemake.params.window,
        seed,
        [[case.name, case.info["checksum"]] for case in train_on],
        [[case.name, case.info["checksum"]] for case in validate_on],
        devices.describe(device),
        Path(snakemake.scriptdir, "train.py"),
        *(Path(file) for file in snakemake.input.code),
    )
    network, recipe, rows, cost = training.train(
        train_on,
        validate_on,
        options=settings["network"],
        settings=settings["training"],
        window=snakemake.params.window,
        organs=snakemake.params.organs,
        seed=seed,
        device=device,
        checkpoint=checkpoint,
        stamp=stamp,
        workers=max(1, snakemake.threads // 2),
        logger=logger,
    )
    buffer = io.BytesIO()  # so that the archive does not hold the file's temporary name
    inference.save(buffer, network, recipe)
    with atomic(snakemake.output.weights) as path:
        path.write_bytes(buffer.getbuffer())
    with atomic(snakemake.output.history) as path:
        pd.DataFrame(rows).to_csv(path, index=False)
    volumes.write_json(cost, snakemake.output.cost)
    checkpoint.unlink(missing_ok=True)
