"""Build every contender once, before hours are spent on the first, and list how large they are."""

import pandas as pd

from organbench import training
from organbench.files import atomic
from organbench.jobs import job_log

with job_log(snakemake.log[0]) as logger:
    rows = []
    for model, settings in snakemake.params.settings.items():
        recipe = training.design(settings["network"], settings["training"], snakemake.params.organs)
        network = training.build(recipe)
        size = training.count(network, recipe["in_channels"], recipe["patch"])
        rows.append({"model": model, "network": recipe["network"]["network"], **size})
        logger.info("%s: %d parameters", model, size["parameters"])
    with atomic(snakemake.output[0]) as path:
        pd.DataFrame(rows).to_csv(path, index=False)
