"""A run is known by the place of its files, whatever the study and the models are called."""

import pytest

from organbench.core.runs import Run


@pytest.mark.parametrize(
    ("path", "run"),
    [
        ("results/ct_org/runs/unet/fold0-seed12/history.csv", Run("unet", 0, 12)),
        ("/data/results/old/results/ct_org/runs/007/fold3-seed1/metrics/fold9-seed9.csv", Run("007", 3, 1)),
        ("results/s/runs/unet/tuning/fold1-seed2/lr0.1/cost.json", Run("unet", 1, 2)),
        ("results/s/learning_curve/share25/runs/unet/fold1-seed2/metrics/a.csv", Run("unet", 1, 2, share=25)),
        ("results/results/runs/runs/fold0-seed0/cost.json", Run("runs", 0, 0)),
        ("results/runs/runs/tuning/fold0-seed0/cost.json", Run("tuning", 0, 0)),
        ("results/runs/runs/tuning/tuning/fold0-seed0/cost.json", Run("tuning", 0, 0)),
    ],
)
def test_the_place_of_a_file_names_its_run(path, run):
    assert Run.of(path) == run
    assert str(run) == f"{run.model}/fold{run.fold}-seed{run.seed}"


@pytest.mark.parametrize("path", ["results/s/tables/summary.csv", "results/s/runs/unet/fold0/cost.json", "unet"])
def test_other_files_are_of_no_run(path):
    with pytest.raises(ValueError, match="is no run's file"):
        Run.of(path)
