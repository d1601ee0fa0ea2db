"""Models are compared fairly, training repeats itself to the last bit, and an interruption changes nothing."""

import dataclasses
import errno
import itertools
import json
import logging
import os
import platform
import runpy
import shutil
import signal
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import tiny
import torch
from tiny import (
    GHOSTUNET,
    NO_AUGMENTATION,
    ORGANS,
    PREDICTION,
    UNET,
    WINDOW,
    label_map,
    make_case,
    settings_of,
    task_of,
    training_settings,
)
from torch import nn

from organbench import networks
from organbench.core.errors import InputError, StoppedError
from organbench.core.files import tuples
from organbench.data import cases
from organbench.evaluation import overlaps
from organbench.hardware import devices
from organbench.inference import weights as weights_file
from organbench.inference import windows
from organbench.inference.prediction import predict_files
from organbench.inference.settings import Prediction
from organbench.learning import (
    augmentation,
    building,
    choices,
    optimisation,
    sampling,
    trainer,
)
from organbench.learning.checkpoint import Checkpoint

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def one_repeatable_thread():
    threads = torch.get_num_threads()
    assert devices.prepare(threads=1, gpus=0) == CPU
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    return [make_case(folder, name, label_map(bladder=name != "b"), seed=n) for n, name in enumerate("abc")]


def train(patients, checkpoint, *, validation=(), options=UNET, every=300.0, until=None, workers=1, **others):
    """Train a tiny model on the patients; what is no option of a training is one of its settings."""
    own = {key: others.pop(key) for key in ("seed", "stamp", "prediction") if key in others}
    return tiny.train(
        patients,
        validation,
        checkpoint,
        network=options,
        settings=training_settings(**others),
        workers=workers,
        checkpoint_seconds=every,
        until=until,
        **own,
    )


def weights_of(network):
    return {key: value.clone() for key, value in network.state_dict().items()}


