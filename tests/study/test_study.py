"""The configuration: what is merged, coerced, filled in and refused; and that nothing drifts."""

import copy

import pytest
import yaml
from conftest import ROOT

from organbench.core.errors import InputError
from organbench.core.runs import Run
from organbench.data import splits
from organbench.evaluation.registry import METRICS
from organbench.study import augmenting, configuration, kinds, merging
from organbench.study.kinds import network

MINIMAL = {
    "study": "mine",
    "dataset": {"source": "phantom", "root": "there", "organs": {"liver": 1}},
    "models": {"one": {"network": "unet"}},
}


@pytest.fixture
def resolve(defaults, schema):
    return lambda given=None: configuration.resolve(given or {}, defaults, schema)


def leaves(config, path=()):
    """Each value that is no mapping, by its path; mappings with free names (organs, models) count as one."""
    for key, value in config.items():
        here = (*path, key)
        if isinstance(value, dict) and here not in merging.REPLACED:
            yield from leaves(value, here)
        else:
            yield here, value


def keys_of(schema, path=()):
    """Each key of the schema that holds a value, and its schema."""
    for key, part in schema.get("properties", {}).items():
        if "properties" in part:
            yield from keys_of(part, (*path, key))
        else:
            yield (*path, key), part
    rest = schema.get("additionalProperties")
    if isinstance(rest, dict):
        yield from keys_of(rest, (*path, "*"))


# --- nothing drifts


def test_the_schemas_defaults_are_those_of_the_default_study(defaults, schema):
    own = dict(leaves(MINIMAL))
    filled = dict(leaves(configuration.resolve(MINIMAL, {}, schema)))
    expected = {path: value for path, value in leaves(defaults) if path not in own}
    assert {path: value for path, value in filled.items() if path not in own} == expected
    assert len(expected) > 35


def test_every_key_of_the_default_study_is_in_the_schema(defaults, schema):
    known = {path for path, _ in keys_of(schema)} | set(merging.REPLACED)
    assert {path for path, _ in leaves(defaults)} <= known


def test_every_key_of_the_schema_is_described(schema):
    """Sections too: each has a heading of its own in config/README.md."""

    def without(part, path):
        for key, each in part.get("properties", {}).items():
            if not each.get("description"):
                yield ".".join((*path, key))
            yield from without(each, (*path, key))
        if isinstance(part.get("additionalProperties"), dict):
            yield from without(part["additionalProperties"], (*path, "*"))

    assert list(without(schema, ())) == []


def test_the_default_study_gives_every_key(defaults, schema):
    """So that it shows a reader all there is; a model's own keys are in `training`, too."""
    given = {path for path, _ in leaves(defaults)}
    assert {path for path, _ in keys_of(schema) if path[0] != "models"} - {("dataset", "organs")} <= given


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda file: file.name)
def test_the_other_studies_are_right(resolve, file):
    assert resolve(yaml.safe_load(file.read_text()))["study"]


def test_a_margin_may_be_given_for_every_metric(schema):
    known = schema["properties"]["evaluation"]["properties"]["margin"]["propertyNames"]["enum"]
    assert known == list(METRICS)


def test_a_study_with_doses_has_a_margin_in_gray_unless_it_gives_margins(resolve):
    dosed = {"dataset": {"source": "nifti", "dose": "dose-{case}.nii.gz"}}
    assert resolve(dosed)["evaluation"]["margin"] == {"dice": 0.01, "dmean_error": 1.0}
    assert resolve(dosed | {"evaluation": {"margin": {"dice": 0.02}}})["evaluation"]["margin"] == {"dice": 0.02}
    assert resolve({})["evaluation"]["margin"] == {"dice": 0.01}
    decided = resolve(dosed | {"evaluation": {"decides": "dmean_error", "margin": {"dmean_error": 2}}})["evaluation"]
    assert (decided["decides"], decided["margin"]) == ("dmean_error", {"dmean_error": 2})
    settled = resolve(dosed)
    assert resolve(settled) == resolve(dosed)


# --- merging


def test_the_default_study_resolves_to_itself(resolve, defaults):
    expected = copy.deepcopy(defaults)
    expected["dataset"]["organs"] = {organ: [value] for organ, value in defaults["dataset"]["organs"].items()}
    expected["dataset"]["structures"] = {}
    assert resolve() == expected


