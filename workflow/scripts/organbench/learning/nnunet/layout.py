"""The files of a fold as nnU-Net wants them: scans linked, organs' labels merged onto 1, 2, ..."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from organbench.core.errors import InputError
from organbench.data import grids, images
from organbench.learning.nnunet import recipe

RAW, PREPROCESSED, RESULTS = "raw", "preprocessed", "results"


def write(
    folder: str | Path,
    files: Mapping[str, tuple[str, str]],
    *,
    organs: Mapping[str, Sequence[int]],
    ignored: Sequence[int] = (),
    linked: bool = True,
) -> None:
    """Write a dataset.

    Args:
        folder: where; the dataset's own lies in `raw` in it.
        files: the volume and the labels of each case.
        organs: name of each organ and its label values, which are merged.
        ignored: label values that count as background.
        linked: whether volumes stay where they are, as far as nnU-Net reads their format; else they are copied.

    Raises:
        InputError: a file cannot be read, or a case has a name that nnU-Net takes for something else.
    """
    dataset = Path(folder, RAW, recipe.DATASET)
    for part in ("imagesTr", "labelsTr"):
        (dataset / part).mkdir(parents=True, exist_ok=True)
    Path(folder, PREPROCESSED).mkdir(exist_ok=True)
    for case, (volume, labels) in files.items():
        if case.endswith("_seg"):
            raise InputError(f"case {case}: nnU-Net takes names that end in _seg for label maps; rename its files")
        place = dataset / "imagesTr" / f"{case}_0000{recipe.ENDING}"
        if linked and str(volume).endswith(recipe.ENDING):
            place.symlink_to(Path(volume).resolve())
        else:
            images.write(images.read_volume(volume), place)
        merged = images.read_labels(labels, organs, ignored)
        merged.EraseMetaData(images.IGNORED)
        grids.place(merged, images.read_grid(volume))
        images.write(merged, dataset / "labelsTr" / f"{case}{recipe.ENDING}")
    (dataset / "dataset.json").write_text(json.dumps(recipe.dataset_json(list(organs), len(files)), indent=1))


def readable(volume: str | Path, place: Path) -> Path:
    """A volume in a format that nnU-Net reads: itself, or a copy at a place."""
    if str(volume).endswith(recipe.ENDING):
        return Path(volume).absolute()
    images.write(images.read_volume(volume), place)
    return place
