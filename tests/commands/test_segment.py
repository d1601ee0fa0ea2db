"""`organbench segment` and `organbench export`, as a person runs them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicoms import as_series
from packs import member_of, model_of, network_of, pack, recipe_of
from tiny import ORGANS, label_map, write_patient

from organbench import cli
from organbench.data import slicer
from organbench.data.dicom import rtstruct, series, structures

PLACE = Path(cli.__file__).parents[1]


def run(*arguments, capsys):
    status = cli.main([*map(str, arguments)])
    told = capsys.readouterr()
    return status, told.out, told.err


@pytest.fixture
def model(tmp_path):
    return pack(tmp_path / "model.zip", model_of(member_of(recipe_of(patch=(16, 16)))))


@pytest.fixture
def patients(tmp_path):
    (tmp_path / "scans").mkdir()
    for name in "ab":
        write_patient(tmp_path, name, label_map())
        (tmp_path / f"volume-{name}.nii.gz").rename(tmp_path / "scans" / f"{name}.nii.gz")
    return tmp_path / "scans"


def test_a_folder_of_scans(tmp_path, model, patients, capsys):
    status, out, err = run("segment", model, patients, "--output", tmp_path / "out", "--threads", 1, capsys=capsys)
    assert (status, err) == (0, "")
    assert [line.partition(":")[0] for line in out.splitlines()] == [f"{tmp_path}/out/{name}.nii.gz" for name in "ab"]
    labels = sitk.ReadImage(str(tmp_path / "out" / "a.nii.gz"))
    assert set(np.unique(sitk.GetArrayFromImage(labels))) <= {0, 1, 5}
    assert labels.GetOrigin() == sitk.ReadImage(str(patients / "a.nii.gz")).GetOrigin()


def test_a_bad_scan_does_not_keep_the_others(tmp_path, model, patients, capsys):
    (patients / "a.nii.gz").write_bytes(b"none")
    status, out, err = run("segment", model, patients, "--output", tmp_path / "out", capsys=capsys)
    assert status == 2
    assert out.startswith(f"{tmp_path}/out/b.nii.gz: ")
    assert err.splitlines()[0].startswith(f"{patients}/a.nii.gz: ")
    assert err.splitlines()[1:] == ["1 of 2 scans could not be segmented, see above"]


def test_one_scan_into_a_file_of_another_format(tmp_path, model, patients, capsys):
    output = tmp_path / "labels.nrrd"
    status, *_ = run("segment", model, patients / "a.nii.gz", "--output", output, "--organs", "liver", capsys=capsys)
    assert status == 0
    assert set(np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(output))))) <= {0, 1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--organs", "livr"], "did you mean liver?"),
        (["--format", "rtstruct"], "is no DICOM series, so rtstruct has nothing to refer to"),
        (["--threads", "0"], "--threads 0: give a number of 1 or more"),
        (["--output", "{scans}/a.nii.gz"], "would replace what is read"),
        (["--output", "{scans}"], "would replace what is read"),
        (["{scans}", "--output", "out.nii.gz"], "is a file, and there are 2 scans"),
        (["nowhere"], "nowhere: no scan is there"),
        (["--output", "out.mhd"], "out.mhd: is no name of a file of --format nifti; name one that ends in .nii.gz,"),
        (["--output", "out.dcm"], "out.dcm: is no name of a file of --format nifti"),
        (["--format", "rtstruct", "--output", "out.nii.gz"], "is no name of a file of --format rtstruct"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path, model, patients, capsys, arguments, words):
    given = ["segment", model, *([] if arguments[0][0] in "{n" else [patients / "a.nii.gz"])]
    given += ["--output", tmp_path / "out", *(part.format(scans=patients) for part in arguments)]
    if arguments[0] == "{scans}":
        given = ["segment", model, patients, "--output", "out.nii.gz"]
    status, out, err = run(*given, capsys=capsys)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert words in err


def test_it_imports_neither_pandas_nor_snakemake(tmp_path, model, patients):
    """Nor anything else of the workflow: torch, SimpleITK and NumPy are what a clinic has to install."""
    arguments = ["segment", str(model), str(patients / "a.nii.gz"), "--output", str(tmp_path / "out.nii.gz")]
    code = (
        f"import sys; sys.path.insert(0, {str(PLACE)!r}); from organbench import cli; assert not cli.main({arguments});"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert {"torch", "SimpleITK", "organbench", "safetensors"} <= loaded
    assert not loaded & {
        "pandas",
        "snakemake",
        "matplotlib",
        "seaborn",
        "scipy",
        "jinja2",
        "yaml",
        "pydicom",
        "nnunetv2",
    }


def test_a_series_gets_an_rtstruct(tmp_path, model, capsys):
    write_patient(tmp_path, "a", label_map(), orientation="LPI")
    as_series(tmp_path / "volume-a.nii.gz", tmp_path / "p1" / "CT")
    as_series(tmp_path / "volume-a.nii.gz", tmp_path / "p2" / "CT")
    for kind in ("nifti", "rtstruct"):
        output = tmp_path / kind
        given = ("segment", model, tmp_path / "p1", tmp_path / "p2", "--format", kind, "--output", output)
        status, _, err = run(*given, capsys=capsys)
        assert (status, err) == (0, "")
    assert sorted(path.name for path in output.iterdir()) == ["p1-CT.dcm", "p2-CT.dcm"]
    found, ct = rtstruct.read(output / "p1-CT.dcm"), series.find(tmp_path / "p1" / "CT")
    assert found.series == ct.uid
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "nifti" / "p1-CT.nii.gz")))
    assert [structure.name for structure in found.structures] == list(ORGANS)  # as the workflow writes it
    for structure in found.structures:
        mask = structures.mask(structure, ct.grid, found.path)
        assert np.array_equal(mask, labels == ORGANS[structure.name][0])


def test_neither_a_slice_nor_the_model_is_replaced(tmp_path, model, capsys):
    write_patient(tmp_path, "a", label_map())
    as_series(tmp_path / "volume-a.nii.gz", tmp_path / "CT", name="{z}.dcm")
    model.rename(tmp_path / "model.dcm")
    for output in (tmp_path / "CT" / "1.dcm", tmp_path / "model.dcm"):
        before = output.read_bytes()
        given = ("segment", tmp_path / "model.dcm", tmp_path / "CT", "--format", "rtstruct", "--output", output)
        status, out, err = run(*given, capsys=capsys)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "would replace what is read; name another place" in err
        assert output.read_bytes() == before


def test_a_segmentation_for_slicer_has_names(tmp_path, model, patients, capsys):
    output = tmp_path / "out.seg.nrrd"
    status, *_ = run("segment", model, patients / "a.nii.gz", "--output", output, capsys=capsys)
    assert status == 0
    assert [segment.name for segment in slicer.read(output).segments] == list(ORGANS)


def test_a_series_without_names_is_refused_before_it_is_segmented(tmp_path, model, capsys, monkeypatch):
    def anonymous(header, z):
        header.SeriesInstanceUID = ""

    write_patient(tmp_path, "a", label_map())
    as_series(tmp_path / "volume-a.nii.gz", tmp_path / "CT", change=anonymous)
    monkeypatch.setattr("organbench.inference.new_patients.predict_case", None)
    given = ("segment", model, tmp_path / "CT", "--format", "rtstruct", "--output", tmp_path / "a.dcm")
    status, out, err = run(*given, capsys=capsys)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "have no SeriesInstanceUID, to which contours refer" in err


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_exports_lie_beside_a_card(tmp_path, kind, capsys):
    if kind == "onnx":
        pytest.importorskip("onnxruntime", reason="requirements-onnx.txt is not installed")
    recipes = [recipe_of(patch=(16, 16), run=f"unet/fold{k}-seed0") for k in range(2)]
    model = pack(
        tmp_path / "model.zip", model_of(*map(member_of, recipes)), [network_of(r).state_dict() for r in recipes]
    )
    write_patient(tmp_path, "a", label_map())
    scan = tmp_path / "volume-a.nii.gz"
    arguments = ("--format", kind, "--output", tmp_path / "out", "--scan", scan)
    status, out, err = run("export", model, *arguments, capsys=capsys)
    assert (status, err) == (0, "")
    suffix = {"onnx": "onnx", "torchscript": "pt"}[kind]
    names = [f"unet-unet-fold{k}-seed0.{suffix}" for k in range(2)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*names, "unet.json", "unet.md"])
    assert json.loads((tmp_path / "out" / "unet.json").read_text())["members"][0]["recipe"]["patch"] == [16, 16]
    card = (tmp_path / "out" / "unet.md").read_text()
    assert card.startswith("# A card")
    assert all(f"## {name}" in card for name in names)
    assert out.count("takes any number and any size of windows") == 2


def test_export_into_a_file_is_refused(tmp_path, model, capsys):
    status, _, err = run("export", model, "--output", model, capsys=capsys)
    assert (status, "is a file; name a folder" in err) == (2, True)
