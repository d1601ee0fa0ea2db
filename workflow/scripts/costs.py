"""Set each model's cost beside its accuracy, and say which one to take with less to spend."""

from organbench.analysis import costs
from organbench.core import jobs, tables

with jobs.job_log(snakemake.log[0]):
    summary = tables.read(snakemake.input.summary)
    trainings, predictions = tables.records(snakemake.input.trainings), tables.records(snakemake.input.predictions)
    tunings = tables.records(snakemake.input.tunings) if snakemake.input.tunings else None
    found = costs.table(trainings, predictions, summary, snakemake.params.members, tunings)
    tables.write(found, snakemake.output.cost)
    tables.write(costs.fronts(found, summary), snakemake.output.pareto)
    comparison, observers = tables.read(snakemake.input.comparison), snakemake.params.observers
    tables.write(costs.advise(found, comparison, observers), snakemake.output.advice)
