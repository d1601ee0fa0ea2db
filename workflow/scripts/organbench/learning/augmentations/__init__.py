"""How crops are changed at random: one file an augmentation, which has the name of its key in the config.

A file says, in plain values that are read without importing it, where it has its place and what its key may be:

- `PLACE`: the stage, and a number by which those of a stage follow one another. `space` moves images and labels
  together; `hu` changes images in HU; `window` changes them where 0 to 1 is the window, and keeps to that.
- `SETTING`, the key's JSON schema, where every crop is changed; or `RANGE`, where some are: what is drawn (`of`), its
  `minimum`, `maximum` and `default` range. The key then has a `probability`, which is 0 by default, and a `range`.
- `In methods.md: ...` in its docstring: what the paper says, with places for the setting; of a `RANGE` for its two ends
  and the probability.

It defines `change`:

- of the stage `space`: matrices (batch, dims, dims), from the axes x y [z] of the result to those of the crop, by the
  setting, the draw and dims. `reach` says which size, [z] y x, is needed to fill one after that change, if a larger
  one is.
- with `RANGE`: an image (channel, [z,] y, x) by one and the number that is drawn for it.
- otherwise: images (batch, channel, [z,] y, x) by them, the setting and the draw.

The draw is a stream of its own, see `_draws`, so a new augmentation shifts no other's numbers.
"""

import importlib
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any

STAGES = ("space", "hu", "window")  # in this order


def is_on(setting: Any) -> bool:
    """Whether an augmentation with this setting changes anything."""
    return bool(setting["probability"] if isinstance(setting, Mapping) else setting)


def place(where: tuple[str, int]) -> tuple[int, int]:
    """What augmentations are sorted by, from their `PLACE`."""
    stage, number = where
    return STAGES.index(stage), number


def on(given: Mapping[str, Any], stage: str) -> dict[str, ModuleType]:
    """The files of the augmentations of a stage that are on, in the order in which they work.

    Args:
        given: the config's `training.augmentation`.
        stage: one of `STAGES`.
    """
    found = {name: load(name) for name, setting in given.items() if is_on(setting)}
    here = {name: file for name, file in found.items() if file.PLACE[0] == stage}
    return dict(sorted(here.items(), key=lambda item: place(item[1].PLACE)))


@cache
def load(name: str) -> ModuleType:
    """An augmentation's file, imported."""
    return importlib.import_module(f"{__name__}.{name}")