def same_weights(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def history(rows):
    """The rows without what the clock says, as text, because NaN is not equal to itself."""
    return json.dumps([{key: value for key, value in row.items() if key != "seconds"} for row in rows])


def watch_choice(monkeypatch, key, watched):
    """Call a function in place of what the config chooses under a key; it is given that, and its arguments."""
    load = choices.load

    def found(asked, name):
        return partial(watched, load(asked, name)) if asked == key else load(asked, name)

    monkeypatch.setattr(choices, "load", found)


# The comparison is fair


@pytest.fixture
def fed(monkeypatch):
    """What networks and losses get in training, step by step, as bytes."""
    inputs, targets, build = [], [], networks.build

    def watched_network(*args, **options):
        network = build(*args, **options)

        def watch(module, images):
            if module.training and not images[0].is_meta:  # neither validation nor counting
                inputs.append((images[0].shape, images[0].contiguous().numpy().tobytes()))

        network.register_forward_pre_hook(watch)
        return network

    def watched_loss(loss, logits, labels):
        targets.append((labels.shape, labels.contiguous().numpy().tobytes()))
        return loss(logits, labels)

    monkeypatch.setattr(networks, "build", watched_network)
    watch_choice(monkeypatch, "loss", watched_loss)

    def take():
        taken = list(inputs), list(targets)
        inputs.clear()
        targets.clear()
        return taken

    return take


MODELS_2D = (UNET, GHOSTUNET)
MODELS_3D = tuple(options | {"dims": 3} for options in MODELS_2D)


@pytest.mark.parametrize(
    ("models", "changes"),
    [(MODELS_2D, {"context": 1}), (MODELS_3D, {"patch": [4, 8, 8]})],
    ids=["2d", "3d"],
)
def test_all_models_see_the_same_batches(patients, tmp_path, fed, models, changes):
    seen = []
    for options, workers, cases_of in zip((*models, models[0]), (1, 3, 3), ([], patients[:1], []), strict=True):
        train(patients, tmp_path / "none", options=options, workers=workers, validation=cases_of, **changes)
        seen.append(fed())
    inputs, targets = seen[0]
    assert len(inputs) == len(targets) == 6
    assert len(set(inputs)) == len(set(targets)) == 6  # and every step another
    assert seen[1:] == [seen[0]] * 2


@pytest.mark.parametrize("seed", [0, 1])
def test_a_step_trains_on_the_batch_of_its_seed_and_number(patients, tmp_path, fed, seed):
    train(patients, tmp_path / "none", seed=seed)
    for step, (inputs, targets) in enumerate(zip(*fed(), strict=True)):
        images, labels = map(torch.from_numpy, sampling.batch(patients, task_of(seed=seed), step)[:2])
        expected = augmentation.augment(images, labels, task_of(seed=seed), step)
        assert inputs == (expected[0].shape, expected[0].numpy().tobytes())
        assert targets == (expected[1].shape, expected[1].numpy().tobytes())


def test_the_first_weights_depend_on_the_seed_only(patients, tmp_path, monkeypatch):
    first = []

    def watched(make, weights, *options):
        weights = list(weights)
        first.append([value.detach().clone() for value in weights])
        return make(weights, *options)

    watch_choice(monkeypatch, "optimizer", watched)
    for seed in (0, 0, 1):
        train(patients, tmp_path / "none", seed=seed, steps=1)
        torch.rand(7)  # something else used torch's random state
    assert all(map(torch.equal, first[0], first[1]))
    assert not all(map(torch.equal, first[0], first[2]))


def test_what_the_network_gets_is_in_range_and_in_its_memory_format(patients, tmp_path, monkeypatch):
    got, build = [], networks.build

    def watched(*args, **options):
        network = build(*args, **options)
        network.register_forward_pre_hook(lambda module, images: got.append(images[0]) if module.training else None)
        return network

    monkeypatch.setattr(networks, "build", watched)
    train(patients, tmp_path / "none", steps=2, context=1)
    got = [images for images in got if not images.is_meta]
    for images in got:
        assert (images.dtype, tuple(images.shape)) == (torch.float32, (3, 3, 16, 16))
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert images.min() >= -1
        assert images.max() <= 1
    assert len(got) == 2


# Learning rate, gradients, learning


def rates(**changes):
    settings = settings_of(steps=100, warmup=10, learning_rate=0.5, **changes)
    return np.array([optimisation.learning_rate(step, settings) for step in range(100)])


@pytest.mark.parametrize("schedule", ["polynomial", "cosine", "constant"])
def test_the_learning_rate_rises_linearly_in_the_warm_up(schedule):
    assert rates(schedule=schedule)[:10] == pytest.approx(0.05 * np.arange(1, 11))
    settings = settings_of(warmup=0, learning_rate=0.5, schedule=schedule)
    assert optimisation.learning_rate(0, settings) == 0.5


def test_the_learning_rate_then_falls_as_the_schedule_says():
    done = np.arange(90) / 90
    assert rates(schedule="polynomial")[10:] == pytest.approx(0.5 * (1 - done) ** 0.9)
    assert rates(schedule="cosine")[10:] == pytest.approx(0.25 * (1 + np.cos(np.pi * done)))
    assert rates(schedule="constant")[10:] == pytest.approx(0.5)
    settings = settings_of(steps=3, warmup=10, learning_rate=1.0)  # a warm-up longer than training
    assert [optimisation.learning_rate(step, settings) for step in range(3)] == pytest.approx([0.1, 0.2, 0.3])


def test_the_average_of_the_weights_is_kept_and_validated(patients, tmp_path, monkeypatch):
    """Against the average of the weights after each step, worked out by hand."""
    decay, seen, expected = 0.6, [], {}

    def remember(module, images):
        if module.training and not images[0].is_meta:
            seen.append(weights_of(module))

    build = networks.build
    monkeypatch.setattr(
        networks, "build", lambda *a, **o: (n := build(*a, **o)).register_forward_pre_hook(remember) and n
    )
    plain = train(patients, tmp_path / "none", steps=5, norm="instance")
    after = [*seen[1:5], weights_of(plain[0])]
    kept = train(patients, tmp_path / "none", steps=5, norm="instance", ema=decay)
    expected = after[0]
    for weights in after[1:]:
        expected = {key: decay * expected[key] + (1 - decay) * value for key, value in weights.items()}
    for key, value in kept[0].state_dict().items():
        torch.testing.assert_close(value, expected[key])
    assert not same_weights(plain[0].state_dict(), kept[0].state_dict())


def test_deep_supervision_halves_the_weight_of_each_coarser_level():
    labels = torch.randint(3, (2, 8, 8))
    logits = [torch.randn(2, 3, n, n) for n in (8, 4, 2)]
    one_by_one = [choices.load("loss", "dice_ce")(part, labels[:, :: 2**k, :: 2**k]) for k, part in enumerate(logits)]
    expected = (one_by_one[0] + one_by_one[1] / 2 + one_by_one[2] / 4) / 1.75
    torch.testing.assert_close(optimisation.supervised(choices.load("loss", "dice_ce"), logits, labels), expected)
    assert optimisation.supervised(choices.load("loss", "dice_ce"), logits[0], labels) == one_by_one[0]


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler, and there is none")
def test_a_compiled_network_learns_the_same(patients, tmp_path):
    plain = train(patients, tmp_path / "none", steps=3)
    compiled = train(patients, tmp_path / "none", steps=3, compile=True)
    for key, value in compiled[0].state_dict().items():
        torch.testing.assert_close(value, plain[0].state_dict()[key], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"options": GHOSTUNET | {"ratio": 0}}, "ratio must be 2 or more"),
        ({"options": UNET | {"features": []}}, "features must be"),
        ({"options": UNET | {"features": "many"}}, "config, models: "),
        ({"patch": [16, 17]}, r"patch: \[16, 17\] must be divisible by 2"),
    ],
)
def test_what_a_network_does_not_allow_is_refused_in_one_line(patients, tmp_path, changes, problem):
    with pytest.raises(InputError, match=problem) as caught:
        train(patients, tmp_path / "none", **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_the_optimizer_is_the_one_asked_for(name, kind):
    settings = settings_of(optimizer=name, learning_rate=0.2, weight_decay=0.3)
    optimizer = optimisation.Learner(nn.Conv2d(1, 1, 1), settings, device=CPU, precision="fp32").optimizer
    assert type(optimizer) is kind
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.2, 0.3)


def test_the_optimizer_steps_at_the_rate_that_the_history_tells_with_clipped_gradients(patients, tmp_path, monkeypatch):
    used, norms = [], []

    def watched(make, weights, *options):
        weights = list(weights)
        optimizer = make(weights, *options)

        def watch(optimizer, args, kwargs):
            used.append(optimizer.param_groups[0]["lr"])
            gradients = [parameter.grad.flatten() for parameter in weights]
            norms.append(float(torch.cat(gradients).norm()))

        optimizer.register_step_pre_hook(watch)
        return optimizer

    watch_choice(monkeypatch, "optimizer", watched)
    rows = train(patients, tmp_path / "none", gradient_clip=1e6)[2]
    assert used == [row["learning_rate"] for row in rows]
    assert used == [optimisation.learning_rate(step, settings_of()) for step in range(6)]
    free, limit = norms.copy(), min(norms) / 2
    norms.clear()
    train(patients, tmp_path / "none", gradient_clip=limit)
    assert norms == pytest.approx([limit] * 6, rel=1e-3)
    assert norms[0] < free[0] / 1.9


@pytest.mark.parametrize("options", [UNET, GHOSTUNET], ids=["unet", "ghostunet"])
def test_a_tiny_network_learns_a_tiny_patient(patients, tmp_path, options):
    rows = train(
        patients[:1],
        tmp_path / "none",
        validation=patients[:1],
        options=options,
        steps=80,
        batch_size=8,
        learning_rate=0.03,
        validate_every=20,
        augmentation=NO_AUGMENTATION,
    )[2]
    table = pd.DataFrame(rows)
    assert table.loss[-5:].mean() < 0.35 * table.loss[:5].mean()
    dice = table[["dice_liver", "dice_bladder"]].dropna()
    assert dice.iloc[-1].min() > 0.8
    assert (dice.iloc[-1] > dice.iloc[0]).all()


