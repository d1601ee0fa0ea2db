"""OpenKBP's patients: their format is read to the voxel, and they are fetched where they are not there, never else."""

import csv
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from conftest import ROOT
from serving import serving

from organbench.core.errors import InputError
from organbench.data import finding, grids, images
from organbench.data.grids import Grid
from organbench.data.sources import downloads
from organbench.data.sources.openkbp import fetching as openkbp
from organbench.data.sources.openkbp.patients import patients

CORNER = (30, 38, 127)  # of a stored volume's first voxel in the source's cube (posterior, left, inferior)
CASES = ["1", "2", "4", "9"]
ADDRESS = "provided-data/train-pats"


def encode(volume, labels, corner=CORNER, dose=None):
    """A patient as the files of the source, by name; voxels that are not known, or without dose, are not listed."""

    def listed(mask):
        z, y, x = np.nonzero(mask)
        flat = np.ravel_multi_index((y + corner[0], x + corner[1], corner[2] - z), openkbp.CUBE)
        order = np.argsort(flat)
        return flat[order], (z[order], y[order], x[order])

    hu, organs = (sitk.GetArrayFromImage(image) for image in (volume, labels))
    index, where = listed(hu > -1024)
    rows = [f"{i},{value + 1024.0}" for i, value in zip(index, hu[where], strict=True)]
    files = {"ct.csv": rows, "Larynx.csv": ["5,"]}  # a contour that the study knows nothing of
    for name, value in openkbp.CONTOURS.items():
        files[f"{name}.csv"] = [f"{i}," for i in listed(organs == value)[0]]
    if dose is not None:
        gray = sitk.GetArrayFromImage(dose)
        index, where = listed(gray > 0)
        files["dose.csv"] = [f"{i},{value:.3f}" for i, value in zip(index, gray[where], strict=True)]
    files = {name: "\n".join([",data", *rows, ""]).encode() for name, rows in files.items()}
    x, y, z = volume.GetSpacing()
    return files | {"voxel_dimensions.csv": "".join(f"{round(mm, 3):.18e}\n" for mm in (y, x, z)).encode()}


