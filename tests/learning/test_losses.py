"""The losses, against plain numpy and by their properties."""

import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from organbench.evaluation.metrics import legacy_score
from organbench.evaluation.overlaps import joint_histogram
from organbench.learning import choices

loss = partial(choices.load, "loss")

NAMES = ["dice_ce", "dice", "ce", "dice_legacy"]
every_loss = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more are slower for tensors as small as these
    yield
    torch.set_num_threads(threads)


def batch_of(seed, *, batch=2, classes=3, size=(4, 5), scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(batch, classes, *size, generator=generator)
    labels = torch.randint(classes, (batch, *size), generator=generator)
    return logits, labels


batches = st.builds(
    batch_of,
    st.integers(0, 2**32),
    batch=st.integers(1, 3),
    classes=st.integers(2, 5),
    size=st.one_of(st.tuples(*[st.integers(1, 5)] * 2), st.tuples(*[st.integers(1, 4)] * 3)),
    scale=st.sampled_from([0.0, 0.1, 1.0, 10.0, 1000.0]),
)
quick = settings(max_examples=40, deadline=None, derandomize=True)


def by_hand(name, logits, labels):
    """The same loss, voxel by voxel in numpy and float64."""
    logits = np.moveaxis(logits.double().numpy(), 1, -1).reshape(-1, logits.shape[1])  # voxel class
    labels = labels.numpy().reshape(-1)
    shifted = logits - logits.max(1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
    y = np.eye(logits.shape[1])[labels]

    ce = np.mean([np.log(np.exp(row).sum()) - row[label] for row, label in zip(shifted, labels, strict=True)])
    organs = [
        1 - 2 * (p[:, c] * y[:, c]).sum() / ((p[:, c] ** 2).sum() + y[:, c].sum()) if y[:, c].any() else 0.0
        for c in range(1, logits.shape[1])
    ]
    dice = np.mean(organs)
    pixels = [2 * np.abs(t * q).sum() / ((t**2).sum() + (q**2).sum() + 1e-6) for t, q in zip(y, p, strict=True)]
    return {"ce": ce, "dice": dice, "dice_ce": dice + ce, "dice_legacy": 1 - np.mean(pixels)}[name]


@every_loss
@quick
@given(batch=batches)
def test_loss_is_the_one_by_hand(name, batch):
    assert loss(name)(*batch).item() == pytest.approx(by_hand(name, *batch), rel=1e-4, abs=1e-5)


@every_loss
@quick
@given(batch=batches)
def test_loss_is_in_range_and_its_gradient_finite(name, batch):
    logits, labels = batch
    logits.requires_grad_()
    value = loss(name)(logits, labels)
    assert value.shape == ()
    assert value >= -1e-6
    if name in ("dice", "dice_legacy"):
        assert value <= 1 + 1e-6
    value.backward()
    assert logits.grad.isfinite().all()


@every_loss
@quick
@given(batch=batches)
def test_perfect_prediction_costs_nothing(name, batch):
    logits, labels = batch
    certain = 100 * F.one_hot(labels, logits.shape[1]).movedim(-1, 1).float()
    assert loss(name)(certain, labels).item() == pytest.approx(0, abs=1e-5)


@every_loss
@quick
@given(batch=batches)
def test_order_of_the_batch_and_of_the_voxels_does_not_matter(name, batch):
    logits, labels = batch
    value = loss(name)(logits, labels).item()
    assert loss(name)(logits.flip(0), labels.flip(0)).item() == pytest.approx(value, rel=1e-4, abs=1e-6)
    assert loss(name)(logits.flip(-1), labels.flip(-1)).item() == pytest.approx(value, rel=1e-4, abs=1e-6)


@every_loss
@pytest.mark.parametrize("size", [(2, 3), (2, 2, 3)])
def test_gradient_is_the_derivative(name, size):
    logits, labels = batch_of(0, size=size, scale=1.0)
    torch.autograd.gradcheck(loss(name), (logits.double().requires_grad_(), labels))


def test_cross_entropy_is_torchs():
    logits, labels = batch_of(0)
    torch.testing.assert_close(loss("ce")(logits, labels), F.cross_entropy(logits, labels))


@every_loss
def test_bf16_logits_are_computed_in_float32(name):
    logits, labels = batch_of(0, size=(16, 16))
    logits = logits.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(name)(logits.requires_grad_(), labels)
    assert value.dtype == torch.float32
    assert value == loss(name)(logits.float(), labels)
    value.backward()
    assert logits.grad.isfinite().all()


@every_loss
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_labels_of_any_whole_type_and_any_layout(name, dtype):
    logits, labels = batch_of(0)
    value = loss(name)(logits.to(memory_format=torch.channels_last), labels.to(dtype))
    torch.testing.assert_close(value, loss(name)(logits, labels))


@every_loss
def test_loss_is_deterministic(name):
    logits, labels = batch_of(0, size=(64, 64))
    torch.use_deterministic_algorithms(True)
    try:
        gradients = []
        for _ in range(2):
            leaf = logits.clone().requires_grad_()
            loss(name)(leaf, labels).backward()
            gradients.append(leaf.grad)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(*gradients)


def test_dice_pools_the_batch():
    # The organ fills one voxel of the first patch; the second patch, without it, adds only to what is predicted.
    labels = torch.zeros(2, 1, 4, dtype=torch.long)
    labels[0, 0, 0] = 1
    logits = 100 * F.one_hot(labels, 2).movedim(-1, 1).float()
    logits[1, :, 0, 0] = torch.tensor([0.0, 100.0])
    assert loss("dice")(logits, labels).item() == pytest.approx(1 - 2 / (2 + 1))


def test_dice_leaves_an_absent_organ_to_cross_entropy():
    # Its Dice would hang on the last false voxel: with it in the loss, networks learned never to predict rare organs.
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[0, 0] = 1
    logits = torch.zeros(1, 3, 8, 8)
    alone = loss("dice")(logits[:, :2], labels).item()
    logits[:, 2] = -20.0  # the absent organ is rightly not predicted
    assert loss("dice")(logits, labels).item() == pytest.approx(alone / 2, abs=1e-6)
    logits.requires_grad_()
    loss("dice_ce")(logits, labels).backward()
    assert (logits.grad[:, 2] >= 0).all()  # and only ever pushed down
    assert (logits.grad[:, 2] > 0).any()


def test_each_organ_weighs_the_same_whichever_others_are_there():
    def gradient(organs):
        labels = torch.zeros(1, 8, 8, dtype=torch.long)
        for organ in organs:
            labels[0, organ] = organ
        logits = torch.zeros(1, 4, 8, 8, requires_grad=True)
        loss("dice")(logits, labels).backward()
        return logits.grad[0, 1, 1]  # of organ 1, where it is

    torch.testing.assert_close(gradient([1]), gradient([1, 2, 3]), rtol=0.15, atol=0)


def test_legacy_dice_rewards_predicting_nothing():
    labels = torch.zeros(1, 100, 100, dtype=torch.long)
    labels[0, :10, :20] = 1  # an organ of 2 % of the image
    logits = torch.tensor([100.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 100, 100)
    assert 1 - loss("dice_legacy")(logits, labels).item() == pytest.approx(0.98, abs=1e-5)
    assert 1 - loss("dice")(logits, labels).item() < 0.01


def test_the_legacy_loss_of_a_hard_prediction_is_what_its_score_lacks():
    generator = torch.Generator().manual_seed(0)
    truth, predicted = torch.randint(3, (2, 2, 8, 8), generator=generator)
    logits = 100 * F.one_hot(predicted, 3).movedim(-1, 1).float()
    score = legacy_score(joint_histogram(truth.numpy(), predicted.numpy(), 2))
    assert loss("dice_legacy")(logits, truth).item() == pytest.approx(1 - score, abs=1e-5)


@every_loss
def test_uniform_prediction(name):
    logits, labels = batch_of(0, classes=4, scale=0.0)
    if name == "ce":
        assert loss(name)(logits, labels).item() == pytest.approx(math.log(4))
    else:
        assert loss(name)(logits, labels).item() > 0.3


def test_unknown_loss_is_named():
    with pytest.raises(ValueError, match="unknown loss 'focal'; available: ce, dice, dice_ce, dice_legacy"):
        loss("focal")


@every_loss
def test_shapes_that_do_not_fit_are_refused(name):
    logits, labels = batch_of(0)
    with pytest.raises(ValueError, match=r"labels of shape \(2, 4\) do not fit logits of shape \(2, 3, 4, 5\)"):
        loss(name)(logits, labels[..., 0])


@every_loss
def test_label_that_is_no_class_is_refused(name):
    logits, labels = batch_of(0)
    labels[0, 0, 0] = 3
    with pytest.raises(RuntimeError, match="out of bounds"):
        loss(name)(logits, labels)
