"""A packed model described for people who were not there: what it is for, what it has learned from, how good it was."""

import csv
import io
from collections.abc import Mapping, Sequence

from organbench.data import ranges
from organbench.evaluation.registry import METRICS
from organbench.inference.models import METHODS, SCORES, Model

SHOWN = ("dice", "nsd", "hd95")  # metrics of the card; the archive has them all
TEXT = """\
# {name}, of the study {study}

A model for {dims} segmentation of CT, packed by OrganBench {version}. For research: it is no medical device,
and a person has to look at what it draws.

    organbench segment {file} SCAN --output OUT

## What it segments

| organ | value in label maps | cases in training |
| --- | --- | --- |
{organs}

## What it is

{members}
Scans are brought to a spacing of {spacing} mm (x y z). {prediction}

## What it has learned from

{count} scans{twice}. What lies outside of these ranges is told when it segments:

{ranges}

## How good it was

On the study's test cases, which no training of it had seen; means with 95 % intervals over patients. {whose}

{scores}

In the packed file `{scores_file}` holds all metrics, and `{methods_file}` the study's methods in words, with
references.
"""


def text(
    model: Model, annotated: Mapping[str, int], scores: Sequence[Mapping[str, str]], *, trainings: int, ensemble: bool
) -> str:
    """The card, as Markdown.

    Args:
        model: what was packed.
        annotated: in how many training cases each organ is.
        scores: rows of `tables/summary.csv` that are this model's.
        trainings: of the model in its study, of which one or all are packed.
        ensemble: whether the study measured the mean of these trainings.
    """
    cases = {name for member in model.members for name in member.training}
    dims = {len(member.recipe.patch) for member in model.members}
    first = model.members[0]
    several = len(model.members) > 1
    return TEXT.format(
        name=model.name,
        study=model.study,
        version=model.version,
        file=f"{model.name}.zip",
        dims=" and ".join(f"{count}D" for count in sorted(dims)),
        organs="\n".join(
            f"| {organ} | {values[0]} | {annotated.get(organ, 0)} |" for organ, values in model.organs.items()
        ),
        members="\n".join(f"- {member_line(model, number)}" for number in range(len(model.members))) + "\n",
        spacing=" x ".join("its own" if mm is None else f"{mm:g}" for mm in model.spacing),
        prediction=prediction_line(model, several),
        count=len(cases),
        twice=" (not the same ones in each training)" if several and len(cases) > len(first.training) else "",
        ranges="\n".join(f"- {ranges.in_words(name).format(span(pair))}" for name, pair in model.trained_on.items()),
        whose=whose(len(model.members), trainings, ensemble),
        scores=table(scores, list(model.organs)),
        scores_file=SCORES,
        methods_file=METHODS,
    )


def whose(members: int, trainings: int, ensemble: bool) -> str:
    """Of what exactly the scores are, in a sentence; nothing where they are of what was packed."""
    if ensemble:
        return "They are of the mean of those trainings that had not learned from the case."
    if members > 1:
        return "They are of single trainings; the mean of them, which this file predicts, was not measured."
    return f"They are of all {trainings} trainings of the model, of which this file holds one." if trainings > 1 else ""


def span(pair: Sequence[float]) -> str:
    """A range in few digits."""
    return f"{pair[0]:.4g} to {pair[1]:.4g}"


def member_line(model: Model, number: int) -> str:
    """A training in a line."""
    member = model.members[number]
    recipe = member.recipe
    options = ", ".join(f"{key} {value}" for key, value in recipe.network.items() if key not in ("network", "map"))
    patch = " x ".join(map(str, recipe.patch))
    code = "".join(f"; {name} {value.removeprefix(name + '==')}" for name, value in sorted(member.code.items()))
    software = ", ".join(f"{name} {version}" for name, version in member.versions.items())
    return (
        f"`{recipe.run}`: the network {recipe.network['network']} ({options}{code}), {recipe.parameters / 1e6:.2f} M "
        f"parameters; windows of {patch} voxels"
        + (f", and as many of {recipe.context} slices on each side" if recipe.context else "")
        + f"; HU from {recipe.window[0]:g} to {recipe.window[1]:g}; {recipe.precision}; trained with {software} on "
        f"{len(member.training)} scans"
    )


def prediction_line(model: Model, several: bool) -> str:
    """How it predicts, in sentences."""
    settings = model.prediction
    words = [f"Windows overlap by {settings.overlap:.0%}{' and are averaged over flips' if settings.mirror else ''}."]
    if several:
        words.append("The probabilities of the trainings are averaged.")
    if settings.smallest_part:
        words.append(f"Parts below {settings.smallest_part:.2%} of an organ's usual volume become background.")
    if settings.keep_largest:
        words.append(f"Of {', '.join(settings.keep_largest)} only the largest part is kept.")
    return " ".join(words)


def table(scores: Sequence[Mapping[str, str]], organs: Sequence[str]) -> str:
    """The scores of each organ: a row each, and a column for each metric of `SHOWN`."""
    found = {(row["metric"], row["organ"]): row for row in scores}
    metrics = [name for name in SHOWN if any(metric == name for metric, _ in found)]
    heads = [METRICS[name].label + (f", {METRICS[name].unit}" if METRICS[name].unit else "") for name in metrics]
    lines = [["organ", "test cases", *heads], ["---"] * (2 + len(heads))]
    for organ in organs:
        rows = [found.get((name, organ)) for name in metrics]
        counts = [row["n"] for row in rows if row]
        lines.append(
            [organ, counts[0] if counts else "0", *(cell(row, name) for row, name in zip(rows, metrics, strict=True))]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(row: Mapping[str, str] | None, metric: str) -> str:
    """A mean with its interval; empty where nothing was measured."""
    if not row or not row["mean"]:
        return ""
    digits = METRICS[metric].decimals
    mean, low, high = (f"{float(row[key]):.{digits}f}" if row[key] else "?" for key in ("mean", "ci_low", "ci_high"))
    return f"{mean} [{low}, {high}]"


def of_model(summary: str, model: str) -> list[dict[str, str]]:
    """The rows of a model, from the text of `tables/summary.csv`."""
    return [row for row in csv.DictReader(io.StringIO(summary)) if row["model"] == model]


def as_csv(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows as text again."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
