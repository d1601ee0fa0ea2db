"""The methods in words: they follow the study's configuration, data and versions, and cite what exists."""

import copy
import re
from pathlib import Path

import jinja2
import pandas as pd
import pytest
import yaml
from described import COST, FOLDS, REFERENCES, TEMPLATE, section, written

from organbench.analysis import convergence
from organbench.core.errors import InputError
from organbench.reporting.methods import listed
from organbench.study import configuration, kinds, schema

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config():
    """The default study, resolved."""
    defaults = yaml.safe_load((ROOT / "config.yaml").read_text())
    known = schema.load(ROOT / "workflow" / "schemas" / "config.schema.yaml")
    return lambda changes: configuration.resolve(copy.deepcopy(changes), defaults, known)


def test_it_says_what_the_study_did(config):
    text = written(config({}))
    for phrase in (
        "2 generated patients (procedural phantoms, seed 4; not clinical data)",
        "0.7 mm in plane and 3 (1 to 5) mm between slices",
        "bladder (1 of 2 cases)",
        "3 for training, 1 for validation and 2 for testing",
        "resampled to 3 x 3 x 5 mm",
        "ghostunet was a GhostUNet",
        "1.94 million parameters, 46.4 thousand multiply-adds per voxel",
        "400 steps on batches of 14 crops of 96 x 96 voxels with 1 neighbouring slice on each side",
        "a tolerance of 2 mm",
        "PyTorch 2.13.0 [@paszke2019pytorch] with CUDA 13.0",
        "unet 90 min; ghostunet 90 min",
    ):
        assert phrase in text


def test_cases_that_were_left_out_are_said_and_not_counted(config):
    text = written(config({}), bad=["3", "6"])
    assert "Of 4 cases 2 could not be used and were left out: 3 and 6 (`tables/bad_cases.csv` says why)." in text
    assert "2 for training, 1 for validation and 1 for testing" in text
    assert "left out: " not in written(config({}))


def test_doses_are_told_where_there_are_some(config):
    text = written(config({"dataset": {"source": "nifti", "dose": "dose-{case}.nii.gz"}}))
    for phrase in (
        "difference in mean dose [@vandijk2020], difference in D2% [@icru2010]",
        "under the same planned dose, without planning anew",
        "compared by the size of their difference",
        "Distances and doses need both contours",
        "0.01 (dice) and 1 (dmean_error)",
    ):
        assert phrase in text
    assert not re.search(r"\bdoses?\b", written(config({})))


def test_organs_that_were_not_annotated_are_said(config):
    for case, learned in (("1", True), ("5", False)):  # trained on, and tested
        text = written(config({}), cases=[case, "2"], volumes={"liver": [float("nan"), 90.0]})
        assert "liver (1 of the 1 cases in which it was annotated), bladder (1 of 2 cases)" in text
        assert "not annotated in a case was not scored there" in section("Metrics", text)
        assert ("marginal loss [@shi2021marginal]" in section("Training", text)) == learned
        assert ("Marginal loss and exclusion loss" in text) == learned
    assert "annotated" not in written(config({}))


def test_warnings_stand_first(config):
    text = written(config({}), warnings=["unet, fold 0, seed 0: predicts nothing", "x: too"])
    assert "## Warnings\n\nBefore this is used: unet, fold 0, seed 0: predicts nothing; x: too.\n\n## Data" in text
    assert "Warnings" not in written(config({}))


def test_what_a_model_has_otherwise_is_said(config):
    models = {
        "plain": {"network": "unet"},
        "slow": {"network": "unet", "learning_rate": 1e-5, "augmentation": {"rotation": 0}},
        "both": {"ensemble": ["plain", "slow"]},
    }
    text = written(config({"models": models}))
    assert "For slow it was learning rate 1e-05 and augmentation rotation 0." in text
    assert "both averaged the probabilities of all runs of plain and slow" in text
    assert "For plain" not in text


def test_imported_and_pretrained_networks_are_said(config):
    models = {
        "a": {"network": "monai.networks.nets.SegResNet", "init_filters": 16, "map": {"patch": None}, "divisor": 8},
        "b": {"network": "unet", "features": [4, 8], "weights": "/there/a.pt", "sha256": 64 * "0"},
    }
    text = written(config({"models": models}))
    assert "a was SegResNet of MONAI [@cardoso2022monai] (2D, init filters 16; " in text
    assert "b was a U-Net [@ronneberger2015unet] (2D, features 4-8; " in text
    assert "b was pretrained: it started from given weights (sha256 000000000000...)." in text
    assert "b used batch normalisation" in text
    assert "All used" not in text
    assert "in the first crops [@lin2017focal], where given weights did not replace them." in text


