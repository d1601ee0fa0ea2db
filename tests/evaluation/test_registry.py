"""What the rows of the registry say fits together, and with the references and the documents."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from organbench.evaluation import registry

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"


@pytest.mark.parametrize(("place", "chosen"), [("drawn", registry.drawn(dosed=True)), ("shown", registry.shown())])
def test_places_are_counted_from_one(place, chosen):
    assert [getattr(registry.MEASURED[name], place) for name in chosen] == list(range(1, len(chosen) + 1))


@pytest.mark.parametrize("name", registry.METRICS)
def test_a_metric_is_told_cited_and_documented(name):
    metric = registry.METRICS[name]
    assert metric.best in (0, 1)
    assert metric.name
    assert metric.label
    assert metric.points
    assert re.search(rf"^\| `{name}` \|", (ROOT / "docs" / "metrics.md").read_text(), flags=re.M)
    if metric.citation:
        assert f"{{{metric.citation}," in (ROOT / "workflow" / "report" / "references.bib").read_text()


def test_metrics_of_doses_are_those_of_studies_that_have_doses():
    without = registry.measured(dosed=False)
    dosed = registry.MEASURED.keys() - without.keys()
    assert dosed == {name for name, metric in registry.MEASURED.items() if metric.unit == "Gy"}
    assert registry.drawn(dosed=False) == ["dice", "nsd", "hd95"]
    assert [name for name in registry.drawn(dosed=True) if name in dosed] == ["dmean_error", "dmax_error"]
    assert [name for name, metric in registry.METRICS.items() if metric.is_signed] == [
        "volume_error",
        *("dmean_error", "d2_error", "d1cc_error", "dmax_error"),
    ]


def test_an_axis_says_what_is_better():
    assert registry.METRICS["dice"].axis == "Dice coefficient (0 to 1, higher is better)"
    assert registry.METRICS["hd95"].axis == "95th percentile Hausdorff distance (mm, lower is better)"
    assert registry.METRICS["dmean_error"].axis == "Difference in mean dose (Gy, nearer to 0 is better)"


def test_the_workflow_reads_it_at_once():
    code = "import sys; import organbench.evaluation.registry; print({'numpy', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