# History, validation, the weights that are kept


def test_the_history_has_a_row_a_step(patients, tmp_path):
    rows = train(patients, tmp_path / "none", validation=patients[2:], steps=5, validate_every=2)[2]
    assert all(list(row) == ["step", "learning_rate", "loss", "dice_liver", "dice_bladder", "seconds"] for row in rows)
    table = pd.DataFrame(rows)
    assert table.step.tolist() == [1, 2, 3, 4, 5]
    assert np.isfinite(table.loss).all()
    assert table.seconds.is_monotonic_increasing
    validated = table[["dice_liver", "dice_bladder"]].notna().all(axis=1)
    assert table.step[validated].tolist() == [2, 4, 5]  # and after the last step


def test_validation_does_not_change_the_weights(patients, tmp_path):
    with_it, without = (
        train(patients, tmp_path / "none", validation=cases, validate_every=1) for cases in (patients[:1], [])
    )
    assert same_weights(with_it[0].state_dict(), without[0].state_dict())
    losses_of = [[row["loss"] for row in result[2]] for result in (with_it, without)]
    assert losses_of[0] == losses_of[1]
    assert pd.DataFrame(without[2])[["dice_liver", "dice_bladder"]].isna().all(axis=None)


def test_validation_is_the_mean_over_the_cases_that_score_an_organ(patients):
    class Oracle:
        """Labels case by case: right, but for a bladder where there is none, and none where there is one."""

        def __init__(self, cases):
            self.answers = iter(np.where(case.label == 2, 0, case.label) for case in cases)

        def probabilities(self, image):
            answer = next(self.answers)
            yield from (np.eye(3)[part].transpose(3, 0, 1, 2) for part in (answer[:2], answer[2:]))

    a, b, _ = patients  # b has no bladder
    assert trainer.validate(Oracle([a, b]), [a, b], list(ORGANS)).dice == {"liver": 1.0, "bladder": 0.0}
    nothing = trainer.validate(Oracle([b]), [b], list(ORGANS)).dice
    assert nothing["liver"] == 1.0
    assert np.isnan(nothing["bladder"])


def dice_of(weights, folder, prediction):
    """The Dice of each organ that the test of a case would have, by its name in the history."""
    predicted, case, _ = predict_files([weights], folder, Prediction(**tuples(prediction)), CPU)
    assert np.array_equal(case.oriented.size, case.working.size)  # so that label.npy is the original reference
    rows = overlaps.overlap(np.asarray(case.label), predicted, organs=list(ORGANS), voxel_ml=case.working.voxel_ml)
    return {f"dice_{row.organ}": row.dice for row in rows.itertuples()}


@pytest.mark.parametrize(
    "prediction",
    [
        PREDICTION,
        PREDICTION | {"smallest_part": 0.3},
        PREDICTION | {"keep_largest": ["liver"]},
        PREDICTION | {"mirror": True},
        PREDICTION | {"overlap": 0.8},
        {"overlap": 0.8, "mirror": True, "smallest_part": 0.2, "keep_largest": ["bladder", "liver"]},
    ],
    ids=["plain", "parts", "largest", "mirror", "overlap", "all"],
)
def test_validation_scores_what_a_test_of_the_case_would(patients, tmp_path, prediction):
    flips = {"augmentation": tiny.AUGMENTATION | {"flip": ["x", "y", "z"]}}
    options = {"validation": patients[:1], "steps": 12, "learning_rate": 0.03} | flips
    network, recipe, rows, _ = train(patients[1:], tmp_path / "none", prediction=prediction, **options)
    weights = tmp_path / "unet" / "fold0-seed0" / "weights.pt"
    weights.parent.mkdir(parents=True)
    weights_file.save(weights, network, dataclasses.replace(recipe, run="unet/fold0-seed0"))
    folder = tmp_path / "a"
    cases.write(patients[0].image, patients[0].label, patients[0].info, folder)
    expected = dice_of(weights, folder, prediction)
    assert {key: rows[-1][key] for key in expected} == pytest.approx(expected, rel=1e-12)
    if prediction != PREDICTION:
        assert expected != dice_of(weights, folder, PREDICTION)  # so that the test could fail


def test_how_cases_are_predicted_does_not_touch_the_last_weights(patients, tmp_path):
    options = {"validation": patients[:1], "weights": "last", "steps": 40, "validate_every": 20}
    options["augmentation"] = tiny.AUGMENTATION | {"flip": ["y"]}
    plain = train(patients[1:], tmp_path / "none", **options)
    other = train(patients[1:], tmp_path / "none", prediction=PREDICTION | {"mirror": True}, **options)
    assert same_weights(plain[0].state_dict(), other[0].state_dict())
    assert history(plain[2]) != history(other[2])


NAN = float("nan")


@pytest.mark.parametrize(
    ("weights", "dice", "kept"),
    [
        ("best", [0.2, 0.7, 0.5], 4),
        ("last", [0.2, 0.7, 0.5], 6),
        ("best", [0.2, 0.3, 0.5], 6),
        ("best", [0.5, 0.5, 0.5], 2),  # the first of equals
        ("best", [NAN, 0.1, NAN], 4),
        ("best", [NAN, NAN, NAN], 6),
    ],
)
def test_the_weights_that_are_kept(patients, tmp_path, monkeypatch, weights, dice, kept):
    scores, after = iter(dice), {}

    def scripted(predictor, cases, organs, **options):
        after[2 * len(after) + 2] = weights_of(predictor.network)
        return trainer.Validation({"liver": next(scores), "bladder": NAN}, only_background=False)

    monkeypatch.setattr(trainer, "validate", scripted)
    network = train(patients, tmp_path / "none", validation=patients[:1], weights=weights)[0]
    assert [step for step, state in after.items() if same_weights(state, network.state_dict())] == [kept]


