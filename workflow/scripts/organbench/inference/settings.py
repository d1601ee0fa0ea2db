"""How a study predicts: the checked config's settings, as values with a type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from organbench.core.files import tuples


@dataclass(frozen=True)
class Specks:
    """Which connected parts of a prediction become background.

    Attributes:
        smallest_ml: for each organ the volume (ml) below which a connected part of it is a speck.
        only_largest: organ indices of which only the largest connected part stays.
    """

    smallest_ml: tuple[float, ...] = ()
    only_largest: tuple[int, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """The config's `prediction`: how the study predicts.

    Attributes:
        overlap: share of a window that the next one covers too.
        mirror: average over all flips.
        smallest_part: share of an organ's usual volume below which a connected part of it is a speck.
        keep_largest: names of organs of which only the largest connected part stays.
    """

    overlap: float
    mirror: bool
    smallest_part: float
    keep_largest: tuple[str, ...]

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Prediction":
        """The settings of a checked config."""
        return cls(**tuples(settings))

    def specks(self, organ_ml: Sequence[float], organs: Sequence[str]) -> Specks:
        """Which parts the study takes for specks.

        Args:
            organ_ml: each organ's usual volume in the training cases, ml.
            organs: names of the organs, in order.
        """
        return Specks(
            tuple(self.smallest_part * volume for volume in organ_ml),
            tuple(organs.index(organ) + 1 for organ in self.keep_largest),
        )


NO_SPECKS = Specks()
