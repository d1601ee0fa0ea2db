"""The colours of models, organs and groups of patients, the same in every figure and in the viewer."""

from collections.abc import Iterable

# Okabe and Ito (2008), told apart with every common colour blindness; their yellow is too light for points on white.
MODEL_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
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


def palette(models: Iterable[str]) -> dict[str, str]:
    """Give every model its colour, in the order of the models; colours repeat after the seventh."""
    return {model: MODEL_COLOURS[i % len(MODEL_COLOURS)] for i, model in enumerate(models)}


def organ_palette(organs: Iterable[str]) -> dict[str, str]:
    """Give every organ its colour, in the order of the organs; colours repeat after the twelfth."""
    return {organ: ORGAN_COLOURS[i % len(ORGAN_COLOURS)] for i, organ in enumerate(organs)}


def group_palette(groups: Iterable[str]) -> dict[str, str]:
    """Give every group of patients its colour, in the order of the groups; colours repeat after the ninth."""
    return {group: GROUP_COLOURS[i % len(GROUP_COLOURS)] for i, group in enumerate(groups)}
