"""Draw the figures of one file of the library's folder of figures."""

import importlib

from organbench.core import jobs, tables
from organbench.reporting.figures import figures_of, style

with jobs.job_log(snakemake.log[0]):
    file = snakemake.params.file
    module = importlib.import_module(f"organbench.reporting.figures.{file}")
    given = {
        name: tables.histories(found) if name == "histories" else tables.read(found)
        for name, found in snakemake.input.items()
    }
    made = dict(snakemake.output.items())
    for figure in figures_of(file):
        if f"{figure.name}_png" not in made:  # of doses, which the study has not
            continue
        arguments = [given[table] for table in figure.tables]
        arguments += [figure.metric] if figure.metric else []
        arguments += [snakemake.params.settings[setting] for setting in figure.settings]
        drawing = getattr(module, figure.function)(*arguments)
        style.save(drawing, *(made[f"{figure.name}_{suffix}"] for suffix in ("png", "svg")))
