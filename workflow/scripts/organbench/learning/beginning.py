"""What a network answers before it has learned anything: each class by its share of the voxels.

A network whose classes begin alike takes every organ for a thousand times as frequent as it is. Its first steps then
push all organs down. A bias moves by no more than the learning rate in a step, so features have to do it: those that
would have told a small organ from its surroundings come to say "no organ" everywhere. Soft Dice then hardly pulls on an
organ that is hardly predicted at all, and with some seeds it is never learned. So biases begin where they belong, as in
Lin et al., "Focal loss for dense object detection", ICCV 2017.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from organbench.core.jobs import LOGGER
from organbench.data.cases import Case
from organbench.data.grids import Array
from organbench.inference.weights import Design
from organbench.learning import sampling
from organbench.learning.settings import Task

STEPS = 8  # of which the crops are counted
LEAST = 1e-4  # an organ that is rarer, or in none of these crops, begins as if it were not


def begin(network: nn.Module, design: Design, cases: Sequence[Case], task: Task) -> None:
    """Let a network begin with the shares of the classes in the first crops.

    Args:
        network: with the first weights; its last layers get other biases.
        design: of the network.
        cases: that are trained on.
        task: what is to be learned.
    """
    found = heads(network, design)
    if not found:
        LOGGER.info("no layer with a bias gives the logits: small organs may be learned late")
        return
    values = torch.from_numpy(np.log(shares(cases, task)))
    with torch.no_grad():
        for head in found:
            head.copy_(values - values.mean())


def shares(cases: Sequence[Case], task: Task) -> Array:
    """The share of voxels of each class, background first, in the crops of the first steps; they sum up to 1.

    That of an organ is of the crops in whose cases it was annotated. In the others as much of it is taken to be in what
    is labelled as background.
    """
    count, looked_at = np.zeros((2, len(task.organs) + 1))
    for step in range(STEPS):
        _, labels, unannotated = sampling.batch(cases, task, step)
        count += np.bincount(labels.ravel(), minlength=len(count))
        crops = len(labels) if unannotated is None else (~unannotated).sum(axis=0)
        looked_at += crops * labels[0].size
    found = count / np.maximum(looked_at, 1)
    found[0] -= (found * (1 - looked_at / looked_at[0])).sum()
    found = np.maximum(found, LEAST)
    return np.asarray(found / found.sum())


def heads(network: nn.Module, design: Design) -> list[nn.Parameter]:
    """The biases of the layers whose outputs are the logits themselves, of all levels.

    They are found by a forward pass without values, as any network may name its layers as it likes.
    """
    actor = copy.deepcopy(network).to("meta").train()
    given: list[tuple[str, Tensor]] = []
    for name, layer in actor.named_modules():
        bias = getattr(layer, "bias", None)
        if isinstance(bias, nn.Parameter) and bias.shape == (design.classes,):
            layer.register_forward_hook(lambda _, inputs, output, name=name: given.append((name, output)))
    try:
        with torch.no_grad():
            logits = actor(torch.zeros(2, design.in_channels, *design.patch, device="meta"))
    except Exception as error:  # of a network that needs values: any
        LOGGER.info("which layers give the logits cannot be found without values (%s)", error)
        return []
    wanted = [logits] if isinstance(logits, Tensor) else list(logits)
    names = [name for name, output in given if any(output is each for each in wanted)]
    return [network.get_parameter(f"{name}.bias" if name else "bias") for name in dict.fromkeys(names)]
