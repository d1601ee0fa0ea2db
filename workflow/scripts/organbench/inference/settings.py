"""How a study predicts: the checked config's settings, as values with a type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Specks = Mapping[int, tuple[float, bool]]
"""Which connected parts of a prediction become background: per organ index those below a volume (ml), and whether all
but the largest."""


@dataclass(frozen=True)
class Prediction:
    """The config's `prediction`: how the study predicts.

    Attributes:
        overlap: share of a window that the next one covers too.
        mirror: average over all flips that the network was trained with.
        smallest_part: share of an organ's usual volume below which a connected part of it is a speck.
        keep_largest: names of organs of which only the largest connected part stays.
    """

    overlap: float
    mirror: bool
    smallest_part: float
    keep_largest: tuple[str, ...]

    def specks(self, organ_ml: Sequence[float], organs: Sequence[str]) -> Specks:
        """Which parts the study takes for specks.

        Args:
            organ_ml: each organ's usual volume in the training cases, ml.
            organs: names of the organs, in order.
        """
        largest = [organs.index(organ) for organ in self.keep_largest]
        return {k + 1: (self.smallest_part * volume, k in largest) for k, volume in enumerate(organ_ml)}
