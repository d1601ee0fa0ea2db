"""Make the tables of the report: pages that can be sorted and searched."""

from pathlib import Path

from organbench.core import files, jobs, tables
from organbench.reporting import pages

with jobs.job_log(snakemake.log[0]):
    template = Path(snakemake.params.template).read_text()
    for source, title, output in zip(snakemake.input.tables, snakemake.params.titles, snakemake.output, strict=True):
        table = tables.read(source)
        with files.atomic(output) as path:
            path.write_text(pages.table_page(table, title, template))
