"""`organbench export`: a packed model's networks for other programs."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from organbench.core.errors import InputError

if TYPE_CHECKING:
    from organbench.data.scans import Scan
    from organbench.inference.models import Model


# By what is free in an export.
TAKES = {
    ("batch", "size"): "any number and any size of windows",
    ("batch",): "any number of windows, of the size in training",
    (): "one window at a time, of the size in training",
}


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `export`."""
    parser = commands.add_parser(
        "export",
        help="write a packed model's networks as ONNX or TorchScript",
        description=(
            "Write each network of a packed model for programs that know neither OrganBench nor, of ONNX, PyTorch; "
            "checked against PyTorch; with a card that says how to run it (docs/new-patients.md)."
        ),
    )
    parser.add_argument("model", type=Path, metavar="MODEL.zip", help="results/<study>/models/<model>.zip")
    parser.add_argument("--format", choices=["onnx", "torchscript"], default="onnx")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="the folder to write into")
    parser.add_argument("--scan", type=Path, metavar="CT", help="what it is checked on; default: a generated patient")
    parser.add_argument("--trust", action="store_true", help="as in organbench segment")
    parser.set_defaults(run=export)


def export(given: argparse.Namespace) -> None:
    """Export every network of a model, and write its card beside them.

    Raises:
        InputError: the model or the scan is unfit, or a network cannot be exported.
    """
    from organbench.core import files
    from organbench.inference import exporting, models, new_patients

    packed = models.read(given.model)
    if given.output.exists() and not given.output.is_dir():
        raise InputError(f"--output {given.output}: is a file; name a folder")
    segmenter = new_patients.load(given.model, device="cpu", threads=None, trust=given.trust)
    scan, said = scan_of(given.scan, packed.model), json.loads(json.dumps(asdict(packed.model)))
    card = [packed.files[models.CARD].decode(errors="replace")]
    for member, predictor in zip(packed.model.members, segmenter.predictors, strict=True):
        run = "" if len(packed.model.members) == 1 else "-" + member.recipe.run.replace("/", "-")
        path = given.output / f"{packed.model.name}{run}{exporting.FORMATS[given.format]}"
        found = exporting.export(predictor, given.format, path, scan, said)
        context = member.recipe.context
        channels = f"the {context} nearest slices below, the slice, the {context} above" if context else "the CT"
        card.append(exporting.words(found, channels))
        print(
            f"{path}: differs from PyTorch by at most {found.difference:.1g}, {found.agreeing:.4%} of voxels agree; "
            f"takes {TAKES[found.free]}"
        )
    with files.atomic(given.output / f"{packed.model.name}.md") as temporary:
        temporary.write_text("\n".join(card))
    files.write_json(said, given.output / f"{packed.model.name}.json")


def scan_of(path: Path | None, model: "Model") -> "Scan":
    """The scan that exports are checked on; a generated patient where none is given."""
    from organbench.data import inputs, scans

    if path is None:
        from organbench.data.sources.phantoms.scan import phantom

        return scans.of(phantom(0, seed=1, size=(112, 112, 96))[0], "the generated patient", model.spacing)
    (found,) = inputs.find([path])[:1]
    return scans.of(inputs.read(found, model.spacing)[0], path, model.spacing)
