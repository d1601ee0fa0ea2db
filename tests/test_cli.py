"""`organbench compare` on tables of studies and of other programs, run as a person runs it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from organbench import cli
from organbench.analysis import verdicts

NAN = np.nan


def table(model, shift=0.0, *, cases=12, seeds=3, organs=("liver", "spleen"), first=0):
    rng = np.random.default_rng(5)
    hard = rng.normal(0, 0.03, (20, len(organs)))[first:]
    rows = [
        (model, 0, seed, f"{first + case:03}", organ, 0.8 + shift + hard[case, k] + 0.001 * ((case + seed + k) % 3))
        for seed in range(seeds)
        for case in range(cases)
        for k, organ in enumerate(organs)
    ]
    return pd.DataFrame(rows, columns=["model", "fold", "seed", "case", "organ", "dice"])


def write(folder, name, frame):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return str(path)


def run(*arguments, capsys):
    status = cli.main(["compare", *map(str, arguments)])
    told = capsys.readouterr()
    return status, told.out, told.err


def test_two_models_of_one_table(tmp_path, capsys):
    frame = pd.concat([table("a", 0.02), table("b")])
    path, output = write(tmp_path, "both.csv", frame), tmp_path / "comparison.csv"
    status, out, err = run(path, "--output", output, "--margin", "dice=0.01", capsys=capsys)
    assert (status, err) == (0, "")
    assert "a is better than b on the liver by 2.00 Dice points" in out
    found = pd.read_csv(output)
    pd.testing.assert_frame_equal(found, verdicts.compare(frame, {"dice": 0.01}), check_dtype=False)
    assert (found["scope"] == "networks").all()


def test_two_studies_that_both_have_a_unet(tmp_path, capsys):
    paths = [
        write(tmp_path, f"{study}/tables/per_case.csv", table("unet", shift, first=first))
        for study, shift, first in (("old", 0.0, 0), ("new", 0.02, 2))
    ]
    status, out, err = run(*paths, capsys=capsys)
    assert status == 0
    assert "unet (old) is worse than unet (new)" in out
    assert "unet (old) has no case 012, 013: left out where it is compared" in err
    assert "unet (new) has no case 000, 001: left out where it is compared" in err


def test_other_programs_tables_have_neither_folds_nor_seeds(tmp_path, capsys):
    product, network = table("product", 0.02, seeds=1), table("unet")
    path = write(tmp_path, "product.csv", product[["model", "case", "organ", "dice"]])
    ours = write(tmp_path, "ours.csv", network)
    _, out, _ = run(path, ours, capsys=capsys)
    assert "one training of product: true of these weights only" in out
    _, out, _ = run(path, ours, "--fixed", "product", capsys=capsys)
    assert "product is better than unet on the liver" in out
    assert "product judged as fixed" in out


def test_a_distance_alone_without_dice(tmp_path, capsys):
    frame = pd.concat([table("a", 0.05), table("b")]).rename(columns={"dice": "hd95"})
    frame.loc[(frame["model"] == "a") & (frame["case"] == "000"), "hd95"] = np.nan
    output = tmp_path / "found.csv"
    status, out, _ = run(write(tmp_path, "hd.csv", frame), "--metric", "hd95", "--output", output, capsys=capsys)
    assert (status, "dice:" in out) == (0, False)
    found = pd.read_csv(output).query("organ == 'liver'").iloc[0]
    assert (found["metric"], found["n"], found["missed_a"]) == ("hd95", 11, 1)


def changed(**columns):
    return pd.concat([table("a"), table("b")]).assign(**columns)


@pytest.mark.parametrize(
    ("frame", "arguments", "words"),
    [
        (table("a"), [], "has a single model, a; give a table of another one as well"),
        (changed().drop(columns="organ"), [], "has no column organ"),
        (changed().drop(columns="dice"), [], "has no column dice; its metrics are unknown"),
        (changed(dice="high"), [], "line 2: dice is 'high', which is no finite number"),
        (changed(dice=np.inf), [], "line 2: dice is 'inf', which is no finite number"),
        (changed(case=np.nan), [], "line 2: names no case"),
        (changed(seed=[NAN, *range(143)]), [], "line 2: names no seed; fill the cell"),
        (changed().head(0), [], "has no rows"),
        (changed(dice=lambda rows: rows["dice"] * 100), [], "line 2: dice is 77.5942; give a number from 0 to 1"),
        (changed(hd95=-1), [], "line 2: hd95 is -1; give a number of 0 or more"),
        (changed(volume_error=-1.5), [], "line 2: volume_error is -1.5; give a number of -1 or more"),
        (changed(patient=lambda rows: rows["model"]), [], "case 000 is of two patients"),
        (changed(seed=0), [], "line 26: a has a second row of case 000 and organ liver"),
        (changed(), ["--metric", "dicee"], "--metric dicee: is not known; the metrics are dice"),
        (changed(), ["--metric", "nsd"], "has no column nsd; its metrics are dice"),
        (changed(), ["--margin", "dice"], "--margin dice: is no margin"),
        (changed(), ["--margin", "dice=-1"], "--margin dice=-1: is no margin"),
        (changed(), ["--margin", "nsd=0.1"], "--margin nsd: is of no metric that is compared; these are dice"),
        (changed(), ["--fixed", "c"], "--fixed c: there is no such model; the models are a, b"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path, capsys, frame, arguments, words):
    status, out, err = run(write(tmp_path, "table.csv", frame), *arguments, capsys=capsys)
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("content", [None, "", "\x00\x01"])
def test_what_is_no_table(tmp_path, capsys, content):
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_text(content)
    status, _, err = run(path, capsys=capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert str(path) in err


def test_scans_of_a_patient_are_averaged(tmp_path, capsys):
    frame = changed(patient=lambda rows: "p" + (rows["case"].astype(int) // 2).astype(str))
    output = tmp_path / "found.csv"
    run(write(tmp_path, "table.csv", frame), "--output", output, capsys=capsys)
    assert (pd.read_csv(output)["n"] == 6).all()


def test_help_needs_no_library_beside_python(tmp_path):
    """So it is there at once; `-S` hides everything that was installed."""
    place = str(__import__("pathlib").Path(cli.__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {place!r}); from organbench import cli; cli.main(['compare', '--help'])"
    told = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert "PER_CASE.csv" in told.stdout


def test_a_table_given_twice_and_tables_without_a_common_case(tmp_path, capsys):
    paths = [write(tmp_path, f"{name}.csv", table(name, first=first, cases=5)) for name, first in (("a", 0), ("b", 10))]
    status, _, err = run(paths[0], paths[0], capsys=capsys)
    assert (status, "a.csv: is given twice" in err) == (2, True)
    status, _, err = run(*paths, capsys=capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert "no two models have a value on the same case and organ" in err


def test_who_reads_only_the_first_lines_gets_no_traceback(tmp_path):
    path, output = write(tmp_path, "both.csv", pd.concat([table("a", 0.02), table("b")])), tmp_path / "comparison.csv"
    nobody, pipe = os.pipe()
    os.close(nobody)  # as `| head` ends
    command = [sys.executable, "-m", "organbench.cli", "compare", path, "--output", str(output)]
    found = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False, env=found)
    os.close(pipe)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(pd.read_csv(output)) == 3  # what was asked for is there all the same
