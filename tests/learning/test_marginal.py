"""An organ that was not annotated in a case is part of the background there, in every loss and wherever a crop lies."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import NO_AUGMENTATION, ORGANS, UNET, make_case, task_of, training_settings

from organbench.core.errors import InputError
from organbench.hardware import devices
from organbench.inference.windows import exchanging
from organbench.learning import augmentation, beginning, building, choices, optimisation, run, sampling, trainer
from organbench.learning.losses._marginal import merged

loss = partial(choices.load, "loss")
every_loss = pytest.mark.parametrize("name", choices.names("loss"))
quick = settings(max_examples=40, deadline=None, derandomize=True)


@pytest.fixture(autouse=True, scope="module")
def one_repeatable_thread():
    threads = torch.get_num_threads()
    devices.prepare(threads=1, gpus=0)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def batch_of(seed, *, batch=2, organs=3, size=(4, 5), scale=2.0):
    """Logits, labels, and which classes were not annotated: these are not among a patch's labels."""
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(batch, organs + 1, *size, generator=generator, dtype=torch.float64)
    labels = torch.randint(organs + 1, (batch, *size), generator=generator)
    unannotated = torch.rand(batch, organs + 1, generator=generator) < 0.4
    unannotated[:, 0] = False
    hidden = unannotated.gather(1, labels.reshape(batch, -1)).reshape(labels.shape)
    return logits, torch.where(hidden, 0, labels), unannotated


batches = st.builds(
    batch_of,
    st.integers(0, 2**32),
    batch=st.integers(1, 3),
    organs=st.integers(1, 4),
    size=st.one_of(st.tuples(*[st.integers(1, 5)] * 2), st.tuples(*[st.integers(1, 4)] * 3)),
    scale=st.sampled_from([0.0, 0.1, 1.0, 10.0, 1000.0]),
)


def by_hand(name, logits, labels, unannotated):
    """The same loss in numpy: probabilities of what was not annotated are added to the background's and left out."""
    values = (logits - logits.amax(1, keepdim=True)).exp().double().numpy()
    p, y = values / values.sum(1, keepdims=True), np.zeros(values.shape)
    for patch, classes in enumerate(unannotated.numpy()):
        p[patch, 0] += p[patch, classes].sum(0)
        p[patch, classes] = 0
        for c in range(len(classes)):
            y[patch, c] = labels[patch].numpy() == c
    surprise = -np.log(np.where(y > 0, p, 1), where=np.where(y > 0, p, 1) > 0, out=np.full(p.shape, np.inf))
    ce = surprise.sum() / labels.numel()
    dice = []
    for c in range(1, p.shape[1]):
        known = [patch for patch in range(len(p)) if not unannotated[patch, c]]
        ours, theirs = p[known, c], y[known, c]
        dice.append(1 - 2 * (ours * theirs).sum() / ((ours**2).sum() + theirs.sum()) if theirs.any() else 0.0)
    pixels = 2 * (p * y).sum(1) / ((p**2).sum(1) + (y**2).sum(1) + 1e-6)
    found = {"ce": ce, "dice": np.mean(dice), "dice_ce": np.mean(dice) + ce, "dice_legacy": 1 - pixels.mean()}
    return found[name]


@every_loss
@quick
@given(batch=batches)
def test_loss_is_the_one_by_hand(name, batch):
    logits, labels, unannotated = batch
    expected = by_hand(name, *batch)
    if np.isfinite(expected):
        found = optimisation.supervised(loss(name), logits, labels, unannotated)
        assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@every_loss
@quick
@given(batch=batches)
def test_the_gradient_of_such_an_organ_is_its_part_of_the_merged_backgrounds(name, batch):
    logits, labels, unannotated = batch
    logits = (logits / logits.abs().max().clamp(min=1) * 5).requires_grad_()  # parts are not lost in rounding
    optimisation.supervised(loss(name), logits, labels, unannotated).backward()
    with torch.no_grad():
        as_one = merged(logits, unannotated)
        part = torch.where(in_background(unannotated, logits), (logits.log_softmax(1) - as_one[:, :1]).exp(), 0)
    as_one.requires_grad_()
    loss(name)(as_one, labels).backward()
    torch.testing.assert_close(
        torch.where(part > 0, logits.grad, 0), as_one.grad[:, :1] * part, check_dtype=False, rtol=1e-6, atol=1e-9
    )