# Trainings that come to nothing


def watch_learning(monkeypatch, change):
    """Let something happen to the learner after each step, from its number on; it may give another loss."""
    learn, steps = optimisation.Learner.learn, itertools.count(1)

    def changed(learner, *args, **options):
        value = learn(learner, *args, **options)
        return change(next(steps), learner, value)

    monkeypatch.setattr(optimisation.Learner, "learn", changed)


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_loss_that_is_no_number_ends_training_at_once(patients, tmp_path, monkeypatch, loss, step):
    watch_learning(monkeypatch, lambda now, learner, value: torch.tensor(loss) if now == step else value)
    with pytest.raises(InputError) as caught:
        train(patients, tmp_path / "checkpoint.pt", validation=patients[:1], steps=6, validate_every=1)
    message = str(caught.value)
    assert f"loss of step {step} of 6 is {loss}" in message
    assert f"at a learning rate of {optimisation.learning_rate(step - 1, settings_of()):.2e}" in message
    assert "lower training.learning_rate" in message
    assert "training.precision" not in message  # it is fp32 already
    assert "\n" not in message
    assert not list(tmp_path.iterdir())


def test_a_learning_rate_that_is_far_too_high_ends_training_with_what_to_do(patients, tmp_path):
    with pytest.raises(
        InputError, match=r"is nan, at a learning rate of .*; lower training\.learning_rate, set training"
    ):
        train(patients, tmp_path / "none", optimizer="sgd", learning_rate=1e30, precision="bf16", steps=20)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["weight", "buffer"])
@pytest.mark.parametrize("changes", [{}, {"ema": 0.5}], ids=["plain", "ema"])
def test_weights_that_are_no_numbers_are_not_kept(patients, tmp_path, monkeypatch, bad, where, changes):
    """Although the last loss was one: what the last step made of them no loss has seen."""

    def spoil(step, learner, value):
        if step == 6:
            for network in (learner.network, learner.kept):
                parts = network.parameters() if where == "weight" else network.buffers()
                next(part for part in parts if part.is_floating_point()).data.view(-1)[0] = bad
        return value

    watch_learning(monkeypatch, spoil)
    with pytest.raises(InputError, match=r"weights after step 6 of 6 .*no numbers.*lower training\.learning_rate"):
        train(patients, tmp_path / "none", **changes)


def test_a_checkpoint_holds_numbers(patients, tmp_path, monkeypatch):
    """So that what an accident of the device has spoilt can be trained again from it."""
    whole = train(patients, tmp_path / "none")

    def spoil(step, learner, value):
        if step == 3:
            next(learner.network.parameters()).data[0] = float("nan")
        return value

    watch_learning(monkeypatch, spoil)
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(InputError, match="weights after step 3 of 6"):
        train(patients, checkpoint, every=0.0)
    assert torch.load(checkpoint, weights_only=True)["progress"]["step"] == 2
    resumed = train(patients, checkpoint)
    assert same_weights(whole[0].state_dict(), resumed[0].state_dict())


def test_a_diverged_training_that_is_told_to_end_says_so(patients, tmp_path, monkeypatch):
    def spoil(step, learner, value):
        if step < 4:
            return value
        os.kill(os.getpid(), signal.SIGTERM)
        return value * float("nan")

    watch_learning(monkeypatch, spoil)
    with pytest.raises(InputError, match="loss of step 4 of 6 is nan"):
        train(patients, tmp_path / "checkpoint.pt")
    assert not list(tmp_path.iterdir())


def test_losses_are_not_waited_for_at_every_step(patients, tmp_path, monkeypatch):
    """A look at a number that a GPU has not worked out yet holds everything up."""
    looks, float_of = [], torch.Tensor.__float__

    class Watched(torch.Tensor):
        def __float__(self):
            looks.append(len(taken))
            return float_of(self)

    taken = []

    def remember(step, learner, value):
        taken.append(step)
        return value.as_subclass(Watched)

    watch_learning(monkeypatch, remember)
    train(patients, tmp_path / "none", steps=6, validate_every=3)
    assert looks == [3] * 3 + [6] * 3


@pytest.mark.parametrize("weights", ["last", "best"])
def test_weights_that_predict_only_background_are_told_loudly(patients, tmp_path, caplog, weights):
    removed = PREDICTION | {"smallest_part": 1e6}  # nothing is as large
    options = {"validation": patients[:2], "weights": weights}
    cost = train(patients, tmp_path / "none", prediction=removed, **options)[3]
    assert cost["predicts_only_background"] is True
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith("warning: the weights predict nothing but background in all 2 validation cases")
    caplog.clear()
    cost = train(patients, tmp_path / "none", steps=60, learning_rate=0.03, validate_every=30, **options)[3]
    assert cost["predicts_only_background"] is False
    assert train(patients, tmp_path / "none")[3]["predicts_only_background"] is None  # there is no validation case
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(("weights", "expected"), [("last", True), ("best", False)])
def test_it_is_the_kept_weights_that_predict_something(patients, tmp_path, monkeypatch, weights, expected):
    found = iter([(0.0, True), (0.4, False), (0.0, True)])

    def scripted(*args, **options):
        dice, nothing = next(found)
        return trainer.Validation({"liver": dice, "bladder": NAN}, nothing)

    monkeypatch.setattr(trainer, "validate", scripted)
    cost = train(patients, tmp_path / "none", validation=patients[:1], weights=weights)[3]
    assert cost["predicts_only_background"] is expected


