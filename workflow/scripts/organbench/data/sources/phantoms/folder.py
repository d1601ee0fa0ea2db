"""The folder that phantoms are put into.

Plain Python, because the workflow needs it while it is parsed.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from organbench.core.errors import InputError

GENERATED = ".generated"  # file below root that says that phantoms were put there


def check_phantoms(dataset: Mapping[str, Any], cases: Iterable[str]) -> None:
    """Check that phantoms are not written over a user's files: a study that forgets its source makes phantoms.

    Raises:
        InputError: a file of that name is there, and no phantom was ever put into the folder.
    """
    root = Path(dataset["root"])
    paths = (root / dataset[key].replace("{case}", case) for case in cases for key in ("image", "label"))
    found = None if (root / GENERATED).exists() else next(filter(Path.exists, paths), None)
    if found:
        raise InputError(
            f"{found}: would be overwritten by a phantom; to read it, set dataset.source to nifti, "
            "to make phantoms, set dataset.root to another folder"
        )