def patient(seed):
    """A small patient with all contours, as the source's are: known in a body only, with air around it."""
    rng = np.random.default_rng(seed)
    hu = np.full((20, 26, 30), -1024, np.int16)
    hu[2:-2, 2:-2, 2:-2] = rng.normal(0, 50, (16, 22, 26))
    organs = np.zeros(hu.shape, np.uint8)
    for value in openkbp.CONTOURS.values():
        organs[4:16, 4:22, 5 * value - 1 : 5 * value + 2] = value
    hu[organs > 0] += 100 * organs[organs > 0]
    grid = Grid((30, 26, 20), (4.0, 4.0, 2.5), (-60.0, -52.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    return grids.to_image(hu, grid), grids.to_image(organs, grid)


def planned(seed):
    """The dose of that patient, in thousandths of a Gy as the source has it."""
    volume, labels = patient(seed)
    z, y, x = np.indices(labels.GetSize()[::-1])
    dose = np.where((x > 3) & (y < 20), 70 - 0.123 * seed - 0.911 * x - z, 0).round(3).clip(0).astype(np.float32)
    return grids.to_image(dose, Grid.of(volume))


def same(image, other):
    """Whether two images agree in every voxel, and in where they are."""
    grids = [Grid.of(one) for one in (image, other)]
    return (
        image.GetPixelID() == other.GetPixelID()
        and grids[0].size == grids[1].size
        and np.allclose(grids[0].spacing, grids[1].spacing, rtol=0, atol=1e-6)
        and np.allclose(grids[0].origin, grids[1].origin, rtol=0, atol=1e-4)
        and grids[0].direction == grids[1].direction
        and np.array_equal(sitk.GetArrayViewFromImage(image), sitk.GetArrayViewFromImage(other))
    )


@pytest.fixture
def write_folder(tmp_path):
    """Write a patient's files into a folder, some of them changed."""

    def write(**changed):
        for name, content in (encode(*patient(1)) | changed).items():
            (tmp_path / name).write_bytes(content)
        return tmp_path

    return write


@pytest.fixture
def server():
    """A server with the source's layout."""
    with serving() as running:
        for case in CASES:
            for name, content in encode(*patient(int(case)), dose=planned(int(case))).items():
                running.files[f"/{ADDRESS}/pt_{case}/{name}"] = content
        yield running


# --- the format


def test_a_patient_is_read_to_the_voxel(write_folder):
    assert all(same(*pair) for pair in zip(openkbp.read(write_folder()), patient(1), strict=True))


def test_a_patient_at_the_cubes_edge_is_cropped_there(write_folder):
    volume, labels = openkbp.read(write_folder(**{"ct.csv": b",data\n0,1024.0\n"}))
    assert volume.GetSize() == labels.GetSize() == (3, 3, 3)
    assert sitk.GetArrayViewFromImage(volume)[2, 0, 0] == 0  # the source's third axis points to inferior


@pytest.mark.parametrize("case", ["1", "16", "48", "65"])
def test_the_stored_patients_are_read_to_the_voxel(real_data, tmp_path, case):
    """Patient 65 goes from edge to edge of the source's cube."""
    stored = [sitk.ReadImage(real_data / f"openkbp/{kind}-{case}.nii.gz") for kind in ("volume", "labels")]
    for name, content in encode(*stored, (20, 0, 125) if case == "65" else CORNER).items():
        (tmp_path / name).write_bytes(content)
    assert all(same(*pair) for pair in zip(openkbp.read(tmp_path), stored, strict=True))


def test_the_list_has_the_stored_patients(real_data):
    there = {path.name[7:-7] for path in (real_data / "openkbp").glob("volume-*.nii.gz")}
    assert there == patients().keys()
    for case in ("1", "124"):
        listed = dict(patients()[case])
        dose = sitk.ReadImage(real_data / f"openkbp/dose-{case}.nii.gz")
        assert openkbp.moments_of(dose) == pytest.approx([*map(float, listed.pop("dose").split())], abs=1e-4)
        for kind, checksum in listed.items():
            assert openkbp.checksum(sitk.ReadImage(real_data / f"openkbp/{kind}-{case}.nii.gz")) == checksum


def test_a_checksum_tells_voxels_and_spacing_apart():
    volume, labels = patient(1)
    moved = sitk.Image(volume)
    moved.SetSpacing((4.0, 4.0, 2.501))
    assert len({openkbp.checksum(image) for image in (volume, labels, moved, patient(2)[0])}) == 4


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("ct.csv", b"<html>busy</html>", "is not a list of voxels|has no voxels"),
        ("ct.csv", b",data\nx,1.0\n", "is not a list of voxels"),
        ("ct.csv", b",data\n", "has no voxels"),
        ("ct.csv", b",data\n7,\n", "lists a voxel without its value"),
        ("Mandible.csv", b",data\n2097152,\n", "lists voxels outside the cube"),
        ("Mandible.csv", b",data\n-1,\n", "lists voxels outside the cube"),
        ("Mandible.csv", b"", "is not a list of voxels"),
        ("voxel_dimensions.csv", b"4.0\n4.0\n", "is not three numbers"),
        ("voxel_dimensions.csv", b"four\n", "is not three numbers"),
    ],
)
def test_a_file_of_another_format_is_named(write_folder, file, content, message):
    with pytest.raises(InputError, match=f"{file}: .*({message})"):
        openkbp.read(write_folder(**{file: content}))


def test_a_dose_is_read_to_the_voxel(tmp_path):
    for name, content in encode(*patient(1), dose=planned(1)).items():
        (tmp_path / name).write_bytes(content)
    assert same(openkbp.read_dose(tmp_path), planned(1))


def test_moments_tell_patients_and_places_apart_but_not_rounding():
    def differ(dose):
        return np.abs(np.subtract(openkbp.moments_of(dose), openkbp.moments_of(planned(1)))).max() > openkbp.MOMENTS

    def changed(change):
        return grids.to_image(change(sitk.GetArrayFromImage(planned(1))), Grid.of(planned(1)))

    assert not differ(changed(lambda voxels: voxels.round(2)))
    assert differ(planned(2))
    for axis in range(3):
        assert differ(changed(lambda voxels, axis=axis: np.flip(voxels, axis)))
        assert differ(changed(lambda voxels, axis=axis: np.roll(voxels, 1, axis)))


# --- fetching a patient


@pytest.fixture
def fetch(server, tmp_path, monkeypatch):
    """Fetch patient 1; gives the volume and the labels."""
    monkeypatch.setattr(downloads, "BACKOFF", 0.0)
    monkeypatch.setattr(downloads, "LONGEST_WAIT", 0)

    def run(address=None):
        paths = [tmp_path / f"{kind}-1.nii.gz" for kind in ("volume", "labels")]
        checksums = dict(zip(("volume", "labels"), map(openkbp.checksum, patient(1)), strict=True))
        address = address or f"{server.address}/{ADDRESS}"
        openkbp.fetch("1", address, tmp_path / ".fetching/1", *paths, checksums=checksums)
        return [sitk.ReadImage(path) for path in paths]

    return run


