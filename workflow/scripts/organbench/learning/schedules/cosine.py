"""Half a cosine, to 0.

In methods.md: then decayed by half a cosine.
"""

import numpy as np


def schedule(done: float) -> float:
    """What is left of the learning rate."""
    return float((1 + np.cos(np.pi * done)) / 2)
