"""Take a training step of every model, before hours are spent on the first, and list how large they are."""

import pandas as pd

from organbench.core.errors import InputError
from organbench.core.files import atomic, tuples
from organbench.core.jobs import job_log
from organbench.hardware import devices
from organbench.learning.rehearsal import rehearse
from organbench.learning.settings import Training

with job_log(snakemake.log[0]) as logger:
    devices.prepare(threads=snakemake.threads, gpus=0)
    rows = []
    for model, settings in snakemake.params.settings.items():
        try:
            size = rehearse(settings["network"], Training(**tuples(settings["training"])), snakemake.params.organs)
        except InputError as error:
            raise InputError(f"model {model}: {error}") from None
        rows.append({"model": model, "network": settings["network"]["network"], **vars(size)})
        logger.info("%s: %d parameters", model, size.parameters)
    with atomic(snakemake.output[0]) as path:
        pd.DataFrame(rows).to_csv(path, index=False)