def test_nothing_to_find_is_no_failure(tmp_path):
    empty = make_case(tmp_path, labels=np.zeros((6, 24, 20), np.uint8))

    class Nothing:
        def probabilities(self, image):
            yield np.eye(3)[np.zeros(image.shape, int)].transpose(3, 0, 1, 2)

    assert trainer.validate(Nothing(), [empty], list(ORGANS)).only_background is False
    assert trainer.validate(Nothing(), [empty, make_case(tmp_path, "b")], list(ORGANS)).only_background is True


# Repetition and interruption


def test_a_training_that_is_cut_short_has_taken_the_same_steps(patients, tmp_path):
    whole = train(patients, tmp_path / "none", steps=14)
    part = train(patients, tmp_path / "none", steps=14, until=10)
    assert len(part[2]) == 10
    assert history(part[2]) == history(whole[2][:10])
    assert part[3]["fingerprint"] == whole[3]["fingerprint"] == {"step": 10, "sha256": building.fingerprint(part[0])}


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(patients, tmp_path):
    first, again, other = (train(patients, tmp_path / "none", seed=seed) for seed in (0, 0, 1))
    assert same_weights(first[0].state_dict(), again[0].state_dict())
    assert history(first[2]) == history(again[2])
    assert not same_weights(first[0].state_dict(), other[0].state_dict())


class InterruptionError(Exception):
    """The power fails."""


def interrupt(monkeypatch, after):
    """Let the reading of batches fail after some steps, in the next training only."""
    whole = sampling.batches

    def failing(*args, **options):
        monkeypatch.setattr(sampling, "batches", whole)
        yield from itertools.islice(whole(*args, **options), after)
        raise InterruptionError

    monkeypatch.setattr(sampling, "batches", failing)


@pytest.mark.parametrize("after", [1, 4, 6])
@pytest.mark.parametrize(
    "changes",
    [
        {"options": UNET, "optimizer": "adamw"},
        {"options": GHOSTUNET, "optimizer": "sgd", "weights": "best", "learning_rate": 0.001},
        {"options": UNET | {"dims": 3}, "patch": [4, 8, 8], "optimizer": "adam", "precision": "bf16"},
        {"options": GHOSTUNET | {"features": [4, 6, 8]}, "ema": 0.7, "deep_supervision": True, "weights": "best"},
    ],
    ids=["unet", "ghostunet", "3d", "ema"],
)
def test_an_interruption_changes_nothing(patients, tmp_path, monkeypatch, changes, after):
    options = {"validation": patients[:1], "steps": 7} | changes
    whole = train(patients, tmp_path / "none", **options)
    checkpoint = tmp_path / "runs" / "checkpoint.pt"
    interrupt(monkeypatch, after)
    with pytest.raises(InterruptionError):
        train(patients, checkpoint, every=0.0, **options)
    assert torch.load(checkpoint, weights_only=True)["progress"]["step"] == after
    resumed = train(patients, checkpoint, **options)
    assert same_weights(whole[0].state_dict(), resumed[0].state_dict())
    assert history(whole[2]) == history(resumed[2])
    assert whole[1] == resumed[1]


def told_to_end(monkeypatch, module, name, after):
    """Let SIGTERM come after some calls of a function of a module, in the next training only."""
    whole, calls = getattr(module, name), itertools.count(1)

    def counting(*args, **options):
        if next(calls) == after:
            monkeypatch.setattr(module, name, whole)
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(*args, **options)

    monkeypatch.setattr(module, name, counting)


@pytest.mark.parametrize(
    ("module", "name", "after", "step"),
    [
        (augmentation, "augment", 1, 1),
        (augmentation, "augment", 5, 5),
        (windows, "scaled", 1, 2),  # within the validation after step 2
        (windows, "scaled", 99, None),
        (overlaps, "overlap", 3, 6),  # at the end of a validation
    ],
)
def test_sigterm_leaves_a_checkpoint_and_changes_nothing(patients, tmp_path, monkeypatch, module, name, after, step):
    options = {"validation": patients[:1], "steps": 7, "weights": "best"}
    whole = train(patients, tmp_path / "none", **options)
    checkpoint = tmp_path / "checkpoint.pt"
    before = signal.getsignal(signal.SIGTERM)
    told_to_end(monkeypatch, module, name, after)
    if step is None:
        train(patients, checkpoint, **options)
        assert not checkpoint.exists()
        return
    with pytest.raises(StoppedError, match=f"after step {step} of 7"):
        train(patients, checkpoint, **options)
    assert signal.getsignal(signal.SIGTERM) == before
    assert torch.load(checkpoint, weights_only=True)["progress"]["step"] == step
    resumed = train(patients, checkpoint, **options)
    assert same_weights(whole[0].state_dict(), resumed[0].state_dict())
    assert history(whole[2]) == history(resumed[2])


def test_steps_after_the_checkpoint_are_repeated(patients, tmp_path, monkeypatch):
    whole = train(patients, tmp_path / "none")
    write, path = Checkpoint.write, tmp_path / "checkpoint.pt"

    def only_the_second(checkpoint, states, progress):
        if progress.step == 2:
            write(checkpoint, states, progress)

    monkeypatch.setattr(Checkpoint, "write", only_the_second)
    interrupt(monkeypatch, 5)
    with pytest.raises(InterruptionError):
        train(patients, path, every=0.0)
    resumed = train(patients, path)
    assert same_weights(whole[0].state_dict(), resumed[0].state_dict())
    assert history(whole[2]) == history(resumed[2])


def test_training_goes_on_where_it_stood(patients, tmp_path, monkeypatch, fed, caplog):
    checkpoint = tmp_path / "checkpoint.pt"
    train(patients, tmp_path / "none")
    inputs, targets = fed()
    interrupt(monkeypatch, 4)
    with pytest.raises(InterruptionError):
        train(patients, checkpoint, every=0.0)
    fed()
    with caplog.at_level(logging.INFO, "organbench"):
        rows = train(patients, checkpoint)[2]
    assert fed() == (inputs[4:], targets[4:])  # two steps, not six
    assert "resumed at step 4" in caplog.text
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)  # the time before the interruption counts


