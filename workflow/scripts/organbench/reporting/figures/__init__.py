"""Every plot of a study, drawn from tables and arrays only: nothing here reads a table's file.

A file is drawn by the rule that is named after it: `pareto.py` by `figure_pareto`. Its constant `FIGURES` says for each
figure what a `Figure` holds, under the name of the function that draws it, which its caption in workflow/report/ has
too. A name with `{metric}` stands for a figure for each metric that the registry wants drawn: `{metric}_by_organ` is
drawn by `metric_by_organ`, which is given the metric after its tables. Overlays show volumes, and so have a script of
their own.

Points are rows of per_case.csv, averaged over seeds by `statistics.case_values`, `statistics.case_differences` and
`cohort.case_volumes`; numbers, means, intervals and verdicts are rows of the other tables. `style` has one style, one
palette and one order of models and organs for all.
"""

import ast
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from organbench.evaluation.registry import METRICS, drawn


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What a file's `FIGURES` says of one figure.

    Attributes:
        name: of its files, without suffix.
        function: what draws it.
        tables: what the function is given first: tables of the study, `split`, or `histories` (of all trainings).
        metric: what it is given next, where it is about one.
        settings: what it is given last: `models`, `organs`, `observers`, or `tuned` (the settings that are).
        category: its place in the report.
        label: its name in the report.
        needs: how many `models`, `groups`, `doses` (cases that have one), `candidates` of tuning, `histories` (models
            whose trainings have one), or `requests` (of the user, by a rule of its own) there have to be for it to be
            drawn.
    """

    name: str
    function: str
    tables: Sequence[str]
    metric: str | None = None
    settings: Sequence[str] = ()
    category: str
    label: str
    needs: Mapping[str, int] = field(default_factory=dict)


def known(*, dosed: bool) -> dict[str, list[Figure]]:
    """The figures of each file that has some, in a study with planned doses or in one without."""
    found = {
        module.name: [figure for figure in figures_of(module.name) if dosed or "doses" not in figure.needs]
        for module in pkgutil.iter_modules(__path__)
    }
    return {file: figures for file, figures in found.items() if figures}


def figures_of(file: str) -> Iterator[Figure]:
    """The figures of a file, read from its source: the workflow asks without importing what draws."""
    source = next(path for folder in __path__ if (path := Path(folder) / f"{file}.py").is_file())
    for node in ast.parse(source.read_text("utf-8")).body:
        if not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FIGURES"):
            continue
        for name, entry in ast.literal_eval(node.value).items():
            for metric in drawn(dosed=True) if "{metric}" in name else [None]:
                label = entry["label"].format(metric=METRICS[metric].label if metric else None)
                own = {"name": name.format(metric=metric), "label": label}
                if metric and METRICS[metric].dosed:
                    own["needs"] = {**entry.get("needs", {}), "doses": 1}
                yield Figure(function=name.format(metric="metric"), metric=metric, **entry | own)