CLINIC = {"source": "nifti", "image": "{case}/CT", "label": "{case}/rs.dcm"}


def test_organs_may_be_structures_with_names(resolve):
    organs = {"liver": ["Liver", "liver_*"], "heart": "HEART"}
    dataset = resolve({"dataset": {**CLINIC, "organs": organs}})["dataset"]
    assert dataset["organs"] == {"liver": [1], "heart": [2]}
    assert dataset["structures"] == {"liver": ["Liver", "liver_*"], "heart": ["HEART"]}
    assert resolve({"dataset": {**CLINIC, "image": "{case}", "label": "{case}", "organs": organs}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"organs": {"liver": ["Liver", 3]}}, "dataset.organs: liver has label value 3 where others have names"),
        ({"organs": {"liver": "Liver", "heart": 2}}, "dataset.organs: heart has label value 2 where others have names"),
        ({"organs": {"liver": [" "]}}, "dataset.organs: liver has a name of a structure that is empty"),
        ({"organs": {"liver": "Liver"}, "ignore_labels": [4]}, "dataset.ignore_labels: organs are structures"),
        ({"organs": {"liver": 1}, "missing_structures": "absent"}, "dataset.missing_structures: a label map shows all"),
        ({"organs": {"liver": "Liver"}, "annotated": "a.csv"}, "dataset.annotated: which structures were drawn is in"),
    ],
)
def test_names_of_structures_that_cannot_be_are_refused(resolve, changes, message):
    with pytest.raises(InputError, match=message):
        resolve({"dataset": CLINIC | changes})


def test_resolving_changes_neither_input(defaults, schema):
    before, given = copy.deepcopy(defaults), copy.deepcopy(MINIMAL)
    configuration.resolve(given, defaults, schema)
    assert (defaults, given) == (before, MINIMAL)


def test_organs_and_models_are_replaced_and_the_rest_is_merged(resolve, defaults):
    config = resolve(
        {
            "dataset": {"organs": {"mandible": 5, "parotids": [3, 4]}, "root": "elsewhere"},
            "models": {"small": {"network": "unet", "features": [4, 8]}},
            "training": {"augmentation": {"rotation": 5}},
        }
    )
    assert config["dataset"]["organs"] == {"mandible": [5], "parotids": [3, 4]}
    assert config["models"] == {"small": {"network": "unet", "features": [4, 8]}}
    assert config["dataset"]["root"] == "elsewhere"
    assert config["dataset"]["image"] == defaults["dataset"]["image"]
    assert config["training"]["augmentation"] == defaults["training"]["augmentation"] | {"rotation": 5}


def test_a_model_overrides_the_training(resolve, defaults):
    models = {
        "plain": {"network": "unet", "dims": 2},
        "cube": {
            "network": "ghostunet",
            "dims": 3,
            "ratio": 4,
            "patch": [32, 64, 64],
            "learning_rate": 0.01,
            "augmentation": {"flip": ["x"]},
        },
    }
    config = resolve({"models": models})
    plain, cube = (network.settings(name, config) for name in models)
    common = {key: value for key, value in defaults["training"].items() if key not in ("seeds", "tune")}
    assert plain == ({"network": "unet", "dims": 2}, common)
    assert cube[0] == {"network": "ghostunet", "dims": 3, "ratio": 4}
    augmentation = defaults["training"]["augmentation"] | {"flip": ["x"]}
    changed = {"patch": [32, 64, 64], "learning_rate": 0.01, "augmentation": augmentation}
    assert cube[1] == common | changed | {"context": 0}  # a 3D network sees its neighbours anyway
    assert config["training"] == defaults["training"]


# --- values from the command line, where they may be strings


FLIPPED = {"training": {"augmentation": {"flip": ["z"]}}}


