"""Volumes and labels in object storage and on a web server; one line where they cannot be reached."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from serving import serving

from organbench.data import grids, images
from organbench.data.grids import Grid
from organbench.study import configuration as studies

CASES = ["1", "2", "3"]
TABLE = "results/small/tables/per_case.csv"
TARGETS = [TABLE, "results/small/figures/overlays.png"]
KEYS = {"SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "someone", "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "secret"}


def files():
    """The volumes and labels of some small patients, by name."""
    grid = Grid((20, 18, 16), (2.0, 2.0, 3.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    for case in CASES:
        labels = np.zeros(grid.shape, np.uint8)
        labels[3:12, 3:9, 4:16], labels[3:12, 11:15, 4:16] = 1, 2
        hu = (np.random.default_rng(int(case)).normal(0, 50, grid.shape) + 100 * labels).astype(np.int16)
        yield f"volume-{case}.nii.gz", grids.to_image(hu, grid)
        yield f"labels-{case}.nii.gz", grids.to_image(labels, grid)


def run(folder, root, *targets, cases=None, environment=None):
    """The small study of what lies below `root`: exit status and output."""
    study = {
        "study": "small",
        "dataset": {"source": "nifti", "root": root, "cases": cases, "organs": {"liver": 1, "spleen": 2}},
        "models": {"tiny": {"network": "unet", "features": [2, 4]}},
        "split": {"method": "holdout", "test_fraction": 0.34, "validation_fraction": 0.0},
        "training": {"steps": 2, "batch_size": 2, "patch": [16, 16], "warmup": 1, "context": 0},
    }
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *targets]
    command += ["--configfile", "study.yaml", "--resources", "gpu=0", "--cores", "1"]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SNAKEMAKE_STORAGE_"))}
    kept |= {"NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=kept | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with the files."""
    folder = tmp_path_factory.mktemp("data")
    for name, image in files():
        images.write(image, folder / name)
    return folder


@pytest.fixture(scope="module")
def bucket(data):
    """A server of S3 with the files in a bucket, as the environment that reaches it."""
    pytest.importorskip("snakemake_storage_plugin_s3", reason="requirements-storage.txt is not installed")
    server = pytest.importorskip("moto.server", reason="moto is not installed").ThreadedMotoServer(port=0)
    import boto3

    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=address, aws_access_key_id="a", aws_secret_access_key="b")
    client.create_bucket(Bucket="scans")
    for path in data.iterdir():
        client.upload_file(str(path), "scans", f"ct/{path.name}")
    client.put_object(Bucket="scans", Key="ct-of-others/volume-9.nii.gz", Body=b"not ours")
    yield {"SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": address, **KEYS}
    server.stop()


@pytest.fixture
def web(data):
    pytest.importorskip("snakemake_storage_plugin_http", reason="requirements-storage.txt is not installed")
    with serving() as server:
        for path in data.iterdir():
            server.files[f"/ct/{path.name}"] = path.read_bytes()
        yield server


@pytest.fixture(scope="module")
def finished(bucket, tmp_path_factory):
    """The study of the bucket, whose cases are those that are listed there."""
    folder = tmp_path_factory.mktemp("finished")
    code, output = run(folder, "s3://scans/ct", *TARGETS, environment=bucket)
    assert code == 0, output[-3000:]
    return folder


def test_a_study_of_a_bucket(bucket, finished):
    """The overlays and the viewer show its cases, too; and nothing is left to do, or to retrieve again."""
    assert (finished / "results/small/figures/overlays.png").stat().st_size > 5000
    code, output = run(finished, "s3://scans/ct/", *TARGETS, environment=bucket)
    assert code == 0, output[-3000:]
    assert "Nothing to be done" in output


def test_a_study_of_a_web_server_has_the_same_results(web, finished, tmp_path):
    code, output = run(tmp_path, f"{web.address}/ct", TABLE, cases=[1, 2, 3])
    assert code == 0, output[-3000:]
    assert pd.read_csv(tmp_path / TABLE).equals(pd.read_csv(finished / TABLE))


def says(output, start, end=""):
    """Whether a line of the output begins and ends so."""
    return any(line.startswith(start) and line.endswith(end) for line in output.splitlines())


def test_what_cannot_be_listed_or_is_not_there_is_one_line(bucket, web, tmp_path):
    code, output = run(tmp_path, f"{web.address}/ct", "-n")
    assert code == 1
    assert says(output, f"config, dataset.cases: {web.address}/ct cannot be listed; list the names of its cases here")
    code, output = run(tmp_path, "s3://scans/ct", "-n", cases=[1, 2, 7], environment=bucket)
    assert code == 1
    assert "s3://scans/ct/volume-7.nii.gz" in output
    code, output = run(tmp_path, "s3://scans/empty", "-n", environment=bucket)
    assert code == 1
    assert says(output, "s3://scans/empty: no file matches dataset.image 'volume-{case}.nii.gz'")


@pytest.mark.parametrize(
    ("root", "changed"),
    [
        ("s3://absent/ct", {}),
        ("s3://scans/ct", {"SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": "http://127.0.0.1:9"}),
        ("s3://scans/ct", dict.fromkeys(KEYS, "")),
    ],
    ids=["bucket", "server", "credentials"],
)
def test_a_bucket_that_cannot_be_reached_is_one_line(bucket, tmp_path, root, changed):
    code, output = run(
        tmp_path, root, "-n", "--storage-s3-retries", "1", environment={**bucket, "HOME": str(tmp_path), **changed}
    )
    assert code == 1
    assert says(output, f"{root}: cannot be listed (", "); check the address and the credentials")


def test_a_missing_plugin_is_one_line(tmp_path):
    """As on a machine without requirements-storage.txt."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name.startswith('snakemake_storage') else find(name, *rest)\n"
    )
    for root, plugin in (("s3://scans/ct", "s3"), ("https://localhost/ct", "http")):
        code, output = run(tmp_path, root, "-n", environment={"PYTHONPATH": str(tmp_path)})
        assert code == 1
        assert says(
            output,
            f"config, dataset.root: {root} needs a plugin of Snakemake; ",
            f"run pip install snakemake-storage-plugin-{plugin}",
        )


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"root": "gs://bucket/ct"}, "dataset.root: gs:// is not read; give a folder, or an address"),
        ({"root": "s3://bucket/ct", "source": "openkbp"}, "dataset.root: is written to with source openkbp"),
        ({"root": "s3://bucket/ct", "source": "phantom"}, "dataset.root: is written to with source phantom"),
        ({"source": "phantom", "cases": ["1", "2", "3"]}, "dataset.cases: phantoms are numbered"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_root_that_does_not_go_with_its_source_is_refused(defaults, schema, dataset, message):
    given = {"dataset": {"source": "nifti", **dataset}}
    with pytest.raises(studies.InputError, match=message):
        studies.resolve(given, defaults, schema)
