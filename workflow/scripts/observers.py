"""Say of every model and organ whether it reaches what another human does."""

from organbench.analysis import observers
from organbench.core import tables
from organbench.core.jobs import job_log

with job_log(snakemake.log[0]):
    comparison, summary = (tables.read(snakemake.input[name]) for name in ("comparison", "summary"))
    tables.write(observers.within(comparison, summary, snakemake.params.observers), snakemake.output[0])