@pytest.mark.parametrize(
    ("given", "path", "expected"),
    [
        ({"split": {"folds": "3"}}, "split.folds", 3),
        ({"split": {"test_fraction": "0.25"}}, "split.test_fraction", 0.25),
        ({"split": {"file": "7"}}, "split.file", "7"),
        ({"training": {"learning_rate": "1e-3"}}, "training.learning_rate", 0.001),
        ({"training": {"steps": "1e3"}}, "training.steps", 1000),
        ({"training": {"steps": 1e3}}, "training.steps", 1000),
        ({"training": {"seeds": ["0", "1"]}}, "training.seeds", [0, 1]),
        ({"training": {"augmentation": {"rotation": "5"}}}, "training.augmentation.rotation", 5),
        (FLIPPED | {"prediction": {"mirror": "true"}}, "prediction.mirror", True),
        ({"preprocessing": {"spacing": ["null", "1.5", "2"]}}, "preprocessing.spacing", [None, 1.5, 2]),
        ({"preprocessing": {"spacing": "[null, 1.5, 2]"}}, "preprocessing.spacing", [None, 1.5, 2]),
        ({"dataset": {"organs": {"liver": "1"}}}, "dataset.organs", {"liver": [1]}),
        ({"dataset": {"organs": {"liver": 1.0}}}, "dataset.organs", {"liver": [1]}),
        ({"dataset": {"organs": {"lungs": ["3", "4"]}}}, "dataset.organs", {"lungs": [3, 4]}),
        ({"dataset": {"root": "2024"}}, "dataset.root", "2024"),
        ({"evaluation": {"tolerance_mm": "3"}}, "evaluation.tolerance_mm", 3),
        (
            {"dataset": {"organs": {"liver": "1"}}, "evaluation": {"tolerance_mm": {"liver": "1.5"}}},
            "evaluation.tolerance_mm",
            {"liver": 1.5},
        ),
        ({"evaluation": {"margin": {"hd95": "1.5"}}}, "evaluation.margin", {"hd95": 1.5}),  # replaces the default's
        ({"models": {"a": {"network": "unet", "dims": "2"}}}, "models.a.dims", 2),
        ({"models": {"a": {"network": "unet", "dims": 2.0}}}, "models.a.dims", 2),
        ({"models": {"a": {"network": "ghostunet", "ratio": "4"}}}, "models.a.ratio", 4),
        ({"models": {"a": {"network": "ghostunet", "block": "module"}}}, "models.a.block", "module"),
    ],
)
def test_strings_become_what_the_schema_wants(resolve, given, path, expected):
    found = resolve(given)
    for key in path.split("."):
        found = found[key]
    assert found == expected
    assert type(found) is type(expected)


# --- ensembles

TWO = {"one": {"network": "unet"}, "two": {"network": "ghostunet"}}


def test_an_ensemble_may_name_one_model_or_several(resolve):
    models = {"both": {"ensemble": ["two", "one"]}, **TWO, "seeds": {"ensemble": "one"}}
    config = resolve({"models": models, "training": {"seeds": [4, 5]}})
    assert config["models"] == models | {"seeds": {"ensemble": ["one"]}}
    assert kinds.trained(config) == ["one", "two"]
    assert [kinds.of(name, config).seeds(config) for name in models] == [[4], [4, 5], [4, 5], [4]]


@pytest.mark.parametrize(
    "split",
    [{"method": "holdout"}, {"method": "kfold", "folds": 4}, {"method": "file"}],
    ids=lambda split: split["method"],
)
def test_an_ensemble_averages_every_run_that_did_not_learn_from_the_case(resolve, tmp_path, split):
    cases = [str(case) for case in range(12)]
    if split["method"] == "file":  # every fold leaves other cases out, and some are tested more than once
        roles = ["train", "validation", "test", "test", None]
        rows = [(case, fold, roles[(case + fold * case) % 5]) for fold in range(3) for case in range(12)]
        lines = ["case,fold,role", *(",".join(map(str, row)) for row in rows if row[2])]
        (tmp_path / "split.csv").write_text("\n".join(lines))
        split = split | {"file": str(tmp_path / "split.csv")}
    models = {**TWO, "both": {"ensemble": ["one", "two"]}, "seeds": {"ensemble": "two"}}
    config = resolve({"models": models, "split": split, "training": {"seeds": [0, 7]}})
    folds = splits.split(cases, **config["split"])
    most = 0
    for number, fold in enumerate(folds):
        for case in fold["test"]:
            unseen = [k for k, roles in enumerate(folds) if case not in roles["train"] + roles["validation"]]
            for name, members in (("both", ["one", "two"]), ("seeds", ["two"])):
                runs = kinds.of(name, config).reads(config, folds, Run(name, number, 0), case)
                assert runs == [Run(member, k, seed) for member in members for k in unseen for seed in (0, 7)]
                assert {Run(member, number, seed) for member in members for seed in (0, 7)} <= set(runs)
            most = max(most, len(unseen))
    assert most == (3 if split["method"] == "file" else 1)


