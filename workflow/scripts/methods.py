"""Write the study's methods for a paper with its references, its whole configuration, and what it ran on."""

from pathlib import Path

from organbench.analysis import convergence
from organbench.core import files, jobs, tables
from organbench.reporting import methods
from organbench.study import protocol

with jobs.job_log(snakemake.log[0]):
    params = snakemake.params
    costs = dict(zip(params.settings, map(files.read_json, snakemake.input.costs), strict=True))
    cases, excluded = tables.read(snakemake.input.cases), tables.read(snakemake.input.excluded)
    results = Path("results", params.study["study"])
    values = protocol.Values.of(params.study["evaluation"], list(params.study["dataset"]["organs"]))
    fixed = protocol.words(protocol.find(results, values), values)
    warnings = tables.read(snakemake.input.warnings)["words"].tolist()
    converged = convergence.sentence(tables.read(snakemake.input.convergence))
    tuning = tables.read(snakemake.input.tuning) if snakemake.input.tuning else None
    with files.atomic(snakemake.output.configuration) as path:
        path.write_text(params.configuration)
    tables.write(methods.versions(costs), snakemake.output.versions)
    with files.atomic(snakemake.output.methods) as path:
        references = Path(params.references).read_text()
        told = {"fixed": fixed, "converged": converged, "warnings": warnings, "tuned": tuning}
        path.write_text(
            methods.text(params.study, params.settings, params.folds, cases, excluded, costs, references, **told)
        )
