"""What was fixed before results were seen is written down once, and every later change is told."""

import json

import pytest
from described import section, written

from organbench.core.errors import InputError
from organbench.study import configuration, protocol

ORGANS = ["liver", "left_lung"]
EVALUATION = {"decides": "dice", "margin": {"dice": 0.01, "nsd": 0}, "tolerance_mm": 2.0}


def values(**changes):
    return protocol.Values.of(EVALUATION | changes, ORGANS)


@pytest.fixture
def told(defaults, schema):
    """What methods.md says of a protocol where the study has some values now."""
    config = configuration.resolve({"dataset": {"organs": {"liver": 1, "left_lung": 2}}}, defaults, schema)

    def text(found, **changes):
        evaluation = config["evaluation"] | EVALUATION | changes
        return section("Protocol", written(config | {"evaluation": evaluation}, fixed=found))

    return text


def predict(study, run="unet/fold0-seed0"):
    path = study / "runs" / run / "predictions" / "a.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.fixture
def fixed(tmp_path):
    """A study that has predicted under a protocol of 27 November."""
    protocol.register(tmp_path, values())
    path = tmp_path / protocol.FILE
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"written": "2026-11-27"}))
    predict(tmp_path)
    return tmp_path


def test_it_is_written_before_results_and_stays(tmp_path):
    first = protocol.register(tmp_path, values())
    text = (tmp_path / protocol.FILE).read_text()
    assert not first.results_before
    assert first.values.tolerance_mm == {"left_lung": 2.0, "liver": 2.0}
    assert first.values.margin == {"dice": 0.01}, "a margin of 0 is none"
    predict(tmp_path)
    again = protocol.register(tmp_path, values(margin={"dice": 0.5}))
    assert again == first
    assert (tmp_path / protocol.FILE).read_text() == text


@pytest.mark.parametrize("file", ["runs/a/fold0-seed0/predictions/1.nii.gz", "tables/per_case.csv"])
def test_results_that_were_there_before_are_told(tmp_path, told, file):
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).touch()
    found = protocol.register(tmp_path, values())
    assert found.results_before
    assert "only after test cases had been predicted" in told(found)
    later = told(found, decides="nsd")
    assert "It had itself been written down after test cases had been predicted." in later
    assert f"The deciding metric was dice when it was written down ({found.written}) and is nsd now." in later


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"margin": {"dice": 0.02}}, "The margin of dice was 0.01 {when} and is 0.02 now."),
        ({"margin": {}}, "The margin of dice was 0.01 {when} and is not set now."),
        ({"margin": {"dice": 0.01, "hd95": 1}}, "The margin of hd95 was not set {when} and is 1 now."),
        ({"decides": "nsd"}, "The deciding metric was dice {when} and is nsd now."),
        (
            {"tolerance_mm": {"liver": 2, "left_lung": 3}},
            "The tolerance of left lung was 2 mm {when} and is 3 mm now.",
        ),
    ],
)
def test_a_change_is_told_and_vanishes_when_it_is_undone(fixed, told, change, sentence):
    now = values(**change)
    found = protocol.register(fixed, now)
    expected = sentence.format(when="when the first test case was predicted (2026-11-27)")
    assert protocol.changes(found, now) == [expected]
    assert told(found, **change).endswith(expected)
    back = protocol.register(fixed, values())
    assert protocol.changes(back, values()) == []
    assert "were fixed before the first test case was predicted" in told(back)
    assert "2026" not in told(back), "or methods.md would not repeat"


def test_one_tolerance_is_that_of_every_organ(fixed):
    now = values(tolerance_mm={"liver": 2, "left_lung": 2})
    assert protocol.changes(protocol.register(fixed, now), now) == []


def test_a_new_organ_has_no_tolerance_that_was_fixed(fixed):
    now = protocol.Values.of(EVALUATION, [*ORGANS, "bone"])
    (sentence,) = protocol.changes(protocol.register(fixed, now), now)
    assert sentence.startswith("The tolerance of bone was not set when")


def test_before_anything_is_predicted_the_text_is_the_same_as_after(fixed, told):
    assert told(None) == told(protocol.register(fixed, values()))


def test_methods_that_come_before_the_first_prediction_fix_nothing(tmp_path):
    assert protocol.find(tmp_path, values()) is None
    assert not (tmp_path / protocol.FILE).exists()
    first = protocol.register(tmp_path, values())
    assert protocol.find(tmp_path, values(decides="nsd")) == first


def test_a_study_from_before_there_were_protocols_gets_one(tmp_path):
    predict(tmp_path)
    found = protocol.find(tmp_path, values())
    assert found.results_before
    assert (tmp_path / protocol.FILE).exists()


def test_an_edited_file_is_told(fixed, told):
    path = fixed / protocol.FILE
    path.write_text(path.read_text().replace('"dice": 0.01', '"dice": 0.02'))
    found = protocol.register(fixed, values(margin={"dice": 0.02}))
    assert "was edited afterwards" in told(found, margin={"dice": 0.02})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"decides": "dice"}'])
def test_a_damaged_file_is_refused(fixed, text):
    (fixed / protocol.FILE).write_text(text)
    with pytest.raises(InputError, match=r"protocol\.json: damaged"):
        protocol.register(fixed, values())
