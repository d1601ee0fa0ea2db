"""The colours of models, organs and groups of patients, the same in every figure and in the viewer."""

from collections.abc import Iterable, Sequence

# Okabe and Ito (2008), told apart with every common colour blindness; their yellow is too light for points on white.
# The last three, a brown and two of Paul Tol's, are with each blindness farther from all others than the nearest two of
# the first seven from one another (in CIELAB, simulated after Machado et al. 2009).
MODEL_COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"),
    *("#5B3A00", "#332288", "#882255"),
)
# The same with Paul Tol's light scheme, in the order in which they stand out on grey CT.
ORGAN_COLOURS = (
    *("#E69F00", "#56B4E9", "#CC79A7", "#F0E442", "#009E73", "#D55E00"),
    *("#99DDFF", "#BBCC33", "#FFAABB", "#0072B2", "#EE8866", "#AAAA00"),
)

# Paul Tol's muted scheme, so that a group is not taken for a model.
GROUP_COLOURS = (
    *("#332288", "#CC6677", "#117733", "#DDCC77", "#882255"),
    *("#44AA99", "#999933", "#AA4499", "#88CCEE"),
)


def palette(names: Iterable[str], colours: Sequence[str] = MODEL_COLOURS) -> dict[str, str]:
    """Give every model (with other colours every organ, or group) its colour, in their order; colours repeat."""
    return {name: colours[i % len(colours)] for i, name in enumerate(names)}
