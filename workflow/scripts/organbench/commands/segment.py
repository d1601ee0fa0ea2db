"""`organbench segment`: a packed model on scans that nobody has labelled."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from organbench.core.errors import InputError

if TYPE_CHECKING:
    from organbench.data.dicom.series import Series
    from organbench.data.inputs import Input
    from organbench.inference.new_patients import Segmented, Segmenter

SUFFIXES = {"nifti": ".nii.gz", "rtstruct": ".dcm", "seg": ".dcm"}


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `segment`."""
    parser = commands.add_parser(
        "segment",
        help="segment new scans by a packed model",
        description=(
            "Segment CT scans by a model that `snakemake model` has packed, just as its study predicts test cases "
            "(docs/new-patients.md). For research: a person has to look at what it draws."
        ),
    )
    parser.add_argument("model", type=Path, metavar="MODEL.zip", help="results/<study>/models/<model>.zip")
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="INPUT",
        help="a volume (NIfTI, MetaImage, NRRD), the folder of a DICOM series, or a folder of any of these",
    )
    parser.add_argument("--output", type=Path, required=True, help="a file, or for several scans a folder")
    parser.add_argument("--format", choices=list(SUFFIXES), default="nifti", help="DICOM formats need DICOM input")
    parser.add_argument("--organs", metavar="ORGAN,...", help="only these; default: all that the model has")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: a GPU where there is one")
    parser.add_argument("--threads", type=int, metavar="N", help="of the CPU; default: as many as PyTorch takes")
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run networks that are not of OrganBench: those of other packages, and code that lies in the model's file",
    )
    parser.set_defaults(run=segment)


def segment(given: argparse.Namespace) -> None:
    """Segment every scan; one that cannot be segmented does not keep the others from it.

    Raises:
        InputError: the model or an argument is wrong, or some scans could not be segmented.
    """
    from organbench.data import inputs
    from organbench.inference import models, new_patients

    if given.threads is not None and given.threads < 1:
        raise InputError(f"--threads {given.threads}: give a number of 1 or more")
    scans = inputs.find(given.inputs)
    outputs = targets(scans, given.output, given.format)
    segmenter = new_patients.load(given.model, device=given.device, threads=given.threads, trust=given.trust)
    organs = [organ.strip() for organ in given.organs.split(",")] if given.organs else []
    new_patients.check_organs(segmenter.model, organs)
    for note in models.notes(segmenter.model):
        tell(f"{given.model}: {note}")
    failed = 0
    for scan, output in zip(scans, outputs, strict=True):
        try:
            segment_one(segmenter, scan, output, organs, given.format)
        except InputError as error:
            if len(scans) == 1:
                raise
            failed += 1
            tell(str(error))
    if failed:
        raise InputError(f"{failed} of {len(scans)} scans could not be segmented, see above")


def tell(line: str) -> None:
    """Say something on standard error."""
    print(line, file=sys.stderr, flush=True)


def targets(scans: Sequence["Input"], output: Path, kind: str) -> list[Path]:
    """Where the result of each scan goes.

    Raises:
        InputError: several would go into one file, one would replace a scan, or a format cannot be written.
    """
    from organbench.data import formats

    is_file = bool(formats.suffix_of(output)) if kind == "nifti" else output.name.lower().endswith(SUFFIXES[kind])
    if is_file and len(scans) > 1:
        raise InputError(f"--output {output}: is a file, and there are {len(scans)} scans; name a folder")
    found = [output] if is_file else [output / f"{scan.name}{SUFFIXES[kind]}" for scan in scans]
    there = {scan.path.resolve() for scan in scans}
    for scan, target in zip(scans, found, strict=True):
        if target.resolve() in there:
            raise InputError(f"--output {output}: would replace the scan {target}; name another place")
        if kind != "nifti" and not scan.is_series:
            raise InputError(f"{scan.path}: is no DICOM series, so {kind} has nothing to refer to; use --format nifti")
    return found


def segment_one(segmenter: "Segmenter", scan: "Input", output: Path, organs: Sequence[str], kind: str) -> None:
    """Segment a scan, write the result, and say what was found."""
    from organbench.core.progress import bar
    from organbench.data import inputs

    volume, found = inputs.read(scan, segmenter.model.spacing)
    if found and kind != "nifti":
        check_structures(segmenter, found, output)
    prepared = segmenter.scan(volume, scan.path)
    with bar(scan.name, len(prepared.image)) as drawn:
        segmented = segmenter.segment(prepared, organs, drawn.advance)
    write(segmenter, segmented, output, kind, found)
    for note in segmented.notes:
        tell(f"{scan.path}: {note}")
    volumes = ", ".join(f"{organ} {ml:.1f} ml" for organ, ml in segmented.volumes_ml.items() if ml or organ in organs)
    print(f"{output}: {volumes or 'nothing found'} ({segmented.seconds:.1f} s)", flush=True)


def check_structures(segmenter: "Segmenter", series: "Series", output: Path) -> None:
    """Refuse a series to which nothing can refer before its scan is segmented; raises as `rtstruct.check_masks`."""
    import numpy as np

    from organbench.data.dicom import rtstruct

    nothing = np.broadcast_to(np.False_, series.grid.shape)
    rtstruct.check_masks(dict.fromkeys(segmenter.model.organs, nothing), series, output)


def write(segmenter: "Segmenter", segmented: "Segmented", output: Path, kind: str, series: "Series | None") -> None:
    """Write what was made of a scan."""
    import SimpleITK as sitk

    from organbench.core.version import VERSION
    from organbench.data import conversion, images

    organs = segmenter.model.organs
    indices = sitk.GetArrayViewFromImage(segmented.labels)
    if series is None or kind == "nifti":
        labels = sitk.GetImageFromArray(conversion.label_values(organs)[indices])
        labels.CopyInformation(segmented.labels)
        images.write(labels, output)
        return
    from organbench.data.dicom import drawings
    from organbench.reporting.colours import ORGAN_COLOURS, palette

    masks = {organ: indices == index for index, organ in enumerate(organs, start=1) if segmented.volumes_ml[organ]}
    colors = palette(organs, ORGAN_COLOURS)
    drawings.write(kind, masks, series, output, colors=colors, algorithm=segmenter.model.name, version=VERSION)
