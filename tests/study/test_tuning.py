"""Tuning: the same candidates for every network, a choice by validation cases only, and nothing trained twice."""

import copy
import json
import logging

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from described import section, written
from matplotlib.backends.backend_agg import FigureCanvasAgg
from tiny import ORGANS, PREDICTION, UNET, WINDOW, make_case, training_settings

from organbench.analysis import choosing, costs
from organbench.core.errors import DivergedError, InputError
from organbench.hardware import devices
from organbench.learning import trainer
from organbench.learning.run import Job, folder_of, run, settings_with, write_failure
from organbench.reporting.figures import style
from organbench.reporting.figures.tuning import tuning as draw
from organbench.study import configuration, tuning
from organbench.study.kinds import network

NAN = float("nan")
CPU = torch.device("cpu")
LOGGER = logging.getLogger("organbench")
RATES = {"learning_rate": [0.001, 0.01, 0.1]}


@pytest.fixture
def resolve(defaults, schema):
    return lambda tune, **given: configuration.resolve({"training": {"tune": tune}, **given}, defaults, schema)


# --- candidates


def test_candidates_are_all_combinations_and_named_by_what_they_try():
    found = tuning.candidates({"loss": ["dice", "ce"], "learning_rate": [0.0003, 1e-05]})
    assert found == {
        "loss-dice-learning_rate-0.0003": {"loss": "dice", "learning_rate": 0.0003},
        "loss-dice-learning_rate-1e-05": {"loss": "dice", "learning_rate": 1e-05},
        "loss-ce-learning_rate-0.0003": {"loss": "ce", "learning_rate": 0.0003},
        "loss-ce-learning_rate-1e-05": {"loss": "ce", "learning_rate": 1e-05},
    }
    assert tuning.candidates(None) == {}


def test_another_candidate_renames_no_other():
    few, more = (tuning.candidates({"learning_rate": rates}) for rates in ([0.01, 0.1], [0.001, 0.1, 0.01]))
    assert few.items() <= more.items()


def test_values_are_read_as_those_of_the_key(resolve):
    config = resolve({"learning_rate": ["1e-3", "0.01"], "warmup": [0, 20.0], "loss": ["ce", "dice"]})
    assert config["training"]["tune"] == {"learning_rate": [0.001, 0.01], "warmup": [0, 20], "loss": ["ce", "dice"]}
    assert resolve("{learning_rate: [1e-3, 1e-2]}")["training"]["tune"] == {"learning_rate": [0.001, 0.01]}


def test_what_is_tuned_is_given_whole(resolve, defaults, schema):
    before = copy.deepcopy(defaults)
    before["training"]["tune"] = {"loss": ["ce", "dice"]}
    given = {"training": {"tune": {"learning_rate": [0.1, 0.2]}}}
    assert configuration.resolve(given, before, schema)["training"]["tune"] == {"learning_rate": [0.1, 0.2]}


def test_every_key_that_can_be_tuned_is_a_setting_of_training(schema):
    training = schema["properties"]["training"]["properties"]
    known = training["tune"]["anyOf"][0]["properties"]
    assert len(known) == 9
    for key, values in known.items():
        assert values["items"] == training[key]


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({"learning_rat": [1, 2]}, "training.tune: unknown key 'learning_rat'; did you mean learning_rate?"),
        ({"augmentation.rotation": [1, 2]}, "training.tune: unknown key .*; what can be tuned: learning_rate, "),
        ({"seeds": [1, 2]}, "training.tune: unknown key 'seeds'"),
        ({"steps": [10, 20]}, "training.tune: steps cannot be tuned, .*how long it trains.* another entry of models"),
        ({"norm": ["batch", "group"]}, "training.tune: norm cannot be tuned, as it changes the network"),
        ({}, "training.tune: {} should be non-empty"),
        (5, "training.tune: 5 is not valid"),
        ({"learning_rate": 0.1}, "training.tune.learning_rate: 0.1 is not of type 'array'"),
        ({"learning_rate": [0.1]}, "training.tune.learning_rate: .* too short"),
        ({"learning_rate": [0.1, "1e-1"]}, "training.tune.learning_rate: .* non-unique"),
        ({"learning_rate": [0.1, 0]}, "training.tune.learning_rate.1: 0 is less than or equal to the minimum"),
        ({"loss": ["dice", "cee"]}, "training.tune.loss.1: 'cee' is not one of"),
        ({"warmup": list(range(41))}, "training.tune: has 41 combinations, .*at most 40"),
        ({"warmup": list(range(9)), "ema": [0, 0.1, 0.2, 0.3, 0.4]}, "training.tune: has 45 combinations"),
    ],
)
def test_what_cannot_be_tuned_is_refused(resolve, tune, message):
    with pytest.raises(InputError, match=message) as refused:
        resolve(tune)
    assert "\n" not in str(refused.value)


