"""Count the patients on whom the models fail, and compare them."""

from organbench.analysis import failure_rates
from organbench.core import jobs, tables

with jobs.job_log(snakemake.log[0]):
    per_case = tables.read(snakemake.input.per_case)
    limit = snakemake.params.failure
    tables.write(failure_rates.failure_rates(per_case, limit), snakemake.output.rates)
    tables.write(failure_rates.failure_differences(per_case, limit), snakemake.output.differences)
