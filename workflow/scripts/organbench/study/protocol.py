"""What was fixed before results were seen: the metric that decides, the margins and the tolerances.

A margin or a metric that is chosen after the results can make nearly any verdict come true (selective reporting, see
Dwan et al., PLoS ONE 2013). The first job that predicts a test case writes the values down beforehand; the file is no
output of a rule, so that Snakemake never deletes, dates or remakes it, and no setting in it remakes a prediction.
"""

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from organbench.core.errors import InputError
from organbench.core.files import write_json

FILE = "protocol.json"  # in a study's folder of results
RESULTS = ("runs/*/*/predictions/*.nii.gz", "runs/*/*/metrics/*.csv", "tables/per_case.csv")


@dataclass(frozen=True)
class Values:
    """What a study fixes.

    Attributes:
        decides: the metric that decides.
        margin: of each metric, in its unit; a metric without one, or with 0, is not here.
        tolerance_mm: of each organ.
    """

    decides: str
    margin: Mapping[str, float]
    tolerance_mm: Mapping[str, float]

    @classmethod
    def of(cls, evaluation: Mapping[str, Any], organs: Sequence[str]) -> "Values":
        """Those of the config's `evaluation`; one tolerance is that of each organ."""
        margin, tolerance = evaluation["margin"], evaluation["tolerance_mm"]
        by_organ = tolerance if isinstance(tolerance, Mapping) else dict.fromkeys(organs, tolerance)
        return cls(
            decides=evaluation["decides"],
            margin={metric: float(margin[metric]) for metric in sorted(margin) if margin[metric]},
            tolerance_mm={organ: float(by_organ[organ]) for organ in sorted(organs)},
        )

    def sha256(self) -> str:
        """A checksum by which one sees that the file was edited."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Protocol:
    """What was written down.

    Attributes:
        values: the study's then.
        written: the date, YYYY-MM-DD.
        results_before: test cases had been predicted when it was written.
        edited: the values are not those that were written.
    """

    values: Values
    written: str
    results_before: bool
    edited: bool = False


def register(study: Path, values: Values) -> Protocol:
    """Read what a study has fixed; write it down if that was not done yet. What is there is never replaced.

    Args:
        study: its folder of results.
        values: the study's now.

    Raises:
        InputError: the file is damaged, or cannot be written.
    """
    results_before = has_results(study)  # first: of jobs side by side, one predicts only after it has written the file
    path = study / FILE
    if not path.exists():
        content = {
            "what": "fixed before results were seen; never replaced, so keep it with the results",
            **asdict(values),
            "sha256": values.sha256(),
            "written": datetime.date.today().isoformat(),
            "results_before": results_before,
        }
        write_json(content, path)
    return read(path)


def find(study: Path, values: Values) -> Protocol | None:
    """What a study has fixed, see `register`; None as long as nothing was predicted and all may still be chosen."""
    return register(study, values) if has_results(study) or (study / FILE).exists() else None


def read(path: Path) -> Protocol:
    """Read what `register` wrote.

    Raises:
        InputError: the file is damaged.
    """
    try:
        content = json.loads(path.read_text())
        values = Values(**{name: content[name] for name in ("decides", "margin", "tolerance_mm")})
        edited = content["sha256"] != values.sha256()
        return Protocol(values, str(content["written"]), bool(content["results_before"]), edited)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: damaged ({error}); put back a copy, or delete it: the next one tells that results were there"
        ) from None


def has_results(study: Path) -> bool:
    """Whether a test case of a study has been predicted."""
    return any(next(study.glob(pattern), None) for pattern in RESULTS)


def changes(protocol: Protocol, now: Values) -> list[str]:
    """What is no more as it was fixed, a sentence a value."""
    before = protocol.values
    event = "it was written down" if protocol.results_before else "the first test case was predicted"
    when = f"when {event} ({protocol.written})"
    found = []
    if before.decides != now.decides:
        found.append(f"The deciding metric was {before.decides} {when} and is {now.decides} now.")
    for key, unit in (("margin", ""), ("tolerance_mm", " mm")):
        then, since = getattr(before, key), getattr(now, key)
        for name in dict.fromkeys([*then, *since]):
            if then.get(name) != since.get(name):
                said = [f"{values[name]:g}{unit}" if name in values else "not set" for values in (then, since)]
                word = key.removesuffix("_mm")
                found.append(f"The {word} of {name.replace('_', ' ')} was {said[0]} {when} and is {said[1]} now.")
    return found