def test_a_network_with_a_value_of_its_own_is_refused(resolve):
    models = {"a": {"network": "unet"}, "b": {"network": "unet", "learning_rate": 0.1}}
    with pytest.raises(InputError, match=r"models.b: learning_rate is tuned, for every network from the same values"):
        resolve(RATES, models=models)
    assert resolve({"loss": ["ce", "dice"]}, models=models)
    with pytest.raises(InputError, match=r"models.a: unknown key tune"):
        resolve(None, models={"a": {"network": "unet", "tune": RATES}})


def test_a_fold_without_validation_cases_is_refused(resolve):
    folds = [
        {"train": ["1"], "validation": ["2"], "test": ["3"]},
        {"train": ["1", "2"], "validation": [], "test": ["3"]},
    ]
    with pytest.raises(InputError, match=r"fold 1 has no validation cases.* raise split.validation_fraction"):
        tuning.check_folds(resolve(RATES), folds)
    with pytest.raises(InputError, match=r"fold 1 has no .* the role validation in split.file"):
        tuning.check_folds(resolve(RATES, split={"method": "file", "file": "a.csv"}), folds)
    tuning.check_folds(resolve(RATES), folds[:1])
    tuning.check_folds(resolve(None), folds)


def test_what_is_tuned_changes_no_settings_of_a_network(resolve):
    assert network.settings("unet", resolve(RATES)) == network.settings("unet", resolve(None))


# --- the choice


def write_candidate(folder, name, dice, *, loss=0.5, seconds=10.0, **cost):
    """What a candidate leaves: validations of two organs at steps 2 and 4; the loss is that of the last step."""
    rows = [{"step": step, "learning_rate": 0.1, "loss": 0.7} for step in range(1, 5)]
    rows[-1]["loss"] = loss
    for row, (liver, bladder) in zip((rows[1], rows[3]), dice, strict=True):
        row |= {"dice_liver": liver, "dice_bladder": bladder}
    (folder / name).mkdir()
    pd.DataFrame(rows, columns=["step", "learning_rate", "loss", "dice_liver", "dice_bladder"]).to_csv(
        folder / name / "history.csv", index=False
    )
    (folder / name / "cost.json").write_text(json.dumps({"training_seconds": seconds} | cost))


@pytest.fixture
def assessed(tmp_path):
    """Write candidates of learning rates 0, 1, 2, ..., and give what `assess` makes of them."""

    def made(*dice, weights="last", losses=None):
        candidates = {f"learning_rate-{number}": {"learning_rate": number} for number in range(len(dice))}
        for number, (name, values) in enumerate(zip(candidates, dice, strict=True)):
            write_candidate(tmp_path, name, values, loss=losses[number] if losses else 0.5)
        return choosing.assess(tmp_path, candidates, weights)

    return made


def test_the_score_is_that_of_the_weights_that_are_kept(assessed, tmp_path):
    dice = [[(0.9, 0.7), (0.5, 0.3)], [(0.1, 0.1), (0.6, 0.4)]]
    last = assessed(*dice)
    assert last["dice"].tolist() == pytest.approx([0.4, 0.5])
    assert last["step"].tolist() == [4, 4]
    assert choosing.choose(last, "unet in fold 0") == 1
    candidates = {f"learning_rate-{number}": {"learning_rate": number} for number in range(2)}
    best = choosing.assess(tmp_path, candidates, "best")
    assert best["dice"].tolist() == pytest.approx([0.8, 0.5])
    assert best["step"].tolist() == [2, 4]
    assert choosing.choose(best, "unet in fold 0") == 0
    assert list(best) == ["candidate", "learning_rate", "dice", "step", "failed", "training_seconds"]
    assert best["candidate"].tolist() == [1, 2]


def test_of_equal_candidates_the_first_is_chosen(assessed):
    assert choosing.choose(assessed(*[[(0.1, 0.1), (value, value)] for value in (0.2, 0.5, 0.5)]), "x") == 1


