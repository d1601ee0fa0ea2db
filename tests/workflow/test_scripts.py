"""Scripts hand what a job is given to the library: who is the reference, and which prediction is whose."""

import base64
import gzip
import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from rtdoses import write_rtdose
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, Wildcards

from organbench.data import conversion
from organbench.reporting.figures import overlays, style

ROOT = Path(__file__).parents[2]
SHAPE = (6, 20, 24)
ORGANS = {"liver": [1], "lungs": [3]}


@pytest.fixture
def run(tmp_path):
    """Run a script as Snakemake does, with files and settings by name."""

    def started(script, *, given, made, params, wildcards=None):
        job = SimpleNamespace(
            input=InputFiles(fromdict=given),
            output=OutputFiles(fromdict=made),
            params=Params(fromdict=params),
            wildcards=Wildcards(fromdict=wildcards or {}),
            log=Log([str(tmp_path / "job.log")]),
            threads=1,
        )
        return runpy.run_path(str(ROOT / "workflow" / "scripts" / script), init_globals={"snakemake": job})

    return started


def labels(*boxes):
    """Label maps (z y x) with a box of y and x for the liver, and the same lungs in all of them."""
    found = []
    for y, x in boxes:
        array = np.zeros(SHAPE, np.uint8)
        array[1:5, 2:y, 2:x] = 1
        array[1:5, 16:19, 16:20] = 3
        found.append(array)
    return found


@pytest.fixture
def case(write_image):
    """A case in which the first model finds too little of the liver and the second too much."""
    reference, less, more = labels((10, 10), (5, 10), (14, 14))
    arrays = {"reference": reference, "less": less, "more": more}
    paths = {name: str(write_image(f"{name}/a.nii.gz", array)) for name, array in arrays.items()}
    return arrays, paths | {"volume": str(write_image("volume.nii.gz", np.zeros(SHAPE, np.int16)))}


PARAMS = {"organs": ORGANS, "ignored": [], "tolerance_mm": 1.0, "scored": list(ORGANS), "dose": None, "unannotated": []}


def test_evaluate_takes_the_labels_for_the_reference(run, case, tmp_path):
    _, paths = case
    run(
        "evaluate.py",
        given={"labels": paths["reference"], "prediction": paths["less"], "dose": []},
        made={"table": str(tmp_path / "a.csv")},
        params=PARAMS,
        wildcards={"model": "less", "fold": "0", "seed": "1", "case": "a"},
    )
    liver = pd.read_csv(tmp_path / "a.csv").set_index("organ").loc["liver"]
    assert liver[["model", "fold", "seed", "case"]].tolist() == ["less", 0, 1, "a"]
    assert liver["precision"] == 1
    assert liver["recall"] == pytest.approx(3 / 8)
    assert liver["volume_error"] == pytest.approx(-5 / 8)
    assert liver["reference_ml"] > liver["predicted_ml"]


def test_an_organ_that_was_not_annotated_is_not_scored_and_spoils_no_score_of_the_whole_case(
    run, case, tmp_path, write_image
):
    (_, paths), tables = case, []
    reference = str(write_image("lungs.nii.gz", *labels((2, 2))))  # without a liver, which the model finds
    for unannotated in ([], [1]):
        run(
            "evaluate.py",
            given={"labels": reference, "prediction": paths["more"], "dose": []},
            made={"table": str(tmp_path / "a.csv")},
            params=PARAMS | {"unannotated": unannotated},
            wildcards={"model": "more", "fold": "0", "seed": "1", "case": "a"},
        )
        tables.append(pd.read_csv(tmp_path / "a.csv").set_index("organ"))
    assert list(tables[0].index) == ["liver", "lungs"]
    assert list(tables[1].index) == ["lungs"]
    assert tables[0].loc["lungs", "legacy"] < 0.9
    assert tables[1].loc["lungs", "legacy"] == pytest.approx(1)
    columns = tables[0].columns.drop("legacy")
    pd.testing.assert_series_equal(tables[1].loc["lungs", columns], tables[0].loc["lungs", columns])


@pytest.fixture
def dosed(case, write_image, tmp_path):
    """A case whose CT was DICOM, with an RTDOSE in a frame of reference."""
    volume = write_image("ct.nii.gz", np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16))
    *_, info = conversion.prepare("a", volume, case[1]["reference"], organs=ORGANS, spacing=[None] * 3)
    info["series"] = {"study": "1", "uid": "2", "frame_of_reference": "1.2"}
    (tmp_path / "case.json").write_text(json.dumps(info))

    def given(frame):
        dose = str(write_rtdose(tmp_path / f"{frame}.dcm", np.full(SHAPE, 20.0), spacing=(1.0, 1.0, 1.0), frame=frame))
        return {"labels": case[1]["reference"], "dose": [dose], "case": str(tmp_path / "case.json")}

    return given