def in_background(unannotated, logits):
    """Which classes are the background or part of it, for each logit."""
    first = torch.zeros_like(unannotated)
    first[:, 0] = True
    return (unannotated | first).reshape(*unannotated.shape, *(1,) * (logits.dim() - 2)).expand(logits.shape)


@every_loss
@quick
@given(batch=batches)
def test_whether_such_an_organ_is_there_is_not_asked(name, batch):
    """What is given to the organ in place of the background changes no loss."""
    logits, labels, _ = batch
    unannotated = torch.zeros(logits.shape[:2], dtype=torch.bool)
    unannotated[:, 1] = True
    labels = torch.where(labels == 1, 0, labels)
    order = [1, 0, *range(2, logits.shape[1])]
    one, other = (optimisation.supervised(loss(name), part, labels, unannotated) for part in (logits, logits[:, order]))
    torch.testing.assert_close(one, other)


@every_loss
@quick
@given(batch=batches)
def test_gradients_are_finite_and_all_annotated_is_as_if_nothing_was_said(name, batch):
    logits, labels, unannotated = batch
    logits = logits.float().requires_grad_()
    optimisation.supervised(loss(name), logits, labels, unannotated).backward()
    assert logits.grad.isfinite().all()
    plain = optimisation.supervised(loss(name), logits, labels)
    said = optimisation.supervised(loss(name), logits, labels, torch.zeros_like(unannotated))
    torch.testing.assert_close(said, plain, rtol=1e-5, atol=1e-6)


@every_loss
def test_gradient_is_the_derivative(name):
    logits, labels, unannotated = batch_of(0, size=(2, 2, 3), scale=1.0)
    assert unannotated.any()
    torch.autograd.gradcheck(
        lambda given: optimisation.supervised(loss(name), given, labels, unannotated), (logits.requires_grad_(),)
    )


@every_loss
def test_bf16_logits_are_computed_in_float32(name):
    logits, labels, unannotated = batch_of(0, size=(16, 16))
    logits = logits.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = optimisation.supervised(loss(name), logits.requires_grad_(), labels, unannotated)
    assert found.dtype == torch.float32
    assert found == optimisation.supervised(loss(name), logits.float(), labels, unannotated)
    found.backward()
    assert logits.grad.isfinite().all()


@every_loss
def test_deep_supervision_merges_at_every_level(name):
    logits, labels, unannotated = batch_of(0, size=(8, 8))
    parts = [logits, logits[..., ::2, ::2], logits[..., ::4, ::4]]
    found = optimisation.supervised(loss(name), parts, labels, unannotated)
    each = [by_hand(name, part, labels[:, :: 2**k, :: 2**k], unannotated) for k, part in enumerate(parts)]
    assert found.item() == pytest.approx((each[0] + each[1] / 2 + each[2] / 4) / 1.75, rel=1e-5)


# Batches


def without(case, *organs):
    """The case as it is where some organs were not annotated; they are background then."""
    indices = [list(ORGANS).index(organ) + 1 for organ in organs]
    label = np.where(np.isin(case.label, indices), 0, case.label).astype(np.uint8)
    points = case.points.copy()
    points[[index - 1 for index in indices]] = -1
    return dataclasses.replace(case, label=label, points=points, info=dict(case.info, unannotated=list(organs)))


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    return [make_case(folder, name, seed=n) for n, name in enumerate("abc")]