def test_tuned_settings_are_not_said_to_have_the_common_value(config):
    tune = {
        "learning_rate": [0.123, 0.2],
        "weight_decay": [0.345, 0.4],
        "gradient_clip": [0.567, 1],
        "foreground": [0.1, 0.2],
        "ema": [0, 0.9],
        "loss": ["dice", "ce"],
        "optimizer": ["adam", "sgd"],
    }
    text = written(config({"training": {"tune": {key: values for key, values in tune.items() if key < "loss"}}}))
    assert "a tuned share of them near an organ" in text
    assert "gradients clipped to a tuned norm" in text
    assert "rose over 20 steps to a tuned value" in text
    assert "An exponential moving average of the weights (a tuned decay, where 0 is none) was kept" in text
    text = written(config({"training": {"tune": {key: tune[key] for key in ("loss", "optimizer", "weight_decay")}}}))
    assert (
        "minimised a tuned loss with a tuned optimizer (a tuned weight decay, gradients clipped to a norm of 1)" in text
    )
    assert (
        "among the same 8 candidates (loss dice or ce; optimizer adam or sgd; weight decay 0.345 or 0.4; all comb"
        in text
    )


def test_folds_seeds_and_tolerances_are_said(config):
    tolerance = {"liver": 3, "bladder": 2, "lungs": 3, "kidneys": 2, "bone": 1, "brain": 2}
    changes = {
        "split": {"method": "kfold"},
        "training": {"seeds": [0, 1]},
        "evaluation": {"tolerance_mm": tolerance},
    }
    folds = [*FOLDS, {"train": ["5", "6"], "validation": [], "test": ["1", "2", "3", "4"]}]
    text = written(config(changes), folds)
    assert "In 2-fold cross-validation" in text
    assert "Each fold had other validation cases." in text
    assert "2 to 3 for training, 0 to 1 for validation and 2 to 4 for testing" in text
    assert "trained with 2 seeds per fold" in text
    assert "3 mm (liver), 2 mm (bladder)" in text


def test_whether_training_had_converged_is_said_of_each_network(config):
    verdicts = [convergence.RISING, convergence.LEVEL, convergence.FALLING, convergence.UNKNOWN, convergence.RISING]
    table = pd.DataFrame({"model": ["2", "007", "3", "4", "5"], "verdict": verdicts})
    text = section("Training", written(config({}), converged=table))
    assert text.endswith(
        "(`tables/convergence.csv`): that of 2, 5 still rose; that of 007 had levelled off; that of 3 fell; "
        "that of 4 could not be judged (too few validations, folds or seeds, or too wide an interval)."
    )
    assert "converged" not in written(config({}), converged=table.head(0))


def test_a_line_break_in_the_words_is_a_space_and_an_empty_line_nothing(config):
    template = "# {{ study.name }}\n## A\n\n  one\n\n{% if true %}\ntwo\n{% endif %}\n## B\n## C\n{{ 'x  y' }}"
    text = written(config({}), template=template)
    assert text.startswith("# phantom\n\n## A\n\none two\n\n## B\n\n## C\n\nx  y\n\n## References\n")


def test_a_name_that_nobody_fills_is_refused(config):
    with pytest.raises(jinja2.UndefinedError, match="unknown"):
        written(config({}), template=TEMPLATE + "{{ unknown }}")


def test_other_kinds_of_lists_are_those_of_the_words():
    assert listed("\n  a\n\n b \n") == "a and b"
    assert listed([1, 2, 3], ", ", " or ") == "1, 2 or 3"
    assert listed(["one"]) == "one"
    assert listed([]) == ""


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dataset": {"group": "a.csv"}},
        {"training": {"norm": "instance", "optimizer": "adam", "loss": "dice", "ema": 0.9, "deep_supervision": True}},
    ],
)
def test_every_citation_has_its_entry_and_no_other(config, changes):
    body, references = written(config(changes)).split("## References")
    assert set(re.findall(r"@(\w+)", body)) == set(re.findall(r"@\w+{(\w+),", references))


def test_stability_failures_and_groups_are_said_as_they_were_done(config):
    text = written(config({"evaluation": {"failure": 0.6}}))
    assert "we drew patients 1000 times with replacement and ranked the models" in text
    assert "As every model was trained once, this is about the trained weights." in text
    assert "a Dice below 0.6" in text
    assert "by group" not in text
    changes = {"training": {"seeds": [0, 1]}, "dataset": {"group": "centres.csv"}, "split": {"method": "kfold"}}
    text = written(config(changes))
    assert "we drew patients, and of each model its trainings" in text
    assert "with replacement within folds" in text
    assert "a Dice (mean over trainings) below 0.5" in text
    assert "the variance of patients, and of trainings where both models had several," in text
    alone = written(config({"models": {"unet": {"network": "unet"}}, **changes}))
    assert "McNemar" not in alone
    assert "ranked the models" not in alone
    assert "Results were also summarised by group of patients." in alone


