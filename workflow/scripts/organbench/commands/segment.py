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
    outputs = targets(scans, given.output, given.format, given.model)
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


def targets(scans: Sequence["Input"], output: Path, kind: str, model: Path) -> list[Path]:
    """Where the result of each scan goes.

    Raises:
        InputError: several would go into one file, one would replace the model, a scan or a file of it, or a format
            cannot be written.
    """
    from organbench.core import files
    from organbench.data import formats, images

    ends = (*images.WRITTEN, *(suffix for known in formats.FORMATS for suffix in known.suffixes), ".dcm")
    is_file = output.name.lower().endswith(ends) and not output.is_dir()
    if is_file and not output.name.lower().endswith(images.WRITTEN if kind == "nifti" else SUFFIXES[kind]):
        fitting = ", ".join(images.WRITTEN) if kind == "nifti" else SUFFIXES[kind]
        raise InputError(f"--output {output}: is no name of a file of --format {kind}; name one that ends in {fitting}")
    if is_file and len(scans) > 1:
        raise InputError(f"--output {output}: is a file, and there are {len(scans)} scans; name a folder")
    found = [output] if is_file else [output / f"{scan.name}{SUFFIXES[kind]}" for scan in scans]
    given = [model, *(scan.path for scan in scans)]
    for scan, target in zip(scans, found, strict=True):
        files.check_new(target, given)
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
    write(segmenter, segmented, output, kind, found, organs)
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


def write(
    segmenter: "Segmenter",
    segmented: "Segmented",
    output: Path,
    kind: str,
    series: "Series | None",
    wanted: Sequence[str],
) -> None:
    """Write what was made of a scan: of files that have names of organs, all that are wanted, found or not."""
    import SimpleITK as sitk

    from organbench.core.version import VERSION
    from organbench.data import conversion, images, slicer
    from organbench.data.grids import Grid
    from organbench.reporting.colours import ORGAN_COLOURS, palette

    organs = segmenter.model.organs
    indices = sitk.GetArrayViewFromImage(segmented.labels)
    masks = {organ: indices == index for index, organ in enumerate(organs, start=1) if organ in wanted or not wanted}
    colors = palette(organs, ORGAN_COLOURS)
    if kind == "nifti" and slicer.is_one(output):
        slicer.write(masks, Grid.of(segmented.labels), output, colors=colors)
        return
    if series is None or kind == "nifti":
        labels = sitk.GetImageFromArray(conversion.label_values(organs)[indices])
        labels.CopyInformation(segmented.labels)
        images.write(labels, output)
        return
    from organbench.data.dicom import drawings

    drawings.write(kind, masks, series, output, colors=colors, algorithm=segmenter.model.name, version=VERSION)
