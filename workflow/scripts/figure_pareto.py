"""Draw accuracy against what it costs, over all organs and organ by organ."""

from organbench.core import tables
from organbench.core.jobs import job_log
from organbench.reporting import figures

with job_log(snakemake.log[0]):
    fronts = tables.read(snakemake.input.pareto)
    output = snakemake.output
    figures.save(figures.pareto(fronts), output.pareto_png, output.pareto_svg)
    figures.save(figures.pareto_by_organ(fronts), output.pareto_by_organ_png, output.pareto_by_organ_svg)
