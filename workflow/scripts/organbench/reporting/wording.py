"""Numbers, names and lists as a person says them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def words(name: str) -> str:
    """A name of the configuration as words."""
    return name.replace("_", " ")


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def spread(values: pd.Series) -> str:
    """Median and range; one number where all are equal."""
    low, high = float(values.min()), float(values.max())
    return f"{low:g}" if np.isclose(low, high) else f"{values.median():.3g} ({low:.3g} to {high:.3g})"


def between(counts: Sequence[int]) -> str:
    """One number, or the range over folds."""
    return str(counts[0]) if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
