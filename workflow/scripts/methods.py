"""Write the study's methods for a paper with its references, its whole configuration, and what it ran on."""

from pathlib import Path

from organbench.core import files, jobs, tables
from organbench.reporting import methods
from organbench.study import protocol
from organbench.study.settings import Study

with jobs.job_log(snakemake.log[0]):
    params, given = snakemake.params, snakemake.input
    study = Study.of(params.study)
    costs = dict(zip(params.trained, map(files.read_json, given.costs), strict=True))
    told = methods.text(
        study,
        params.folds,
        tables.read(given.cases),
        tables.read(given.excluded),
        costs,
        template=Path(params.template).read_text(),
        references=Path(params.references).read_text(),
        fixed=protocol.find(Path("results", study.name), study.fixes),
        converged=tables.read(given.convergence),
        warnings=tables.read(given.warnings)["words"].tolist(),
        tuned=tables.read(given.tuning) if given.tuning else None,
    )
    tables.write(methods.versions(costs), snakemake.output.versions)
    for content, output in ((params.configuration, "configuration"), (told, "methods")):
        with files.atomic(snakemake.output[output]) as path:
            path.write_text(content)