def test_an_organ_that_no_case_scores_does_not_count(assessed):
    table = assessed([(0.1, NAN), (0.6, NAN)], [(0.1, NAN), (0.5, NAN)])
    assert table["dice"].tolist() == pytest.approx([0.6, 0.5])


@pytest.mark.parametrize("loss", [NAN, float("inf")])
def test_a_training_that_diverged_is_never_chosen(assessed, loss):
    table = assessed([(0.9, 0.9), (0.9, 0.9)], [(0.0, 0.0), (0.0, 0.0)], losses=[loss, 0.5])
    assert table["failed"].tolist() == [True, False]
    assert np.isnan(table["dice"][0])
    assert choosing.choose(table, "x") == 1


def test_where_nothing_can_be_chosen_that_is_said(assessed):
    table = assessed([(0.9, 0.9)] * 2, [(0.9, 0.9)] * 2, losses=[NAN, NAN])
    with pytest.raises(InputError, match=r"training.tune: all candidates of unet in fold 3 diverged; give lower"):
        choosing.choose(table, "unet in fold 3")
    with pytest.raises(InputError, match="no validation case of unet in fold 3 has a Dice of any organ"):
        choosing.choose(table.assign(failed=[True, False]), "unet in fold 3")


def test_curves_are_the_validations_of_all_candidates(job, tmp_path):
    write_candidate(tmp_path, "a", [(0.9, NAN), (0.5, 0.3)])
    write_failure(Job.of(job("b")), DivergedError("loss is nan"), 1.0)
    found = choosing.curves(tmp_path, {"a": {}, "b": {}})
    assert list(found) == ["candidate", "step", "loss", "dice", "dice_liver", "dice_bladder"]
    assert found[["candidate", "step", "loss"]].values.tolist() == [[1, 2, 0.7], [1, 4, 0.5]]
    assert found["dice"].tolist() == pytest.approx([0.9, 0.4])


# --- trainings of candidates


@pytest.fixture
def job(tmp_path):
    """What `run` is given for a tiny case, in a folder of its own."""
    for number, name in enumerate(("seen", "held_out")):
        make_case(tmp_path, name, seed=number)

    def made(folder, rate=0.01, seed=0, code="code", **others):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        return {
            "training": [str(tmp_path / "seen")],
            "validation": [str(tmp_path / "held_out")],
            "skip_bad": False,
            "settings": {"network": UNET, "training": training_settings(learning_rate=rate)},
            "prediction": PREDICTION,
            "window": list(WINDOW),
            "organs": list(ORGANS),
            "seed": seed,
            "threads": 1,
            "gpus": 0,
            "identity": {"sha256": f"{rate} {seed} {code}"},
            "folder": str(tmp_path / folder),
            "log": str(tmp_path / folder / "log"),
            **others,
        }

    yield made
    torch.use_deterministic_algorithms(False)


def test_a_candidates_training_is_the_final_one(job, tmp_path):
    run(job("tuning/fold0-seed0/b", candidate=True))
    run(job("unet/fold0-seed0", trained=str(tmp_path / "tuning/fold0-seed0/b")))
    run(job("again/fold0-seed0"))
    assert "trained before" in (tmp_path / "unet/fold0-seed0/log").read_text()
    assert "trained before" not in (tmp_path / "again/fold0-seed0/log").read_text()
    taken, anew = (
        torch.load(tmp_path / run / "fold0-seed0/weights.pt", weights_only=True) for run in ("unet", "again")
    )
    assert taken["recipe"].pop("run") == "unet/fold0-seed0"
    del anew["recipe"]["run"]
    assert taken["recipe"] == anew["recipe"]
    assert taken["state_dict"].keys() == anew["state_dict"].keys()
    assert all(torch.equal(value, anew["state_dict"][key]) for key, value in taken["state_dict"].items())
    for file in ("history.csv", "cost.json"):  # to the byte, and with the time that the training took
        assert (tmp_path / "unet/fold0-seed0" / file).read_bytes() == (
            tmp_path / "tuning/fold0-seed0/b" / file
        ).read_bytes()