def test_a_dose_in_another_frame_of_reference_than_the_scans_is_told_by_what_looks_at_it(run, dosed, tmp_path):
    made, params = {"found": str(tmp_path / "found.json")}, {"organs": ORGANS, "ignored": []}
    run("examine_dose.py", given=dosed("1.2"), made=made, params=params)
    assert json.loads((tmp_path / "found.json").read_text()) == {"highest": pytest.approx(20), "uncovered": []}
    run("examine_dose.py", given=dosed("9.9"), made=made, params=params)
    bad = json.loads((tmp_path / "found.json").read_text())["bad"]
    assert bad == f"{tmp_path}/9.9.dcm: lies in another frame of reference than the scan; export the dose on this scan"
    excluded = {"case": "a", "organs": dict.fromkeys(ORGANS), "bad": "no CT"}
    (tmp_path / "case.json").write_text(json.dumps(excluded))
    run("examine_dose.py", given=dosed("9.9") | {"case": str(tmp_path / "case.json")}, made=made, params=params)
    assert json.loads((tmp_path / "found.json").read_text()) == {"excluded": "no CT"}


def test_what_measures_a_prediction_refuses_a_dose_in_another_frame_of_reference(run, case, dosed, tmp_path):
    job = {
        "made": {"table": str(tmp_path / "a.csv")},
        "params": {
            "organs": ORGANS,
            "ignored": [],
            "tolerance_mm": 1.0,
            "scored": list(ORGANS),
            "dose": "a",
            "unannotated": [],
        },
        "wildcards": {"model": "less", "fold": "0", "seed": "1", "case": "a"},
    }
    run("evaluate.py", given=dosed("1.2") | {"prediction": case[1]["less"]}, **job)
    assert pd.read_csv(tmp_path / "a.csv").set_index("organ").loc["liver", "reference_dmean_gy"] == pytest.approx(20)
    with pytest.raises(SystemExit):
        run("evaluate.py", given=dosed("9.9") | {"prediction": case[1]["less"]}, **job)
    assert "9.9.dcm: lies in another frame of reference than the scan" in (tmp_path / "job.log").read_text()


def test_the_viewers_case_gives_every_model_its_own_prediction(run, case, tmp_path):
    arrays, paths = case
    run(
        "viewer_case.py",
        given={"volume": paths["volume"], "labels": paths["reference"], "predictions": [paths["less"], paths["more"]]},
        made={"script": str(tmp_path / "a.js"), "agreement": str(tmp_path / "a.csv")},
        params={"organs": ORGANS, "ignored": [], "models": ["less", "more"], "partial": {}},
        wildcards={"case": "a"},
    )
    data = json.loads((tmp_path / "a.js").read_text().removeprefix("showCase(").removesuffix(");\n"))
    for name, text in {**data["predictions"], "reference": data["reference"]}.items():
        (tmp_path / "shown.nii").write_bytes(gzip.decompress(base64.b64decode(text)))
        shown = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "shown.nii"))
        assert ((shown == 1).sum(), (shown == 2).sum()) == ((arrays[name] == 1).sum(), (arrays[name] == 3).sum())


def test_overlays_show_every_model_with_its_own_prediction(run, case, tmp_path, monkeypatch):
    arrays, paths = case
    dice = {"less": 0.55, "more": 0.62}
    rows = [{"rank": "best", "case": "a", "model": model, "dice": dice[model]} for model in ("more", "less")]
    pd.DataFrame(rows).assign(disagreement=0.5).to_csv(tmp_path / "examples.csv", index=False)
    drawn = []
    monkeypatch.setattr(overlays, "overlays", lambda panels, organs: drawn.extend(panels))
    monkeypatch.setattr(style, "save", lambda figure, *files: None)
    run(
        "figure_overlays.py",
        given={
            "examples": str(tmp_path / "examples.csv"),
            "volumes": [paths["volume"]],
            "labels": [paths["reference"]],
            "predictions": [paths["less"], paths["more"]],
        },
        made={"png": "overlays.png", "svg": "overlays.svg"},
        params={
            "organs": ORGANS,
            "ignored": [],
            "prediction": f"{tmp_path}/{{model}}/{{case}}.nii.gz",
            "folds": {"a": 0},
            "seed": 0,
        },
    )
    ((axial, _),) = drawn
    assert axial.notes == {model: f"Dice {value:.2f}" for model, value in dice.items()}
    assert (axial.reference == 1).sum() == (arrays["reference"][2] == 1).sum()
    for model, shown in axial.predictions.items():
        assert (shown == 1).sum() == (arrays[model][2] == 1).sum(), model


def test_figures_are_drawn_from_their_tables_and_settings(run, tmp_path):
    histories = []
    for model in ("less", "more"):
        path = tmp_path / f"results/s/runs/{model}/fold0-seed0/history.csv"
        path.parent.mkdir(parents=True)
        path.write_text("step,loss,dice_liver\n1,1.0,\n2,0.5,0.6\n")
        histories.append(str(path))
    made = {f"learning_curves_{suffix}": str(tmp_path / f"drawn.{suffix}") for suffix in ("png", "svg")}
    params = {"file": "learning_curves", "settings": {"models": ["less", "more"]}}
    run("figure.py", given={"histories": histories}, made=made, params=params)
    assert all((tmp_path / f"drawn.{suffix}").stat().st_size > 5000 for suffix in ("png", "svg"))


@pytest.mark.parametrize(("script", "given"), [("verify.py", "runs"), ("learning_curve_table.py", "metrics")])
def test_of_a_study_without_networks_it_is_said_that_there_is_nothing_to_do(run, tmp_path, script, given):
    with pytest.raises(SystemExit):
        run(script, given={given: []}, made={"table": str(tmp_path / "table.csv")}, params={})
    assert "error: config, models: no network is trained by this study" in (tmp_path / "job.log").read_text()