def test_a_checkpoint_is_written_now_and_then_only(patients, tmp_path):
    train(patients, tmp_path / "checkpoint.pt", every=300.0)
    assert not list(tmp_path.iterdir())


def cut(path):
    path.write_bytes(path.read_bytes()[:1000])


def zero(path):
    """Zeros where a disk lost a block, amid the weights; torch would load them."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle - 100 : middle + 100] = bytes(200)
    path.write_bytes(content)


def garble(path):
    path.write_bytes(b"garbage")


def other_content(path):
    torch.save([1, 2], path)


@pytest.mark.parametrize(
    ("damage", "stamp"),
    [(None, "another"), (cut, "stamp"), (zero, "stamp"), (garble, "stamp"), (other_content, "stamp")],
    ids=["foreign", "truncated", "zeroed", "garbage", "other"],
)
def test_a_checkpoint_that_does_not_fit_is_set_aside(patients, tmp_path, monkeypatch, caplog, damage, stamp):
    checkpoint = tmp_path / "checkpoint.pt"
    interrupt(monkeypatch, 3)
    with pytest.raises(InterruptionError):
        train(patients, checkpoint, every=0.0)
    if damage:
        damage(checkpoint)
    content = checkpoint.read_bytes()
    result = train(patients, checkpoint, stamp=stamp)
    fresh = train(patients, tmp_path / "none")
    assert same_weights(result[0].state_dict(), fresh[0].state_dict())
    assert history(result[2]) == history(fresh[2])
    assert not checkpoint.exists()
    assert (tmp_path / "checkpoint.pt.set-aside").read_bytes() == content
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert str(checkpoint) in warning.getMessage()
    assert "\n" not in warning.getMessage()


def test_what_was_set_aside_before_stays(patients, tmp_path, monkeypatch):
    checkpoint, contents = tmp_path / "checkpoint.pt", []
    for stamp in "abc":
        interrupt(monkeypatch, 1)
        with pytest.raises(InterruptionError):
            train(patients, checkpoint, stamp=stamp, every=0.0)
        contents.append(checkpoint.read_bytes())
    train(patients, checkpoint, stamp="d")
    aside = ["checkpoint.pt.set-aside", "checkpoint.pt.set-aside-2", "checkpoint.pt.set-aside-3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == aside
    assert [(tmp_path / name).read_bytes() for name in aside] == contents


def now_on(monkeypatch, **changes):
    """Let what a training is told of its device be other than it is."""
    describe = devices.describe

    def described(device):
        found = describe(device)
        versions = found["versions"] | changes.get("versions", {})
        return found | changes | {"versions": versions}

    monkeypatch.setattr(devices, "describe", described)


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"threads": 4}, {"threads": [1, 4]}),
        ({"device": "another", "device_type": "cuda"}, {"device": ..., "device_type": ["cpu", "cuda"]}),
        ({"versions": {"torch": "9.9"}}, {"torch": [torch.__version__, "9.9"]}),
    ],
    ids=["threads", "device", "versions"],
)
def test_training_goes_on_under_other_conditions_and_says_so(patients, tmp_path, monkeypatch, caplog, changes, changed):
    whole, checkpoint = train(patients, tmp_path / "none"), tmp_path / "checkpoint.pt"
    interrupt(monkeypatch, 3)
    with pytest.raises(InterruptionError):
        train(patients, checkpoint, every=0.0)
    now_on(monkeypatch, **changes)
    interrupt(monkeypatch, 2)
    with pytest.raises(InterruptionError):
        train(patients, checkpoint, every=0.0)
    caplog.clear()
    resumed = train(patients, checkpoint)  # under the same conditions as before
    assert same_weights(whole.network.state_dict(), resumed.network.state_dict())  # here nothing has really changed
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert (whole.cost["bit_exact"], whole.cost["resumed"]) == (True, [])
    assert resumed.cost["bit_exact"] is False
    (noted,) = resumed.cost["resumed"]
    assert noted["step"] == 3
    assert noted["changed"].keys() == changed.keys()
    assert all(wanted in (..., noted["changed"][name]) for name, wanted in changed.items())
    assert not list(tmp_path.iterdir()) or [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_the_warning_names_what_is_different_in_one_line(patients, tmp_path, monkeypatch, caplog):
    checkpoint = tmp_path / "checkpoint.pt"
    interrupt(monkeypatch, 3)
    with pytest.raises(InterruptionError):
        train(patients, checkpoint, every=0.0)
    monkeypatch.setattr(platform, "node", lambda: "another")
    train(patients, checkpoint)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]  # a host of the same kind
    now_on(monkeypatch, threads=4)
    train(patients, checkpoint)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "under other conditions (threads: 1, now 4); training goes on from step 3" in warning
    assert "no longer to the last bit" in warning
    assert "\n" not in warning


def test_a_checkpoint_that_cannot_be_read_now_stays(tmp_path, monkeypatch):
    """As when a network drive fails: the next attempt goes on from it."""

    def fail(path):
        raise OSError(errno.ESTALE, "Stale file handle", str(path))

    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(b"good")
    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="Stale"):
        Checkpoint(checkpoint, "stamp", {}).resume({})
    with pytest.raises(OSError, match="Stale"):
        weights_file.load(checkpoint, torch.device("cpu"))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


# Cost and precision


class OneConvolution(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.conv = (nn.Conv2d if dims == 2 else nn.Conv3d)(2, 5, 3, padding=1)

    def forward(self, image):
        return self.conv(image)


@pytest.mark.parametrize(("patch", "kernel"), [((8, 12), 9), ((4, 8, 12), 27)])
def test_cost_is_what_one_counts_by_hand(patch, kernel):
    network = OneConvolution(len(patch)).train()
    cost = vars(building.count(network, 2, patch))
    assert cost == {"parameters": 2 * 5 * kernel + 5, "multiply_adds_per_voxel": 2 * 5 * kernel}
    assert network.training


def test_counting_leaves_the_network_as_it_was():
    network = networks.build(UNET, in_channels=1, classes=3)
    before = weights_of(network)
    building.count(network, 1, (16, 16))
    assert same_weights(before, network.state_dict())  # batch norm's means too


def test_cost_says_what_was_spent_where(patients, tmp_path):
    network, _, rows, cost = train(patients, tmp_path / "none")
    assert cost["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert cost["training_seconds"] >= rows[-1]["seconds"]
    assert cost["samples_per_second"] == pytest.approx(6 * 3 / cost["training_seconds"], rel=0.1)  # both are rounded
    assert (cost["precision"], cost["device_type"], cost["threads"]) == ("fp32", "cpu", 1)
    assert cost["peak_host_mib"] > 50
    assert cost["peak_gpu_mib"] is cost["gpu_energy_j"] is None
    assert cost["cpu_energy_j"] is None or cost["cpu_energy_j"] > 0
    assert cost["fingerprint"] == {"step": 6, "sha256": building.fingerprint(network)}
    assert cost["versions"]["torch"] == torch.__version__
    assert cost["device"]
    json.dumps(cost, allow_nan=False)


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_only_where_the_device_has_it(monkeypatch, native, expected):
    monkeypatch.setattr(devices, "native_bf16", lambda device: native)
    assert devices.precision("auto", CPU) == expected
    assert devices.precision("fp32", CPU) == "fp32"
    assert devices.precision("bf16", CPU) == "bf16"


@pytest.mark.parametrize(
    ("avx512", "amx", "expected"), [(False, False, False), (True, False, True), (False, True, True)]
)
def test_a_cpu_tells_whether_it_has_bf16(monkeypatch, avx512, amx, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert devices.native_bf16(CPU) is expected


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_has_bf16_from_ampere_on(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert devices.native_bf16(torch.device("cuda")) is expected


def test_fp16_is_refused_on_a_cpu(patients, tmp_path):
    with pytest.raises(InputError, match=r"^config, training\.precision: fp16 needs a GPU"):
        train(patients, tmp_path / "none", precision="fp16")
    assert devices.precision("fp16", torch.device("cuda")) == "fp16"


@pytest.mark.parametrize(
    ("there", "granted", "expected"), [(True, 1, "cuda"), (True, 0, "cpu"), (False, 1, "cpu"), (False, 0, "cpu")]
)
def test_a_gpu_is_used_where_it_is_granted_and_there(monkeypatch, there, granted, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert devices.prepare(threads=1, gpus=granted).type == expected


def test_precision_decides_what_the_network_computes_in(patients, tmp_path, monkeypatch):
    kinds = []
    watch_choice(monkeypatch, "loss", lambda loss, logits, *labels: kinds.append(logits.dtype) or loss(logits, *labels))
    for precision in ("fp32", "bf16"):
        train(patients, tmp_path / "none", steps=1, precision=precision)
    assert kinds == [torch.float32, torch.bfloat16]


# The scripts


def run_script(name, folder, *, inputs, outputs, params, **others):
    """Run a rule's script as Snakemake would."""
    job = SimpleNamespace(
        input=SimpleNamespace(**inputs),
        output=outputs,
        params=SimpleNamespace(**params),
        log=[str(folder / f"{name}.log")],
        threads=1,
        resources=SimpleNamespace(gpu=0),
        scriptdir=str(SCRIPTS),
        **others,
    )
    runpy.run_path(str(SCRIPTS / f"{name}.py"), init_globals={"snakemake": job})