def test_the_studies_that_come_with_it_are_described(config):
    for path in (ROOT / "config").glob("*.yaml"):
        resolved = config(yaml.safe_load(path.read_text()))
        text = written(resolved)
        assert "[@" in text
        assert text.startswith(f"# Methods of the study {resolved['study']}\n")
        assert all(re.search(rf"{name} was (a |nnU-Net |SegResNet )", text) for name in kinds.trained(resolved))


UNETS = {"one": {"network": "unet"}, "two": {"network": "unet"}}


def with_own(**own):
    """Two networks that each have their own value of a setting: `key=(of one, of two)`."""
    return {
        name: entry | {key: values[k] for key, values in own.items()} for k, (name, entry) in enumerate(UNETS.items())
    }


@pytest.mark.parametrize(
    ("dataset", "phrase"),
    [
        ({"source": "nifti", "citation": "rister2020ctorg"}, "2 CT volumes from CT-ORG [@rister2020ctorg]."),
        ({"source": "nifti", "citation": "isensee2021nnunet"}, "2 CT volumes [@isensee2021nnunet]."),
        ({"source": "nifti"}, "2 CT volumes."),
        ({"source": "openkbp"}, "2 CT volumes from OpenKBP [@babier2021openkbp]."),
    ],
)
@pytest.mark.parametrize("name", ["ct-org", "openkbp", "another"])
def test_the_data_are_cited_by_what_they_are_and_not_by_the_studys_name(config, name, dataset, phrase):
    root = {"root": "data", "organs": {"liver": 1}}
    assert f"We used {phrase}" in written(config({"study": name, "dataset": root | dataset}))


def test_studies_of_ct_org_cite_it(config):
    for name in ("ct-org", "original"):
        study_file = yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text()) | {"study": "renamed"}
        assert "from CT-ORG [@rister2020ctorg]" in written(config(study_file))


def test_a_citation_has_to_have_an_entry():
    configuration.check_citation({"citation": None}, REFERENCES)
    configuration.check_citation({"citation": "rister2020ctorg"}, REFERENCES)
    with pytest.raises(
        InputError, match=r"^config, dataset.citation: .*no entry rister.*; did you mean rister2020ctorg\?"
    ):
        configuration.check_citation({"citation": "rister2020"}, REFERENCES)


def test_an_official_split_is_said_to_be_ct_orgs(config):
    assert "as CT-ORG's authors did [@rister2020ctorg]" in written(config({"split": {"method": "official"}}))


def test_normalisation_is_said_of_whom_it_is_true(config):
    batch, instance = "batch normalisation [@ioffe2015bn]", "instance normalisation [@ulyanov2016in]"
    assert f" All used {batch}." in written(config({"models": UNETS}))
    both_instance = written(config({"models": with_own(norm=("instance", "instance"))}))
    assert f" All used {instance}." in both_instance
    assert "batch normalisation" not in both_instance
    mixed = written(config({"models": with_own(norm=("instance", "batch"))}))
    assert f" one used {instance} and two {batch}." in mixed
    assert "All used" not in mixed


@pytest.mark.parametrize(
    ("setting", "of_all", "unsaid"),
    [
        ({"steps": 77}, "trained for 77 steps", "400 steps"),
        ({"batch_size": 3}, "batches of 3 crops", "batches of 14"),
        ({"patch": [32, 64]}, "crops of 32 x 64 voxels", "96 x 96"),
        ({"context": 0}, "voxels, 90% of them", "neighbouring slice"),
        ({"foreground": 0}, "anywhere", "near an organ"),
        ({"loss": "ce"}, "We minimised cross-entropy with", "soft Dice"),
        ({"optimizer": "sgd"}, "stochastic gradient descent", "AdamW"),
        ({"weight_decay": 0.5}, "(weight decay 0.5,", "weight decay 0.01"),
        ({"gradient_clip": 7.0}, "a norm of 7)", "a norm of 1)"),
        ({"learning_rate": 0.125}, "to 0.125 and", "0.005"),
        ({"warmup": 0}, "The learning rate started at", "rose over"),
        ({"schedule": "cosine"}, "half a cosine", "polynomially"),
        ({"ema": 0.9}, "(decay 0.9)", "ema 0.9"),
        ({"deep_supervision": True}, "Coarser levels of the networks were supervised too", "deep supervision on"),
        ({"weights": "best"}, "weights with the highest mean Dice on the validation cases", "after the last step"),
        ({"slices": "middle"}, "the middle axial slice of each scan only", "slices middle"),
        ({"augmentation": {"rotation": 7}}, "(up to 7 degrees)", "15 degrees"),
    ],
)
def test_what_all_networks_override_is_said_instead_of_the_common_setting(config, setting, of_all, unsaid):
    models = {name: entry | setting for name, entry in UNETS.items()}
    text = written(config({"models": models}))
    assert of_all in text
    assert unsaid not in text
    assert "it was" not in text
    assert text == written(config({"models": UNETS, "training": setting}))


