"""Set the Dice of every network against the number of patients that it was trained on."""

import re

import pandas as pd

from organbench.analysis import learning_curve, statistics
from organbench.core import tables
from organbench.core.files import atomic
from organbench.core.jobs import job_log

with job_log(snakemake.log[0]):
    found = []
    for path in snakemake.input.metrics:
        share = re.search(r"/learning_curve/share(\d+)/runs/", path)
        found.append(tables.read(path).assign(share=int(share[1]) if share else 100))
    per_case = statistics.with_patients(pd.concat(found, ignore_index=True), snakemake.params.patient)
    table = learning_curve.table(per_case, snakemake.params.patients)
    with atomic(snakemake.output[0]) as path:
        table.to_csv(path, index=False)
