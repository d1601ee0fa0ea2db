"""Entries of models that are made elsewhere: what they may say, and which files and organs follow from it."""

import copy
from pathlib import Path

import pytest

from organbench.core.errors import InputError
from organbench.study import configuration, elsewhere, kinds

ORGANS = {"liver": 1, "kidneys": [2, 3]}


@pytest.fixture
def resolve(defaults, schema):
    """A study with one model that is made elsewhere."""

    def resolved(entry, **more):
        given = {"dataset": {"organs": ORGANS}, "models": {"product": entry, **more}}
        return configuration.resolve(copy.deepcopy(given), defaults, schema)

    return resolved


def test_nothing_is_trained_and_each_case_is_read_once(resolve):
    config = resolve({"predictions": "/p/{case}.nii.gz"}, unet={"network": "unet"})
    kind = kinds.of("product", config)
    assert kinds.trained(config) == kinds.networks(config) == ["unet"]
    assert kinds.predicted_by("collect", config) == kinds.fixed(config) == ["product"]
    assert kind.seeds(config) == config["training"]["seeds"][:1]
    assert kind.members("product", config) == []
    assert kinds.partial(config) == {}
    assert "made elsewhere" in kind.words("product", config)


def test_labels_are_the_studys_unless_it_says_otherwise(resolve):
    config = resolve({"predictions": "/p/{case}.nii.gz"})
    assert elsewhere.files("product", config, "/p/{case}.nii.gz", case="7") == {
        "/p/7.nii.gz": {"liver": [1], "kidneys": [2, 3]}
    }
    config = resolve({"predictions": "/p/{case}.nii.gz", "labels": {"liver": 5, "kidneys": [7, 8]}})
    assert elsewhere.files("product", config, "/p/{case}.nii.gz", case="7") == {
        "/p/7.nii.gz": {"liver": [5], "kidneys": [7, 8]}
    }


def test_a_file_per_organ_is_named_by_the_organ_or_by_labels(resolve):
    pattern = "/p/{case}/{organ}.nii.gz"
    config = resolve({"predictions": pattern})
    assert list(elsewhere.files("product", config, pattern, case="7")) == ["/p/7/liver.nii.gz", "/p/7/kidneys.nii.gz"]
    config = resolve({"predictions": pattern, "labels": {"liver": "liver", "kidneys": ["kidney_left", "kidney_right"]}})
    assert elsewhere.files("product", config, pattern, case="7") == {
        "/p/7/liver.nii.gz": {"liver": []},
        "/p/7/kidney_left.nii.gz": {"kidneys": []},
        "/p/7/kidney_right.nii.gz": {"kidneys": []},
    }


def held(config, pattern):
    (found,) = elsewhere.files("product", config, pattern, case="7").values()
    return found


@pytest.mark.parametrize("pattern", ["/p/{case}.dcm", "/p/{case}.seg.nrrd", "/p/{case}/RTSTRUCT"])
def test_structures_are_told_by_names(resolve, pattern):
    names = {"liver": "Liver", "kidneys": ["Kidney_?", "Niere*"]}
    config = resolve({"predictions": pattern, "labels": names})
    assert held(config, pattern) == {"liver": ["Liver"], "kidneys": ["Kidney_?", "Niere*"]}
    assert elsewhere.unlabelled("product", config) == []


def test_without_labels_names_are_those_of_the_organs_and_of_their_structures(defaults, schema):
    given = {
        "dataset": {"source": "nifti", "root": "/d", "organs": {"liver": ["Liver", "hepar*"], "kidneys": "Kidney?"}},
        "models": {"product": {"predictions": "/p/{case}"}},
    }
    config = configuration.resolve(copy.deepcopy(given), defaults, schema)
    named = {"liver": ["liver", "Liver", "hepar*"], "kidneys": ["kidneys", "Kidney?"]}
    for pattern in ("/p/{case}.dcm", "/p/{case}.SEG.nrrd", "/p/{case}"):
        assert held(config, pattern) == named
    assert held(config, "/p/{case}.hdr") == held(config, "/p/{case}.nii.gz") == {"liver": [1], "kidneys": [2]}