@pytest.mark.parametrize("faults", [[], ["break"], [503], ["more"], ["less"], ["damage"], ["break", "damage"]], ids=str)
def test_a_patient_is_fetched(server, fetch, tmp_path, faults):
    server.faults[f"/{ADDRESS}/pt_1/ct.csv"].extend(faults)
    assert all(same(*pair) for pair in zip(fetch(), patient(1), strict=True))
    assert not list(tmp_path.glob(".fetching/*"))
    assert not [asked for asked, *_ in server.asked if asked.endswith("Larynx.csv")]


def test_another_patient_is_refused_after_a_second_try(server, fetch, tmp_path):
    server.files[f"/{ADDRESS}/pt_1/ct.csv"] = encode(*patient(2))["ct.csv"]
    with pytest.raises(InputError, match=r"pt_1: is not the patient that it should be \(its voxels are others\)"):
        fetch()
    assert server.times(f"/{ADDRESS}/pt_1/ct.csv") == 2
    assert not list(tmp_path.rglob("*.nii.gz"))


@pytest.fixture
def fetch_dose(server, tmp_path, monkeypatch):
    """Fetch the dose of patient 1 for a volume that is there."""
    monkeypatch.setattr(downloads, "BACKOFF", 0.0)

    def run(volume=None):
        paths = [tmp_path / f"{kind}-1.nii.gz" for kind in ("volume", "dose")]
        images.write(volume or patient(1)[0], paths[0])
        moments = openkbp.moments_of(planned(1))
        openkbp.fetch_dose("1", f"{server.address}/{ADDRESS}", tmp_path / ".fetching/dose-1", *paths, moments=moments)
        return sitk.ReadImage(paths[1])

    return run


@pytest.mark.parametrize("faults", [[], ["break"], ["damage"]], ids=str)
def test_a_dose_is_fetched(server, fetch_dose, tmp_path, faults):
    server.faults[f"/{ADDRESS}/pt_1/dose.csv"].extend(faults)
    assert same(fetch_dose(), planned(1))
    assert not list(tmp_path.glob(".fetching/*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encode(*patient(1), dose=planned(2))["dose.csv"], "its voxels are others"),
        (b",data\n7,\n", "dose.csv: lists a voxel without its value"),
        (b",data\n", "dose.csv: has no voxels"),
        (b"<html>busy</html>", "dose.csv: is not a list of voxels|dose.csv: has no voxels"),
    ],
)
def test_another_dose_is_refused(server, fetch_dose, tmp_path, content, message):
    server.files[f"/{ADDRESS}/pt_1/dose.csv"] = content
    with pytest.raises(InputError, match=rf"pt_1: is not the patient that it should be \(.*({message})"):
        fetch_dose()
    assert not list(tmp_path.glob("dose*"))


def test_the_dose_of_a_scan_that_is_not_the_sources_is_refused(fetch_dose, tmp_path):
    other = patient(1)[0]
    other.SetOrigin((0.0, 0.0, 0.0))
    with pytest.raises(InputError, match=r"dose.csv: its origin .* is not that of .*volume-1.nii.gz"):
        fetch_dose(other)
    assert not list(tmp_path.glob("dose*"))


# --- the whole workflow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the workflow that knows the small patients in place of the real ones."""
    folder = tmp_path_factory.mktemp("openkbp") / "checkout"
    for name in ("workflow", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "config.yaml", folder)
    with (folder / "workflow/scripts/organbench/data/sources/openkbp/patients.csv").open("w") as lines:
        table = csv.writer(lines)
        table.writerow(["case", "volume", "labels", "dose"])
        for case in CASES:
            moments = openkbp.moments_of(planned(int(case)))
            table.writerow([case, *map(openkbp.checksum, patient(int(case))), " ".join(map(str, moments))])
    return folder