class Outputs(list):
    """Output files by position and by name."""

    def __init__(self, **files):
        super().__init__(map(str, files.values()))
        vars(self).update({name: str(file) for name, file in files.items()})


def run_training(folder, cases, replace=None, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    job = {
        "settings": {"network": UNET, "training": training_settings(**changes)},
        "window": list(WINDOW),
        "organs": list(ORGANS),
        "prediction": PREDICTION,
        "skip_bad": False,
        "code": {"learning/trainer.py": "code"},
        "seed": 0,
        "training": [str(case) for case in cases],
        "validation": [],
        "folder": str(folder),
        "candidate": False,
        "replace": replace,
    }
    run_script("train", folder, inputs={}, outputs=Outputs(), params={"job": job})
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a case, and a run of the training script on it."""
    folder = tmp_path_factory.mktemp("study")
    make_case(folder, "a")
    return folder, run_training(folder / "run", [folder / "a"])


def test_the_training_script_writes_what_the_rule_promises(trained):
    _, run = trained
    assert {path.name for path in run.iterdir()} == {"weights.pt", "history.csv", "cost.json", "train.log"}
    assert len(pd.read_csv(run / "history.csv")) == 6
    assert json.loads((run / "cost.json").read_text())["parameters"] > 0
    content = torch.load(run / "weights.pt", weights_only=True)
    assert content["recipe"]["organs"] == list(ORGANS)
    liver, bladder = 4 * 11 * 9 * 0.045, 2 * 3 * 3 * 0.045  # ml, see tiny.label_map
    assert content["recipe"]["organ_ml"] == pytest.approx([liver, bladder])


def test_an_organs_usual_volume_is_the_median_of_those_who_have_it(tmp_path):
    patients = [make_case(tmp_path, name, label_map(bladder=name == "b")) for name in "abc"]
    assert trainer.organ_ml(patients, list(ORGANS))[1] == pytest.approx(2 * 3 * 3 * 0.045)
    assert trainer.organ_ml(patients[:1], list(ORGANS))[1] == 0.0


def test_training_twice_gives_the_same_file(trained):
    folder, run = trained
    again = run_training(folder / "again" / folder.name / run.name, [folder / "a"])  # weights know their run
    assert (again / "weights.pt").read_bytes() == (run / "weights.pt").read_bytes()


def test_an_interrupted_job_gives_the_same_file(trained, monkeypatch):
    folder, run = trained
    monkeypatch.setenv("ORGANBENCH_CHECKPOINT_SECONDS", "0")
    interrupt(monkeypatch, 3)
    place = folder / "resumed" / folder.name / run.name
    with pytest.raises(SystemExit):
        run_training(place, [folder / "a"])
    assert "InterruptionError" in (place / "train.log").read_text()
    assert {path.name for path in place.iterdir()} == {"checkpoint.pt", "train.log"}
    resumed = run_training(place, [folder / "a"])
    assert "resumed at step 3" in (resumed / "train.log").read_text()
    assert (resumed / "weights.pt").read_bytes() == (run / "weights.pt").read_bytes()


def test_the_prediction_script_writes_a_label_map(trained, monkeypatch):
    folder, run = trained
    monkeypatch.chdir(folder)  # where the protocol is written
    target = run.parent / "a.nii.gz"
    run_script(
        "predict",
        folder,
        inputs={"weights": [str(run / "weights.pt")], "image": str(folder / "a" / "image.npy")},
        outputs=Outputs(labels=target, cost=run.parent / "a.json"),
        params={
            "settings": {"overlap": 0.5, "mirror": True, "smallest_part": 0.5, "keep_largest": ["bladder"]},
            "results": "results/tiny",
            "evaluation": {"decides": "dice", "margin": {"dice": 0.01}, "tolerance_mm": 2.0},
            "organs": list(ORGANS),
            "networks": [None],
        },
    )
    prediction, reference = (sitk.ReadImage(str(path)) for path in (target, folder / "labels-a.nii.gz"))
    assert prediction.GetSize() == reference.GetSize()
    assert set(np.unique(sitk.GetArrayFromImage(prediction))) <= {0, 1, 5}
    cost = json.loads((run.parent / "a.json").read_text())
    training_cost = json.loads((run / "cost.json").read_text())
    assert cost["parameters"] == training_cost["parameters"]
    seen = 6 * 24 * 20 * 2.5 * 2  # about: windows of 16 x 16 cover the slices twice and more, flipped along x as well
    assert cost["multiply_adds"] == pytest.approx(training_cost["multiply_adds_per_voxel"] * seen, rel=0.5)
    assert cost["voxels"] == 6 * 24 * 20
    assert cost["prediction_seconds"] > 0
    assert cost["peak_host_mib"] > 50
    assert (folder / "results/tiny/protocol.json").exists()


def test_a_training_that_has_ended_is_not_done_again(trained):
    folder, run = trained
    before = {path.name: path.stat().st_mtime_ns for path in run.iterdir() if path.suffix != ".log"}
    run_training(run, [folder / "a"])
    assert "trained before, as the study asks" in (run / "train.log").read_text()
    assert {path.name: path.stat().st_mtime_ns for path in run.iterdir() if path.suffix != ".log"} == before


def test_another_training_is_done_only_when_it_may_be_and_sets_aside_what_was_there(trained, tmp_path, capsys):
    folder, run = trained
    place = shutil.copytree(run, tmp_path / "unet" / "fold0-seed0")
    weights = (place / "weights.pt").read_bytes()
    for replace in (None, False):
        with pytest.raises(SystemExit):
            run_training(place, [folder / "a"], replace, steps=4)
        assert "holds a finished training that is not what the study asks for; --config" in capsys.readouterr().err
        assert (place / "weights.pt").read_bytes() == weights
    run_training(place, [folder / "a"], True, steps=4)
    assert len(pd.read_csv(place / "history.csv")) == 4
    (aside,) = (place / "set-aside").iterdir()
    assert (aside / "weights.pt").read_bytes() == weights
    assert {path.name for path in aside.iterdir()} == {"weights.pt", "history.csv", "cost.json"}
    run_training(place, [folder / "a"], True)  # and back
    assert (place / "weights.pt").read_bytes() != weights, "weights know the folder that they were made for"
    assert len(list((place / "set-aside").iterdir())) == 2


def test_damaged_weights_are_trained_again_and_set_aside(trained, tmp_path):
    folder, run = trained
    place = shutil.copytree(run, tmp_path / folder.name / run.name)
    weights = (run / "weights.pt").read_bytes()
    (place / "weights.pt").write_bytes(weights[:-100])
    run_training(place, [folder / "a"])
    assert (place / "weights.pt").read_bytes() == weights
    assert len(list((place / "set-aside").glob("*/weights.pt"))) == 1


def test_weights_know_their_training_by_what_shaped_them_and_not_by_a_folders_name(trained, tmp_path):
    folder, run = trained
    renamed = shutil.copytree(run, tmp_path / "another_name" / "fold0-seed0")
    predict_files([renamed / "weights.pt"], folder / "a", Prediction(**tuples(PREDICTION)), CPU)
    (renamed / "cost.json").unlink()  # then the folder's name has to do
    with pytest.raises(InputError, match=f"holds the weights of {folder.name}/run; put them back, or delete"):
        predict_files([renamed / "weights.pt"], folder / "a", Prediction(**tuples(PREDICTION)), CPU)


def test_weights_in_another_runs_folder_are_refused(trained):
    folder, run = trained
    moved = folder / "other" / "fold0-seed0" / "weights.pt"
    moved.parent.mkdir(parents=True)
    run_training(moved.parent, [folder / "a"], steps=2)
    shutil.copy(run / "weights.pt", moved)
    with pytest.raises(InputError, match=f"{moved}: holds the weights of {folder.name}/run; put them back, or delete"):
        predict_files([moved], folder / "a", Prediction(**tuples(PREDICTION)), CPU)


def test_a_script_tells_the_user_in_one_line_what_is_wrong(trained, capsys):
    folder, _ = trained
    with pytest.raises(SystemExit) as caught:
        run_training(folder / "refused", [folder / "a"], precision="fp16")
    assert caught.value.code == 1
    assert capsys.readouterr().err.strip() == (
        "error: config, training.precision: fp16 needs a GPU, and the job runs on a CPU; use auto"
    )