def test_a_batch_says_which_organs_were_not_annotated_in_each_crop(patients):
    some = [patients[0], without(patients[1], "bladder"), without(patients[2], "liver")]
    task = task_of(training_settings(batch_size=8))
    for step in range(5):
        drawn = [index for index, _ in sampling.centres(some, task, step)]
        expected = np.zeros((8, 3), bool)
        expected[[index == 1 for index in drawn], 2] = True
        expected[[index == 2 for index in drawn], 1] = True
        found = sampling.batch(some, task, step).unannotated
        np.testing.assert_array_equal(found if found is not None else np.zeros((8, 3), bool), expected)
    assert all(sampling.batch(patients, task, step).unannotated is None for step in range(5))


def test_an_organ_is_looked_for_where_it_was_annotated_as_often_as_others(patients):
    some = [patients[0], *(without(patient, "bladder") for patient in patients[1:])]
    task = task_of(training_settings(batch_size=4, foreground=1.0))
    first = [index == 0 for step in range(100) for index, _ in sampling.centres(some, task, step)]
    assert np.mean(first) == pytest.approx(1 / 2 + 1 / 2 / 3, abs=0.06)  # all of the bladder's, a third of the liver's


def test_the_first_shares_are_of_the_crops_in_which_an_organ_was_annotated(patients):
    task = task_of(training_settings(batch_size=16, foreground=0.0, augmentation=NO_AUGMENTATION))
    whole = beginning.shares(patients, task)
    some = [patients[0], without(patients[1], "bladder"), without(patients[2], "liver", "bladder")]
    found = beginning.shares(some, task)
    assert found.sum() == pytest.approx(1)
    assert found == pytest.approx(whole, rel=0.25)
    drawn = [sampling.batch(some, task, step) for step in range(beginning.STEPS)]
    known = [~b.unannotated[:, 2] if b.unannotated is not None else np.ones(16, bool) for b in drawn]
    crops = np.concatenate([b.labels[rows] for b, rows in zip(drawn, known, strict=True)])
    assert found[2] == pytest.approx((crops == 2).mean(), rel=1e-2)


@pytest.mark.parametrize("patch", [(12, 16), (4, 12, 16)])
def test_a_flip_exchanges_which_of_a_pair_was_not_annotated(patch):
    pairs, count = ((1, 2), (3, 4)), 20
    labels = torch.randint(7, (count, *patch), dtype=torch.uint8)
    unannotated = np.zeros((count, 7), bool)
    unannotated[:, 1] = unannotated[::2, 5] = unannotated[::3, 4] = True
    hidden = torch.from_numpy(unannotated).gather(1, labels.long().reshape(count, -1)).reshape(labels.shape)
    labels = torch.where(hidden, 0, labels)
    task = task_of(training_settings(patch=patch, augmentation=NO_AUGMENTATION | {"flip": ["x", "y"]}))
    task = dataclasses.replace(task, organs=tuple("abcdef"), mirrored=pairs)
    before = unannotated.copy()
    _, classes, found = augmentation.augment(labels[:, None].float(), labels, task, 0, unannotated=unannotated)
    np.testing.assert_array_equal(unannotated, before)
    turned = (found != unannotated).any(axis=1)
    np.testing.assert_array_equal(found[turned], unannotated[turned][:, exchanging(pairs, 7)])
    assert 3 < turned.sum() < 17
    for label, classes_unknown in zip(classes, found, strict=True):
        assert not classes_unknown[label.unique().numpy()].any()
        assert classes_unknown.any()
    alone = dataclasses.replace(task, mirrored=())
    _, _, same = augmentation.augment(labels[:, None].float(), labels, alone, 0, unannotated=unannotated)
    np.testing.assert_array_equal(same, unannotated)


# Trainings


def train(patients, tmp_path, *, validation=(), network=UNET, **changes):
    return tiny.train(patients, validation, tmp_path / "none", network=network, settings=training_settings(**changes))