def test_an_ensemble_leaves_out_runs_that_learned_from_the_patient(resolve):
    models = {**TWO, "both": {"ensemble": ["one", "two"]}}
    folds = [
        {"train": ["c_1"], "validation": [], "test": ["a_1"]},
        {"train": ["a_2"], "validation": [], "test": ["c_1"]},
    ]
    for patient, expected in ((None, [0, 1]), ("^[^_]+", [0])):
        config = resolve({"models": models, "split": {"patient": patient}})
        runs = kinds.of("both", config).reads(config, folds, Run("both", 0, 0), "a_1")
        assert runs == [Run(member, fold, 0) for member in ("one", "two") for fold in expected]


def test_one_model_with_one_seed_is_an_ensemble_only_where_folds_may_test_a_case_again(resolve):
    models = {"one": {"network": "unet"}, "again": {"ensemble": "one"}}
    assert resolve({"models": models, "split": {"method": "file", "file": "split.csv"}})
    for method in ("holdout", "kfold", "official"):
        with pytest.raises(InputError, match=r"models.again.ensemble: one is trained once, .* nothing to average; add"):
            resolve({"models": models, "split": {"method": method}})


# --- organs that change places in a flip


FLIPS = {"augmentation": {"flip": ["x"]}}
SIDES = {"dataset": {"organs": {"left_eye": 1, "right_eye": 2, "brain": 3}}}


def paired(pairs):
    """A study of eyes with these pairs."""
    return {"dataset": SIDES["dataset"] | {"mirrored": pairs}}


def test_paired_organs_are_told_by_position_where_a_network_is_flipped(resolve):
    config = resolve(paired({"right_eye": "left_eye"}) | {"training": FLIPS})
    assert augmenting.pairs(config, config["training"]) == [[1, 2]]
    config = resolve(paired({"right_eye": "left_eye"}))
    assert augmenting.pairs(config, config["training"]) == []
    assert resolve(SIDES)["dataset"]["mirrored"] == {}


