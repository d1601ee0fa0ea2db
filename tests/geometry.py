"""Grids as tests need them: any, and turned."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from organbench.data.grids import Grid

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

quick = settings(max_examples=60, deadline=None, derandomize=True)
spacings = st.floats(0.4, 6.0)


def rotation(angles):
    """Direction cosines of a grid that is turned about z, then y, then x (radians)."""
    result = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        a, b = [k for k in range(3) if k != axis]
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        result = turn @ result
    return result


def grid(size=(9, 8, 7), spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), direction=IDENTITY):
    return Grid(size, spacing, origin, tuple(np.ravel(direction).tolist()))


@st.composite
def any_grids(draw, largest=12):
    return grid(
        draw(st.tuples(*[st.integers(1, largest)] * 3)),
        draw(st.tuples(*[spacings] * 3)),
        draw(st.tuples(*[st.floats(-300, 300)] * 3)),
        rotation(draw(st.tuples(*[st.floats(-3, 3)] * 3))),
    )


def centres(wanted):
    """Where the voxels lie in the patient, mm (z y x 3), along the grid's own axes."""
    z, y, x = np.indices(wanted.shape)
    index = np.stack([x, y, z], axis=-1) * np.asarray(wanted.spacing)
    return index @ np.reshape(wanted.direction, (3, 3)).T + np.asarray(wanted.origin)
