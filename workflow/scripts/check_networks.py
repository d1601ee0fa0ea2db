"""Take a training step of every model, before hours are spent on the first, and list how large they are."""

import pandas as pd

from organbench.core import errors, files, jobs, tables
from organbench.hardware import devices
from organbench.learning.rehearsal import rehearse
from organbench.learning.settings import Training

with jobs.job_log(snakemake.log[0]) as logger:
    devices.prepare(threads=snakemake.threads, gpus=0)
    rows = []
    for model, settings in snakemake.params.settings.items():
        try:
            training = Training(**files.tuples(settings["training"]))
            size = rehearse(settings["network"], training, snakemake.params.organs)
        except errors.InputError as error:
            raise errors.InputError(f"model {model}: {error}") from None
        rows.append({"model": model, "network": settings["network"]["network"], **vars(size)})
        logger.info("%s: %d parameters%s", model, size.parameters, f"; {size.notes}" if size.notes else "")
    tables.write(pd.DataFrame(rows, columns=None if rows else ["model", "network"]), snakemake.output[0])