# --- what is refused


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trainin": {}}, "the top level: unknown key trainin; did you mean training?"),
        ({"training": {"step": 5}}, "training: unknown key step; did you mean steps?"),
        ({"training": {"augmentation": {"flips": []}}}, "training.augmentation: unknown key flips; did you mean flip?"),
        (
            SIDES | {"training": FLIPS},
            "training.augmentation.flip: .* trained with flips along x, but left_eye has a side",
        ),
        (paired({"left_eye": "righteye"}), "dataset.mirrored: righteye is not in .*; did you mean right_eye?"),
        (paired({"left_eye": "left_eye"}), "dataset.mirrored: left_eye is paired with itself"),
        (paired({"left_eye": "right_eye", "right_eye": "left_eye"}), "dataset.mirrored: left_eye is named twice"),
        (paired({"left_eye": 1}), "dataset.mirrored.left_eye: 1 is not of type 'string'"),
        (
            {"prediction": {"mirror": True}},
            "prediction.mirror: averages over flips, but .* is trained with none",
        ),
        (
            {"training": {"augmentation": {"blur": {"probability": 1, "range": [2, 1]}}}},
            "training.augmentation.blur.range: 2 is above 1; give",
        ),
        (
            {"training": {"augmentation": {"blur": {"probabilty": 1}}}},
            "training.augmentation.blur: unknown key probabilty; did you mean probability?",
        ),
        ({"split": {"xyz": 5}}, "split: unknown key xyz; known keys: .*test_fraction"),
        ({"models": {"a": {"network": "unet", "stepss": 5}}}, "models.a: unknown key stepss; did you mean steps?"),
        ({"models": {"a": {"network": "unet", "ratio": 2}}}, "models.a: unknown key ratio"),
        ({"models": {"a": {"network": "unet", "in_channels": 2}}}, "models.a: unknown key in_channels"),
        ({"models": {"a": {"network": "unet", "seeds": [1]}}}, "models.a: unknown key seeds"),
        ({"models": {"a": {"network": "unett"}}}, "no network 'unett'; available: ghostunet, resunet, unet"),
        ({"models": {"a": {"network": "../unet"}}}, "no network"),
        ({"models": {"a": {"network": "blocks"}}}, "no network"),
        ({"models": {"a": {"dims": 2}}}, "models.a: does not say what it is; give it one of .*network"),
        ({"models": {"a": {"ensembel": ["one"]}}}, "models.a: does not say what it is; did you mean ensemble"),
        ({"models": TWO | {"a": {"ensemble": []}}}, "models.a.ensemble: .*it is: a model that trains nothing"),
        ({"models": TWO | {"a": {"ensemble": 5}}}, "models.a.ensemble: without quotes 5 is a number"),
        ({"models": TWO | {"a": {"ensemble": ["one"] * 2}}}, "models.a.ensemble: .*'one'.* non-unique"),
        (
            {"models": TWO | {"a": {"ensemble": ["one", "tow"]}}},
            "models.a.ensemble: .*no model tow; did you mean two?",
        ),
        ({"models": TWO | {"a": {"ensemble": "x"}}}, "models.a.ensemble: .*no model x; known models: one, two"),
        (
            {"models": {"a": {"ensemble": "one"}}},
            "models.a.ensemble: there is no model one; known models: none",
        ),
        ({"models": {"a": {"ensemble": "a"}}}, "models.a.ensemble: a is no network that this study trains"),
        (
            {"models": TWO | {"a": {"ensemble": ["one", "two"]}, "b": {"ensemble": ["a", "one"]}}},
            "models.b.ensemble: a is no network that this study trains; name such models",
        ),
        (
            {"models": TWO | {"a": {"ensemble": ["one", "two"], "network": "unet"}}},
            "models.a: network does not go with ensemble",
        ),
        (
            {"models": TWO | {"a": {"ensemble": ["one", "two"], "stepss": 5}}},
            "models.a: stepss does not go with ensemble, which trains nothing",
        ),
        ({"models": {"a": None}}, "models.a: None is not of type 'object'"),
        ({"models": {"a-b": {"network": "unet"}}}, "models: 'a-b' does not match"),
        ({"models": {}}, "models: "),
        ({"models": {"a": {"network": "unet", "dims": 3}}}, r"models.a: .*patch of 3 numbers \(z y x\)"),
        ({"models": {"a": {"network": "unet", "dims": 4}}}, "models.a.dims: 4 is not one of"),
        (
            {"models": {"a": {"network": "unet", "dims": 3, "patch": [16] * 3, "context": 1}}},
            "models.a: context is for 2D",
        ),
        ({"training": {"steps": "many"}}, "training.steps: 'many' is not of type 'integer'"),
        ({"training": {"steps": 0.5}}, "training.steps: 0.5 is not of type 'integer'"),
        ({"training": {"steps": True}}, "training.steps: True is not of type 'integer'"),
        ({"training": {"steps": 0}}, "training.steps: 0 is less than the minimum of 1; it is: optimizer steps"),
        ({"training": {"patch": [128, 4]}}, "training.patch.1: 4 is less than .*voxels of a crop"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate: nan"),
        ({"training": {"learning_rate": ".inf"}}, "training.learning_rate: inf"),
        ({"training": None}, "training: None is not of type 'object'"),
        ({"split": {"test_fraction": 1}}, "split.test_fraction: 1 is greater"),
        ({"split": {"method": "random"}}, "split.method: 'random' is not one of"),
        ({"preprocessing": {"spacing": [0, 1, 1]}}, "preprocessing.spacing.0: 0 is less"),
        ({"preprocessing": {"spacing": [1, 1]}}, "preprocessing.spacing: "),
        ({"preprocessing": {"spacing": 3}}, "preprocessing.spacing: 3 is not of type 'array'; it is: working spacing"),
        ({"preprocessing": {"window": [100, 100]}}, "preprocessing.window: 100 is not below 100"),
        ({"preprocessing": {"window": [0, 99999]}}, "preprocessing.window.1: 99999 is greater"),
        ({"dataset": {"organs": {"liver": 0}}}, "dataset.organs.liver: 0 is less than the minimum of 1"),
        ({"dataset": {"organs": {"liver": 70000}}}, "dataset.organs.liver: 70000 is greater"),
        (
            {"dataset": {"organs": {"liver": "one"}}},
            "dataset.organs: source phantom makes label maps; give label values",
        ),
        ({"dataset": {"organs": {"all": 1}}}, "dataset.organs: 'all' does not match"),
        ({"dataset": {"organs": {1: "liver", "lungs": 0}}}, "dataset.organs"),
        ({"dataset": {"organs": {1: 1}}}, "dataset.organs: without quotes 1 is a number, .*; put names in quotes"),
        ({"dataset": {"organs": {True: 1}}}, "dataset.organs: without quotes True is a number, a truth value"),
        ({"models": {7: {"network": "unet"}}}, "models: without quotes 7 is"),
        ({"models": {"7": {"network": "unet"}, "b": {"ensemble": [7]}}}, "models.b.ensemble: without quotes 7 is"),
        ({"models": {"7": {"network": "unet"}, "b": {"ensemble": 7}}}, "models.b.ensemble: without quotes 7 is"),
        ({"evaluation": {"tolerance_mm": {1: 2.0}}}, "evaluation.tolerance_mm: without quotes 1 is"),
        ({"dataset": {"organs": {"a": [1, 2], "b": 2}}}, "label 2 stands for both a and b"),
        ({"dataset": {"ignore_labels": [3]}}, "label 3 is also lungs"),
        ({"dataset": {"image": "volume.nii.gz"}}, "dataset.image: .*{case} for the case's name"),
        ({"dataset": {"image": "{case}.nii", "label": "{case}.nii"}}, "dataset.label: is the same as dataset.image"),
        ({"dataset": {"image": "/data/{case}.nii"}}, "dataset.image: .*below dataset.root"),
        ({"dataset": {"label": "{id}/{case}.nii"}}, "dataset.label: .*only {case} may stand in braces"),
        ({"dataset": {"root": "data/{study}"}}, "dataset.root: .*braces"),
        ({"dataset": {"dose": "dose.nii.gz"}}, "dataset.dose: .*{case} for the case's name"),
        ({"dataset": {"dose": "dose-{case}.nii.gz"}}, "dataset.dose: phantoms have none"),
        ({"dataset": {"source": "nifti", "dose": "../{case}.nii"}}, "dataset.dose: .*below dataset.root"),
        ({"dataset": {"source": "nifti", "dose": "labels-{case}.nii.gz"}}, "dataset.dose: is the same as"),
        ({"evaluation": {"decides": "dmean_error"}}, "evaluation.decides: dmean_error needs a planned dose"),
        ({"evaluation": {"margin": {"dmax_error": 1}}}, "evaluation.margin: dmax_error needs a planned dose"),
        ({"dataset": {"phantom": {"cases": 2}}}, "dataset.phantom.cases: 2 is less"),
        ({"prediction": {"keep_largest": ["heart"]}}, "prediction.keep_largest: heart is not in dataset.organs"),
        ({"prediction": {"formats": ["rtstruct"]}}, "prediction.formats: rtstruct refers to a DICOM series"),
        ({"prediction": {"formats": ["nifti", "dicom"]}}, "prediction.formats.* 'dicom' is not one of"),
        ({"prediction": {"formats": ["nifti", "seg"]}}, "prediction.formats: seg refers to a DICOM series"),
        ({"dataset": {"source": "nifti", "label": "{case}.seg.nrrd"}}, "dataset.organs: segments have names"),
        ({"evaluation": {"tolerance_mm": -1}}, "evaluation.tolerance_mm: -1 .*it is: deviation"),
        ({"evaluation": {"tolerance_mm": {"liver": 2}}}, "evaluation.tolerance_mm: give one number, or"),
        ({"evaluation": {"margin": {"dise": 0.01}}}, "evaluation.margin: 'dise' is not one of .*it is: difference"),
        ({"evaluation": {"margin": {"dice": -0.01}}}, "evaluation.margin.dice: -0.01 is less"),
        ({"study": "../elsewhere"}, "study: '../elsewhere' does not match .*it is: name of the study"),
        ({"study": 2024}, "study: 2024 is not of type 'string'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(resolve, given, message):
    with pytest.raises(InputError, match=message) as refusal:
        resolve(given)
    assert str(refusal.value).startswith("config")
    assert "\n" not in str(refusal.value)


def test_a_study_needs_its_name_its_data_and_its_models(schema):
    for key in ("study", "dataset", "models"):
        with pytest.raises(InputError, match=f"'{key}' is a required"):
            configuration.resolve({other: value for other, value in MINIMAL.items() if other != key}, {}, schema)


def test_a_deep_file_is_left_to_what_checks_its_depth(tmp_path):
    (tmp_path / "study.json").write_text('{"study": ' + "[" * 900 + "]" * 900 + "}")
    configuration.check_keys(tmp_path / "study.json")


@pytest.mark.parametrize(
    "text", ["dataset: {cases: [7, 010]}", "models:\n  010: {network: unet}", "models: {a: {ensemble: 010}}"]
)
def test_a_number_that_yaml_reads_as_another_is_refused(tmp_path, text):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(InputError, match=r"study\.yaml, line \d: YAML reads 010 as 8; put it in quotes"):
        configuration.check_keys(tmp_path / "study.yaml")


def test_numbers_that_yaml_reads_as_they_stand_are_left(tmp_path):
    (tmp_path / "study.yaml").write_text('a: [0, 0.5, -0.1, "010", 1e-3, 10, 08, 2020-01-01]\n"007": 1\n')
    configuration.check_keys(tmp_path / "study.yaml")


# --- imported networks, and weights to start from

SEGRESNET = {"network": "monai.networks.nets.SegResNet"}
SHA256 = 64 * "0"


def settings_with(resolve, **entry):
    return network.settings("one", resolve({**MINIMAL, "models": {"one": entry}}))


def test_keys_of_an_imported_network_that_are_no_settings_are_its_options(resolve):
    options, training = settings_with(resolve, **SEGRESNET, init_filters=16, steps=7, map={"norm": None})
    assert options == SEGRESNET | {"init_filters": 16, "map": {"norm": None}}
    assert training["steps"] == 7


def test_weights_are_a_setting_or_a_file_to_start_from(resolve):
    options, training = settings_with(resolve, network="unet", features=[4, 8], weights="best")
    assert "pretrained" not in options
    assert training["weights"] == "best"
    options, training = settings_with(resolve, **SEGRESNET, weights="a.pt", sha256=SHA256)
    assert options == SEGRESNET | {"pretrained": {"weights": "a.pt", "sha256": SHA256}}
    assert training["weights"] == "last"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"network": "unet", "weights": "a.pt"},
            r"weights: a.pt is neither last nor best; .* sha256sum a.pt tells",
        ),
        ({"network": "unet", "sha256": SHA256}, r"models.one: sha256 is of a file of weights; name that in weights"),
        ({"network": "unet", "weights": "a.pt", "sha256": "0a"}, r"models.one.sha256: '0a' does not match"),
        ({"network": "nowhere/net.py:Net"}, r"models.one: network .*: there is no file nowhere/net.py"),
        ({"network": "unet", "predictions": "/p/{case}"}, r"models.one: predictions does not go with network; remove"),
        ({**SEGRESNET, "nnunet": "2d"}, r"models.one: nnunet does not go with network; remove one of the two"),
        ({"network": "unett"}, r"there is no network 'unett'; available: .* or give an import path such as"),
        ({**SEGRESNET, "map": {"channels": "c"}}, r"models.one.map: "),
        ({**SEGRESNET, "dims": 3}, r"the network has 3 dimensions, but training.patch is \[96, 96\]"),
    ],
)
def test_what_is_wrong_with_an_imported_network_is_named(resolve, entry, message):
    with pytest.raises(InputError, match=message):
        resolve({**MINIMAL, "models": {"one": entry}})