def test_what_each_network_has_of_its_own_is_said_of_each(config):
    text = written(config({"models": with_own(steps=(30, 60), optimizer=("adam", "sgd"))}))
    assert "trained for 30 steps" in text
    assert "with Adam [@kingma2015adam]" in text
    assert "For two it was steps 60 and optimizer stochastic gradient descent with Nesterov momentum 0.99." in text
    assert "400 steps" not in text
    assert "AdamW" not in text


@pytest.mark.parametrize("mirror", [True, False])
def test_flips_are_said_to_be_averaged_where_they_are(config, mirror):
    sentence = "Predictions were averaged over the flips that a network was trained with."
    flips = {"training": {"augmentation": {"flip": ["z"]}}}
    assert (sentence in written(config({"prediction": {"mirror": mirror}} | flips))) == mirror


@pytest.mark.parametrize("axes", [["x", "y"], ["y"]])
def test_organs_that_change_places_are_said_where_they_do(config, axes):
    organs = {"left_eye": 1, "right_eye": 2}
    given = {"dataset": {"organs": organs, "mirrored": {"left_eye": "right_eye"}}}
    text = written(config(given | {"models": UNETS, "training": {"augmentation": {"flip": axes}}}))
    sentence = "In flips along x these organs changed places: left eye and right eye."
    assert (sentence in text) == ("x" in axes)


def test_an_augmentation_with_a_probability_is_said_where_it_is_on(config):
    assert "blur" not in written(config({"models": UNETS}))
    blur = {"blur": {"probability": 0.25}}
    text = written(config({"models": UNETS, "training": {"augmentation": blur}}))
    assert "Gaussian blur (standard deviation 0.5 to 1 voxels, of 25% of them)" in text


def test_settings_of_one_network_are_said_in_words_and_cited(config):
    own = {
        "loss": "dice",
        "deep_supervision": True,
        "ema": 0.9,
        "weights": "best",
        "augmentation": {"flip": ["x", "y"]},
    }
    text = written(config({"models": {"one": {"network": "unet"}, "two": {"network": "unet"} | own}}))
    for phrase in (
        "loss soft Dice loss [@milletari2016vnet]",
        "deep supervision on [@isensee2021nnunet]",
        "ema 0.9 [@polyak1992]",
        "weights best",
        "augmentation flip x and y",
    ):
        assert phrase in text


def test_every_version_of_pytorch_is_said(config):
    resolved = config({"models": UNETS})
    costs = {
        name: COST | {"versions": COST["versions"] | {"torch": torch}}
        for name, torch in (("one", "2.12.0"), ("two", "2.13.0"))
    }
    assert "PyTorch 2.12.0 and 2.13.0 [@paszke2019pytorch]" in written(resolved, costs=costs)


def test_a_study_of_nothing_that_is_trained_here_says_so(config):
    product = {"predictions": "/p/{case}.nii.gz"}
    models = {"product": product, "second": product | {"observer": True}}
    resolved = config({"models": models, "training": {"seeds": [0, 1]}})
    text = written(resolved)
    for untrue in ("## Preprocessing", "No test case was seen", "trained weights", "averaged over seeds"):
        assert untrue not in text
    assert "product was made elsewhere; what it was trained on" in section("Networks", text)
    assert "second was another observer" in section("Networks", text)
    assert "All used" not in text
    assert "## Training" not in text
    assert "## Prediction" not in text
    assert "No model was trained here: each was judged as the fixed thing that it is" in section("Statistics", text)
    assert "judged as fixed." not in text
    assert "Snakemake workflow [@molder2021snakemake], with SimpleITK" in section("Software and hardware", text)
    assert "PyTorch" not in text


def test_what_is_true_of_networks_is_not_said_of_nnunet_alone(config):
    text = written(config({"models": {"nnunet": {"nnunet": "2d"}}}), costs={"nnunet": COST})
    assert "No test case was seen in training or in choosing weights." in section("Split", text)
    assert "nnunet 90 min." in section("Software and hardware", text)
    for untrue in ("## Preprocessing", "## Training", "the same weights come out"):
        assert untrue not in text
