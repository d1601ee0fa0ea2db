"""A whole study with planned doses: measured in Gy, told where there is none, measured again where one is edited."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from rtdoses import write_rtdose
from smoke import checkout, copy_of, jobs_to_run, snakemake

from organbench.evaluation import registry

STUDY = ("--configfile", "config/dosed.yaml")
SHAPE, SPACING, ORIGIN = (10, 24, 20), (3.0, 2.0, 5.0), (-30.0, 12.5, 40.0)  # z y x; x y z
CASES = ["a", "b", "c", "d", "e"]  # all but the last two are tested; b has an RTDOSE in a folder, and c no dose
ORGANS = {"liver": 1, "cord": 2}


def labels(shift=0):
    """A liver, and a cord that goes through the whole scan, moved along x."""
    array = np.zeros(SHAPE, np.uint8)
    array[2:8, 4:16, 2 + shift : 10 + shift] = 1
    array[:, 18:21, 12 + shift : 15 + shift] = 2
    return array


def planned(planes=SHAPE[0]):
    """1 Gy more per voxel along x, and less of it above."""
    z, _, x = np.indices((planes, *SHAPE[1:]))
    return (10.0 + x - 0.5 * z).astype(np.float32)


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    sitk.WriteImage(image, str(path))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of two segmenters that are made elsewhere, run to its tables and figures."""
    folder = checkout(tmp_path_factory.mktemp("dosed"))
    rng = np.random.default_rng(0)
    for case in CASES:
        write(folder / f"data/{case}/ct.nii.gz", rng.normal(0, 100, SHAPE).astype(np.int16))
        write(folder / f"data/{case}/labels.nii.gz", labels())
        write(folder / f"data/{case}/right.nii.gz", labels(2))
        write(folder / f"data/{case}/left.nii.gz", labels(-1))
    for case in ("a", "d", "e"):
        write(folder / f"data/{case}/dose/dose.nii.gz", planned())
    (folder / "data/b/dose").mkdir()  # an RTDOSE that does not reach up to the cord's end
    write_rtdose(folder / "data/b/dose/RD.1", planned(8), spacing=SPACING, origin=ORIGIN)
    write_rtdose(folder / "data/b/dose/RD.2", planned(8), DoseSummationType="BEAM")
    roles = "".join(f"{case},0,{'test' if case in 'abc' else 'train'}\n" for case in CASES)
    (folder / "split.csv").write_text(f"case,fold,role\n{roles}")
    config = {
        "study": "dosed",
        "dataset": {
            "source": "nifti",
            "root": "data",
            "image": "{case}/ct.nii.gz",
            "label": "{case}/labels.nii.gz",
            "dose": "{case}/dose",
            "organs": ORGANS,
        },
        "split": {"method": "file", "file": "split.csv"},
        "models": {name: {"predictions": f"data/{{case}}/{name}.nii.gz"} for name in ("right", "left")},
        "preprocessing": {"spacing": [None, None, None]},
    }
    (folder / "config/dosed.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    config["study"], config["dataset"]["dose"] = "plain", None
    (folder / "config/plain.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    code, output = snakemake(folder, *STUDY)
    assert code == 0, output[-3000:]
    return folder


def per_case(folder, study="dosed"):
    return pd.read_csv(folder / f"results/{study}/tables/per_case.csv").set_index(["model", "case", "organ"])


def test_contours_are_measured_in_gray(study):
    rows = per_case(study)
    inside = planned()[labels() == 1].mean(dtype=float)
    for case in ("a", "b"):
        assert rows.loc[("right", case, "liver"), "reference_dmean_gy"] == pytest.approx(inside, abs=1e-5)
        assert rows.loc[("right", case, "liver"), "dmean_error"] == pytest.approx(2, abs=1e-5)
        assert rows.loc[("left", case, "liver"), "dmean_error"] == pytest.approx(-1, abs=1e-5)
    comparison = pd.read_csv(study / "results/dosed/tables/comparison.csv").set_index(["metric", "organ"])
    assert comparison.loc[("dmean_error", "liver"), "mean_difference"] == pytest.approx(1, abs=1e-5)  # of sizes
    assert comparison.loc[("dmean_error", "liver"), "margin"] == 1
    assert "Gy of mean dose" in comparison.loc[("dmean_error", "liver"), "words"]
    assert {path.name for path in (study / "results/dosed/figures").glob("d*.png")} == {
        *("dice_by_organ.png", "dice_by_volume.png", "dice_by_spacing.png", "dataset.png"),
        *("dmean_error_by_organ.png", "dmax_error_by_organ.png", "dose_against_dice.png"),
    }


def test_what_no_dose_covers_is_told_and_not_scored(study):
    rows = per_case(study)
    dosed = [name for name, metric in registry.MEASURED.items() if metric.dosed]
    for case, organ in (("b", "cord"), ("c", "liver"), ("c", "cord")):
        assert rows.loc[("right", case, organ), dosed].isna().all()
        assert rows.loc[("right", case, organ), "dice"] > 0
    words = pd.read_csv(study / "results/dosed/tables/warnings.csv")["words"].tolist()
    assert words == [
        "cord: no planned dose covers it in case b, c, not scored in Gy there",
        "liver: no planned dose covers it in case c, not scored in Gy there",
    ]
    assert words[0] in (study / "results/dosed/methods.md").read_text()


def test_a_study_without_doses_has_the_same_table_without_their_columns(study):
    code, output = snakemake(study, "--configfile", "config/plain.yaml")
    assert code == 0, output[-3000:]
    plain, dosed = (study / f"results/{name}/tables/per_case.csv" for name in ("plain", "dosed"))
    columns = [name for name, metric in registry.MEASURED.items() if metric.dosed]
    kept = pd.read_csv(dosed, dtype=str, keep_default_na=False).drop(columns=columns)
    assert plain.read_text() == kept.to_csv(index=False)
    assert not list((study / "results/plain/figures").glob("*dose*"))
    assert not list((study / "results/plain/figures").glob("*error*"))
    assert "dose" not in (study / "results/plain/methods.md").read_text()


def test_an_edited_dose_is_measured_again_and_nothing_is_prepared_again(study, tmp_path):
    folder = copy_of(study, tmp_path / "study")
    assert jobs_to_run(folder, *STUDY) == {}
    write(folder / "data/a/dose/dose.nii.gz", planned() + 5)
    jobs = jobs_to_run(folder, *STUDY)
    assert jobs["evaluate"] == 2
    assert not {"convert", "collect", "examine"} & jobs.keys()
    code, output = snakemake(folder, "results/dosed/tables/per_case.csv", *STUDY)
    assert code == 0, output[-3000:]
    rows, before = per_case(folder), per_case(study)
    assert rows.loc[("left", "a", "liver"), "reference_dmean_gy"] == pytest.approx(
        before.loc[("left", "a", "liver"), "reference_dmean_gy"] + 5, abs=1e-4
    )
    write(folder / "data/c/dose/dose.nii.gz", planned())  # one that was not there
    assert jobs_to_run(folder, *STUDY)["evaluate"] == 2


def test_check_data_tells_of_every_dose(study, tmp_path):
    folder = copy_of(study, tmp_path / "study")
    code, output = snakemake(folder, "check_data", *STUDY)
    assert code == 0, output[-3000:]
    for line in (
        "dose: 4 of 5 cases have one, the highest of each 29.0 to 29.0 Gy",
        "note: the dose of case b does not cover cord, which is not scored in Gy",
        "note: case c has no dose, and is not scored in Gy",
    ):
        assert line in output
    write(folder / "data/a/dose/dose.nii.gz", 100 * planned())
    (folder / "data/b/dose/RD.1").write_bytes((folder / "data/b/dose/RD.1").read_bytes()[:1500])
    code, output = snakemake(folder, "check_data", *STUDY)
    assert code == 1
    assert "error: data/a/dose/dose.nii.gz: holds doses from 550 to 2900; give Gy (100 cGy are 1 Gy)" in output
    assert "error: data/b/dose/RD.1: " in output


def test_what_the_doses_are_like_is_told_in_the_ordinary_run(study):
    found = pd.read_csv(study / "results/dosed/tables/doses.csv", keep_default_na=False).set_index("case")
    assert found["uncovered"].to_dict() == {"a": "", "b": "cord", "c": ""}  # of the cases that are tested
    assert [float(highest) for highest in found["highest_gy"][["a", "b"]]] == [29, pytest.approx(29, abs=1e-4)]
    assert found["highest_gy"]["c"] == ""
    log = (study / "results/dosed/logs/check_doses.log").read_text()
    assert "note: the dose of case b does not cover cord, which is not scored in Gy" in log
    assert "note: case c has no dose, and is not scored in Gy" in log


def test_a_bad_dose_is_refused_before_anything_is_trained(study, tmp_path):
    folder = copy_of(study, tmp_path / "study")
    own = yaml.safe_load((folder / "config/dosed.yaml").read_text())
    own["study"], own["models"] = "trained", {"unet": {"network": "unet", "features": [4, 8]}}
    own["training"] = {"steps": 2, "batch_size": 1, "patch": [16, 16], "warmup": 1}
    (folder / "config/dosed.yaml").write_text(yaml.safe_dump(own, sort_keys=False))
    write(folder / "data/a/dose/dose.nii.gz", 100 * planned())
    (folder / "data/b/dose/RD.1").write_bytes((folder / "data/b/dose/RD.1").read_bytes()[:1500])
    write(folder / "data/d/dose/dose.nii.gz", 100 * planned())  # of a case that is not tested, and so not scored in Gy
    code, output = snakemake(folder, *STUDY)
    assert code == 1
    assert "error: data/a/dose/dose.nii.gz: holds doses from 550 to 2900; give Gy (100 cGy are 1 Gy)" in output
    assert "error: data/b/dose/RD.1: " in output
    assert "error: 2 of 3 planned doses cannot be used; mend their files, or move them away: without" in output
    assert "data/d/dose" not in output
    assert not list(folder.glob("results/trained/runs/unet/*/weights.pt"))
    assert not (folder / "results/trained/logs/train").exists()
    assert jobs_to_run(folder, *STUDY)["train"] == 1


def test_a_pattern_that_no_dose_matches_is_told_at_once(study, tmp_path):
    folder = copy_of(study, tmp_path / "study")
    own = yaml.safe_load((folder / "config/dosed.yaml").read_text())
    own["dataset"]["dose"] = "{case}/doses"
    (folder / "config/dosed.yaml").write_text(yaml.safe_dump(own, sort_keys=False))
    code, output = snakemake(folder, *STUDY, "-n")
    assert code == 1
    assert "config, dataset.dose: no case has one, the first would be data/a/doses; correct the pattern" in output