def test_an_organ_without_a_label_is_missed_and_one_that_is_not_offered_is_not_scored(resolve):
    config = resolve({"predictions": "/p/{case}.nii.gz", "labels": {"liver": 5}})
    assert elsewhere.unlabelled("product", config) == ["kidneys"]
    assert kinds.partial(config) == {}
    assert "no label for kidneys" in kinds.of("product", config).words("product", config)
    config = resolve({"predictions": "/p/{case}.nii.gz", "labels": {"liver": 5}, "offers": ["liver"]})
    assert elsewhere.unlabelled("product", config) == []
    assert kinds.partial(config) == {"product": ["liver"]}
    assert "It offers liver only" in kinds.of("product", config).words("product", config)


def test_another_human_is_named(resolve):
    config = resolve({"predictions": "/p/{case}.nii.gz", "observer": True})
    assert kinds.observers(config) == ["product"]
    assert "another observer" in kinds.of("product", config).words("product", config)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"predictions": "/p/x.nii.gz"}, "does not say where {case} stands"),
        ({"predictions": "/p/{case}_{fold}.nii.gz"}, "has {fold}; only {case} and {organ} may stand in braces"),
        ({"predictions": "/p/{case}", "labels": {"livr": 5}}, "labels: livr is not in dataset.organs; did you mean"),
        ({"predictions": "/p/{case}", "offers": ["spleen"]}, "offers: spleen is not in dataset.organs"),
        ({"predictions": "/p/{case}", "labels": {"liver": 5, "kidneys": 5}}, "5 stands for both liver and kidneys"),
        (
            {"predictions": "/p/{case}.mha", "labels": {"liver": "liver"}},
            "give label values, or put {organ} into the path",
        ),
        (
            {"predictions": "/p/{case}.dcm", "labels": {"liver": 5}},
            "5; structures in /p/{case}.dcm have names",
        ),
        ({"predictions": "/p/{case}.seg.nrrd", "labels": {"liver": 5}}, "{case}.seg.nrrd have names, so give these"),
        ({"predictions": "/p/{case}", "labels": {"liver": ["a", 5]}}, "liver is 5; structures in /p/{case} have names"),
        (
            {"predictions": "/p/{case}.dcm", "labels": {"liver": "a", "kidneys": "a"}},
            "a stands for both liver and kid",
        ),
        ({"command": "x {image} {output}", "labels": {"liver": "liver"}}, "liver is liver; give label values"),
        (
            {"command": "x {image} {output}", "output": "{output}/a.dcm", "labels": {"liver": "liver"}},
            "liver is liver; give label values",
        ),
        ({"predictions": "/p/{case}/{organ}", "labels": {"liver": 5}}, "labels: liver is 5; give names of files"),
        ({"predictions": "/p/{case}", "steps": 3}, "steps does not go with predictions"),
        ({"predictions": "/p/{case}", "labels": {"liver": 0}}, "models.product.labels"),
        ({"command": "x {image}"}, "command: does not say where {output} stands"),
        ({"command": "x '{image}' {output}"}, "is in quotes, which it gets anyway"),
        ({"command": "x {image} {output}", "output": "/tmp/{case}"}, "does not begin with {output}"),
        ({"command": "x {image} {output}", "observer": True}, "observer does not go with command"),
    ],
)
def test_what_cannot_be_is_refused(resolve, entry, message):
    with pytest.raises(InputError) as caught:
        resolve(entry)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_is_no_member_of_an_ensemble(resolve):
    with pytest.raises(InputError, match="product is no network that this study trains"):
        resolve({"predictions": "/p/{case}"}, both={"ensemble": ["product"]})


def test_the_file_of_a_command_is_what_it_writes(resolve):
    config = resolve({"command": "x {image} {output}", "output": "{output}/{organ}.nii.gz"})
    assert kinds.predicted_by("segment", config) == ["product"]
    files = elsewhere.files("product", config, "{output}/{organ}.nii.gz", output="/t/out", case="7")
    assert list(files) == ["/t/out/liver.nii.gz", "/t/out/kidneys.nii.gz"]
    assert Path(next(iter(files))).suffix == ".gz"