def test_a_candidates_training_on_another_device_is_the_final_one_too(job, tmp_path, monkeypatch):
    run(job("tuning/fold0-seed0/b", candidate=True))
    describe = devices.describe
    monkeypatch.setattr(devices, "describe", lambda device: describe(device) | {"device": "another", "threads": 4})
    run(job("unet/fold0-seed0", trained=str(tmp_path / "tuning/fold0-seed0/b")))
    assert "trained before" in (tmp_path / "unet/fold0-seed0/log").read_text()


@pytest.mark.parametrize("change", ["settings", "seed", "code", "no weights", "damaged weights", "another's weights"])
def test_another_training_is_not_taken_for_it(job, tmp_path, change):
    candidate = job("tuning/fold0-seed0/b", candidate=True)
    run(candidate)
    folder = tmp_path / "tuning/fold0-seed0/b"
    others = {"settings": {"rate": 0.02}, "seed": {"seed": 1}, "code": {"code": "other"}}.get(change, {})
    if change == "no weights":
        (folder / "weights.pt").unlink()
    elif change == "damaged weights":
        (folder / "weights.pt").write_bytes((folder / "weights.pt").read_bytes()[:-100])
    elif change == "another's weights":
        run(job("tuning/fold0-seed0/c", seed=1, candidate=True))
        (tmp_path / "tuning/fold0-seed0/c/weights.pt").replace(folder / "weights.pt")
    run(job("unet/fold0-seed0", trained=str(folder), **others))
    assert "step 6/6" in (tmp_path / "unet/fold0-seed0/log").read_text()


def test_the_choice_is_part_of_the_settings(tmp_path):
    choice = tmp_path / "chosen.json"
    choice.write_text(json.dumps({"candidate": "learning_rate-0.1", "settings": {"learning_rate": 0.1}}))
    settings = {"network": UNET, "training": training_settings()}
    before = copy.deepcopy(settings)
    found = settings_with(settings, choice)
    assert found == {"network": UNET, "training": training_settings(learning_rate=0.1)}
    assert folder_of(choice) == str(tmp_path / "learning_rate-0.1")
    assert settings == before == settings_with(settings, [])
    assert folder_of([]) is None


def test_a_candidate_that_diverges_is_told_and_ends_nothing(job, tmp_path, monkeypatch):
    def diverge(*_, **__):
        raise DivergedError("the loss is nan after step 3; lower training.learning_rate")

    monkeypatch.setattr(trainer.Trainer, "train", diverge)
    folder = tmp_path / "tuning/fold0-seed0/b"
    candidate = job("tuning/fold0-seed0/b", candidate=True)
    (folder / "weights.pt").write_text("of an earlier training")
    run(candidate)
    assert not (folder / "weights.pt").exists()
    assert json.loads((folder / "cost.json").read_text())["failed"].startswith("the loss is nan after step 3")
    assert "this candidate fails: the loss is nan" in (folder / "log").read_text()
    table = choosing.assess(folder.parent, {"b": {"learning_rate": 0.1}}, "last")
    assert table["failed"].tolist() == [True]
    assert table["training_seconds"][0] >= 0
    with pytest.raises(SystemExit):  # a final training is another matter
        run(job("unet/fold0-seed0"))


# --- what is told of it


def table_of(models, folds, tune, *, failed=()):
    """tables/tuning.csv and tuning_curves.csv of a study; the first candidate that did not fail is chosen."""
    candidates, rng = list(tuning.candidates(tune).values()), np.random.default_rng(0)
    rows, curves = [], []
    for model in models:
        for fold in range(folds):
            good = [number for number in range(len(candidates)) if number not in failed]
            for number, candidate in enumerate(candidates):
                dice = NAN if number in failed else rng.beta(20, 3)
                row = {"model": model, "fold": fold, "candidate": number + 1, **candidate, "dice": dice}
                chosen = number == good[fold % len(good)]
                rows.append(row | {"step": 400, "chosen": chosen, "failed": number in failed, "training_seconds": 5.0})
                steps = [] if number in failed else [100, 200, 300, 400]
                curves += [{**row, "step": step, "dice": dice * step / 400} for step in steps]
    return pd.DataFrame(rows), pd.DataFrame(curves)[["model", "fold", "candidate", "step", "dice"]]