@pytest.fixture
def snakemake(checkout, server, tmp_path):
    """Run a small study of OpenKBP in a folder of its own: exit status and output."""
    config = yaml.safe_load((ROOT / "config/openkbp.yaml").read_text())
    config |= {
        "dataset": {**config["dataset"], "root": "patients", "openkbp": {"address": f"{server.address}/{ADDRESS}"}},
        "split": {"method": "holdout", "test_fraction": 0.25, "validation_fraction": 0.0},
        "models": {"tiny": {"network": "unet", "features": [2, 4]}},
        "training": {"steps": 2, "batch_size": 2, "patch": [16, 16], "warmup": 1, "context": 0},
        "prediction": {},  # the study's own mirrors by the flips of its training
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))

    def run(*arguments):
        command = [sys.executable, "-m", "snakemake", "--snakefile", checkout / "workflow/Snakefile"]
        command += [*arguments, "--configfile", "study.yaml", "--resources", "gpu=0", "--cores", "4"]
        environment = os.environ | {"NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            list(map(str, command)), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_study_fetches_its_patients(snakemake, server, tmp_path):
    """Through a server that breaks off, lies and is busy; with four cores, but only two patients at a time."""
    server.pause = 0.1
    for path, fault in (("pt_1/ct", "break"), ("pt_2/ct", "less"), ("pt_4/Mandible", 503), ("pt_9/ct", "damage")):
        server.faults[f"/{ADDRESS}/{path}.csv"].append(fault)
    code, output = snakemake("results/openkbp/tables/per_case.csv")
    assert code == 0, output[-3000:]
    assert server.most == 2
    for case in CASES:
        stored = [sitk.ReadImage(tmp_path / f"patients/{kind}-{case}.nii.gz") for kind in ("volume", "labels")]
        assert all(same(*pair) for pair in zip(stored, patient(int(case)), strict=True))
    per_case = pd.read_csv(tmp_path / "results/openkbp/tables/per_case.csv", dtype={"case": str})
    assert len(per_case) == 5  # organs of one test case
    (case,) = per_case["case"].unique()
    assert [path.name for path in (tmp_path / "patients").glob("dose-*")] == [f"dose-{case}.nii.gz"]
    dose, labels = (sitk.GetArrayFromImage(image) for image in (planned(int(case)), patient(int(case))[1]))
    for row in per_case.itertuples():
        value = openkbp.CONTOURS[row.organ.title().replace("_", "")]
        assert row.reference_dmean_gy == pytest.approx(dose[labels == value].mean(dtype=float), abs=1e-3)

    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "patients").glob("*.nii.gz")}
    requests = len(server.asked)
    code, output = snakemake("results/openkbp/tables/per_case.csv", "--forceall", "--dry-run")
    assert code == 0, output[-3000:]
    assert "rule fetch" not in output
    code, output = snakemake("--delete-all-output")
    assert code == 0, output[-3000:]
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert len(server.asked) == requests


def test_jobs_ask_for_what_patients_need_before_these_are_there(snakemake):
    code, output = snakemake("results/openkbp/tables/per_case.csv", "--dry-run")
    assert code == 0, output[-3000:]
    found = re.findall(r"^rule (convert|train):.*?mem_mb=(\d+)", output, flags=re.M | re.S)
    asked = {rule: int(mb) for rule, mb in found}
    assert asked["convert"] <= 500
    assert asked["train"] < 1500


def test_what_a_user_has_put_there_is_neither_fetched_nor_touched(snakemake, server, tmp_path):
    (tmp_path / "patients").mkdir()
    for kind, image in zip(("volume", "labels"), patient(77), strict=True):
        images.write(image, tmp_path / f"patients/{kind}-4.nii.gz")
    before = {path: path.read_bytes() for path in (tmp_path / "patients").iterdir()}
    code, output = snakemake(*(f"results/openkbp/cases/{case}/case.json" for case in ("1", "4")), "--forceall")
    assert code == 0, output[-3000:]
    assert {path: path.read_bytes() for path in before} == before
    assert not [path for path, *_ in server.asked if "pt_4/" in path]
    assert sorted(path.name for path in (tmp_path / "patients").glob("volume-*")) == [
        "volume-1.nii.gz",
        "volume-4.nii.gz",
    ]


def test_a_server_that_fails_is_one_line(snakemake, server, tmp_path):
    del server.files[f"/{ADDRESS}/pt_1/ct.csv"]
    code, output = snakemake("results/openkbp/cases/1/case.json")
    assert code == 1
    assert f"error: {server.address}/{ADDRESS}/pt_1/ct.csv: the server answers 404 Not Found" in output
    assert not list(tmp_path.glob("patients/*.nii.gz"))


def test_half_a_patient_is_not_overwritten(tmp_path):
    dataset = {"root": str(tmp_path), "image": "volume-{case}.nii.gz", "label": "labels-{case}.nii.gz"}
    assert finding.absent(dataset, ["1", "2"]) == ["1", "2"]
    (tmp_path / "volume-1.nii.gz").touch()
    with pytest.raises(InputError, match=r"volume-1.nii.gz: labels-1.nii.gz is not there; add it, or move this one"):
        finding.absent(dataset, ["1", "2"])
    (tmp_path / ".fetching/1").mkdir(parents=True)  # it is ours: a fetching was killed between the two
    assert finding.absent(dataset, ["1", "2"]) == ["1", "2"]
    (tmp_path / "labels-1.nii.gz").touch()
    assert finding.absent(dataset, ["1", "2"]) == ["2"]
