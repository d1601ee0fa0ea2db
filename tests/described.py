"""The methods of a study that never ran, for the tests of what they say."""

from types import MappingProxyType

import pandas as pd
from conftest import ROOT

from organbench.reporting import methods
from organbench.study.settings import Study

REFERENCES = (ROOT / "workflow" / "report" / "references.bib").read_text()
TEMPLATE = (ROOT / "workflow" / "report" / "methods.md.j2").read_text()
COST = {
    "parameters": 1942662,
    "multiply_adds_per_voxel": 46352.0,
    "training_seconds": 5400.0,
    "precision": "bf16",
    "device": "NVIDIA H100",
    "versions": {"python": "3.11.7", "torch": "2.13.0", "cuda": "13.0"},
}
FOLDS = [{"train": ["1", "2", "3"], "validation": ["4"], "test": ["5", "6"]}]


def written(
    config,
    folds=FOLDS,
    *,
    bad=(),
    costs=None,
    template=TEMPLATE,
    cases=("1", "2"),
    volumes=MappingProxyType({}),
    **told,
):
    """The text for a resolved configuration."""
    organs = {f"{organ}_ml": volumes.get(organ, [100.0, 0.0]) for organ in config["dataset"]["organs"]}
    grid = {"size_z": [90, 100], "spacing_x": 0.7, "spacing_y": 0.7, "spacing_z": [1.0, 5.0]}
    study = Study.of(config)
    cases = pd.DataFrame({"case": list(cases), **grid, **organs})
    left_out = pd.DataFrame([(case, "is damaged") for case in bad], columns=["case", "reason"])
    costs = costs or dict.fromkeys(study.networks, COST)
    return methods.text(study, folds, cases, left_out, costs, template, REFERENCES, **told)


def section(title, text):
    """What a text says under a heading."""
    return text.partition(f"\n## {title}\n\n")[2].partition("\n\n## ")[0]