def test_methods_say_what_was_tuned_and_what_each_network_got(resolve):
    config = resolve(RATES)
    folds = [{"train": ["1"], "validation": ["2", "3"], "test": ["4"]}] * 2
    table, _ = table_of(["unet", "ghostunet"], 2, RATES, failed=[2])
    text = written(config, folds, tuned=table)
    assert "we chose learning rate by the Dice on the fold's 2 validation cases" in text
    assert "among the same 3 candidates (learning rate 0.001, 0.01 or 0.1), each trained in full with seed 0" in text
    assert "unet got learning rate 0.001 (fold 0); learning rate 0.01 (fold 1)." in text
    assert "ghostunet got learning rate 0.001 (fold 0)" in text
    assert "4 of the 12 candidates' trainings diverged" in text
    one_fold = written(config, folds[:1], tuned=table[table["fold"] == 0])
    assert "unet got learning rate 0.001." in one_fold


def test_methods_say_where_nothing_was_tuned(resolve):
    folds = [{"train": ["1"], "validation": [], "test": ["4"]}]
    text = section("Training", written(resolve(None), folds))
    assert text.endswith(
        " Nothing was tuned by the workflow: networks shared these settings, which may suit one better than another."
    )
    alone = resolve(None, models={"a": {"network": "unet"}})
    assert section("Training", written(alone, folds)).endswith(" Nothing was tuned by the workflow.")


def test_costs_of_tuning_stand_beside_those_of_training():
    training_rows = pd.DataFrame(
        [{"model": model, "seed": "0", "training_seconds": 10.0, "multiply_adds_per_voxel": 1.0} for model in "ab"]
    ).assign(peak_host_mib=1.0, device="CPU")
    predictions = pd.DataFrame(
        [{"model": model, "parameters": 1, "prediction_seconds": 1.0} for model in ("a", "b", "both")]
    ).assign(peak_host_mib=1.0, device="CPU")
    summary = pd.DataFrame({"metric": "dice", "model": ["a", "b", "both"], "organ": "all"}).assign(
        mean=0.9, ci_low=0.8, ci_high=1.0
    )
    tunings = pd.DataFrame({"model": ["a", "a", "b", "b"], "training_seconds": [10.0, 3.0, 20.0, 4.0]})
    ensembles = {"both": ["a", "b"]}
    found = costs.table(training_rows, predictions, summary, ensembles, tunings).set_index("model")
    assert found["tuning_runs"].to_dict() == {"a": 2, "b": 2, "both": 4}
    assert found["tuning_seconds_total"].to_dict() == {"a": 13.0, "b": 24.0, "both": 37.0}
    assert found["training_seconds_total"].to_dict() == {"a": 10.0, "b": 10.0, "both": 20.0}
    assert not [column for column in costs.table(training_rows, predictions, summary, ensembles) if "tuning" in column]


@pytest.mark.parametrize(
    ("models", "folds", "tune", "failed"),
    [
        (["unet"], 1, {"loss": ["ce", "dice"]}, []),
        (["unet", "ghostunet"], 5, RATES, [2]),
        ([f"a_network_with_a_long_name_{n}" for n in range(7)], 5, RATES | {"weight_decay": [0, 0.01, 0.1]}, [0, 8]),
        (
            ["unet", "ghostunet"],
            2,
            {key: [0.0003, 0.1] for key in ("learning_rate", "ema", "foreground", "warmup")},
            [],
        ),
        (["unet", "ghostunet"], 1, {"warmup": list(range(40))}, []),
        (["unet", "ghostunet"], 1, RATES, [0, 2]),
    ],
    ids=["least", "usual", "many networks", "four settings", "most candidates", "all but one failed"],
)
def test_the_figure_is_whole_and_legible(models, folds, tune, failed):
    table, curves = table_of(models, folds, tune, failed=failed)
    figure = draw(table, curves, list(tune))
    with mpl.rc_context(style.STYLE):
        FigureCanvasAgg(figure).draw()
        width, height = figure.get_size_inches() * 25.4
        left, bottom, right, top = figure.get_tightbbox().extents * 25.4  # mm
    assert width == pytest.approx(183)
    assert height < 247
    assert min(left, bottom) > -0.5
    assert right < width + 0.5
    assert top < height + 0.5
    scores, lines = figure.axes
    labels = [text.get_window_extent() for text in scores.get_yticklabels()]
    assert len(labels) == table["candidate"].nunique()
    assert not any(a.overlaps(b) for n, a in enumerate(labels) for b in labels[n + 1 :])
    drawn = sum(len(line.get_xdata()) for line in scores.lines if line.get_linestyle() == "None")
    assert drawn == len(table)
    assert len(lines.lines) == (~table["failed"]).sum()