@pytest.mark.parametrize(
    "changes", [{}, {"deep_supervision": True, "precision": "bf16"}, {"patch": [4, 16, 16]}], ids=["2d", "deep", "3d"]
)
def test_where_all_is_annotated_nothing_is_merged_and_weights_are_the_same(patients, tmp_path, monkeypatch, changes):
    dims = {"dims": len(changes.get("patch", [0, 0])), "features": [4, 8, 16]}
    told = [dataclasses.replace(case, info=dict(case.info, unannotated=[])) for case in patients]
    nothing = {key: value for key, value in told[0].info.items() if key != "unannotated"}
    silent = [dataclasses.replace(case, info=nothing) for case in told]
    monkeypatch.setattr(optimisation, "merged", None)
    ours, theirs = (train(cases, tmp_path, network=UNET | dims, **changes) for cases in (told, silent))
    assert building.fingerprint(ours.network) == building.fingerprint(theirs.network)


@pytest.mark.parametrize(
    "changes",
    [{}, {"deep_supervision": True, "precision": "bf16"}, {"patch": [4, 16, 16]}, {"loss": "ce"}, {"loss": "dice"}],
    ids=["2d", "deep-bf16", "3d", "ce", "dice"],
)
def test_a_case_without_an_organ_trains_repeatably_and_not_as_one_that_has_none(patients, tmp_path, changes):
    """It gives the same weights every time, and others than if the organ were taken for absent."""
    dims = {"dims": len(changes.get("patch", [0, 0])), "features": [4, 8, 16]}
    some = [patients[0], without(patients[1], "bladder")]
    first, again = (train(some, tmp_path, network=UNET | dims, **changes) for _ in range(2))
    assert all(np.isfinite(row["loss"]) for row in first.rows)
    assert building.fingerprint(first.network) == building.fingerprint(again.network)
    absent = [patients[0], dataclasses.replace(some[1], info=dict(some[1].info, unannotated=[]))]
    other = train(absent, tmp_path, network=UNET | dims, **changes)
    assert building.fingerprint(first.network) != building.fingerprint(other.network)


def test_a_network_learns_an_organ_that_two_of_three_cases_lack(patients, tmp_path):
    """Taken for absent there, it is learned to be absent."""
    some = [patients[0], *(without(patient, "liver") for patient in patients[1:])]
    absent = [some[0], *(dataclasses.replace(case, info=dict(case.info, unannotated=[])) for case in some[1:])]
    dice = []
    for cases in (some, absent):
        found = train(cases, tmp_path, validation=patients, steps=60, foreground=0.3, validate_every=60)
        dice.append(found.rows[-1]["dice_liver"])
    assert dice[0] > 0.9
    assert dice[1] < 0.5


def test_validation_does_not_score_what_was_not_annotated(patients, monkeypatch):
    whole = np.asarray(patients[0].label)
    monkeypatch.setattr(trainer, "predict_case", lambda *args, **options: whole)
    some = [without(patients[0], "bladder"), without(patients[1], "bladder", "liver")]
    found = trainer.validate(None, some, list(ORGANS))
    assert found.dice["liver"] == 1
    assert np.isnan(found.dice["bladder"])
    assert not found.only_background
    assert trainer.validate(None, [*some, patients[2]], list(ORGANS)).dice == {"liver": 1, "bladder": 1}


def test_an_organ_that_no_training_case_has_annotated_is_refused_in_a_line(patients):
    some = [without(patient, "bladder") for patient in patients]
    with pytest.raises(InputError, match=r"bladder was annotated in none of the 3 training cases; change the split"):
        run.annotated_in_some(some, list(ORGANS))
    run.annotated_in_some([*some, patients[0]], list(ORGANS))


def test_two_processes_merge_as_one(patients, tmp_path):
    """Each shard knows of its own crops what the whole batch knows."""
    some = [patients[0], without(patients[1], "bladder"), without(patients[2], "liver")]
    task = task_of(training_settings(batch_size=8))
    whole = sampling.batch(some, task, 3).unannotated
    for rank in range(2):
        shard = sampling.Shard(rank, 2)
        part = sampling.batch(some, task, 3, shard).unannotated
        expected = whole[shard.part]
        np.testing.assert_array_equal(part if part is not None else np.zeros_like(expected), expected)
