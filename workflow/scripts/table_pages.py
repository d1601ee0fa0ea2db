"""Make the tables of the report: pages that can be sorted and searched."""

from pathlib import Path

from organbench.core import tables
from organbench.core.files import atomic
from organbench.core.jobs import job_log
from organbench.reporting import pages

with job_log(snakemake.log[0]):
    template = Path(snakemake.params.template).read_text()
    for source, title, output in zip(snakemake.input.tables, snakemake.params.titles, snakemake.output, strict=True):
        table = tables.read(source)
        with atomic(output) as path:
            path.write_text(pages.table_page(table, title, template))
