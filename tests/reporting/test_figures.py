"""Figures render at their extremes, show every case, and come out the same every time."""

import importlib
import inspect
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.image import imread

from organbench.analysis import costs
from organbench.analysis.cohort import volume_agreement
from organbench.analysis.statistics import ALL, case_differences, case_values
from organbench.evaluation import registry
from organbench.reporting import figures
from organbench.reporting.colours import ORGAN_COLOURS, palette
from organbench.reporting.figures import (
    average_ranks,
    dataset,
    differences_by_group,
    dose_against_dice,
    learning_curves,
    metrics,
    overlays,
    paired_differences,
    pareto,
    rank_stability,
    style,
    volumes,
)

ROOT = Path(__file__).parents[2]
CT_ORG = ["liver", "bladder", "lungs", "kidneys", "bone", "brain"]
OPENKBP = ["brainstem", "spinal_cord", "right_parotid", "left_parotid", "esophagus", "larynx", "mandible", "ptv56"]
OPENKBP += ["ptv63", "ptv70", "right_submandibular_gland", "left_submandibular_gland"]
MANY = [f"{organ}_{side}" for organ in (*OPENKBP, *CT_ORG) for side in ("left", "right")][:35]
MODELS = ["unet", "ghostunet", "unet_large_instance_norm", "ghostunet_v2", "unet3d", "nnunet_resenc_medium", "both"]
EXTREMES = {
    "1x1": (MODELS[:1], ["liver"], 1),
    "2x6": (MODELS[:2], CT_ORG, 6),
    "6x12": (MODELS[:6], OPENKBP, 12),
    "7x35": (MODELS, MANY, 11),
}
RANKS = ["best", "median", "worst", "most disputed"]
VERDICTS = ["better", "worse", "equivalent", "undecided"]


def per_case_table(models, organs, cases=5, seeds=(0, 1)):
    """Every metric that is drawn; nobody has a brain, and the last case's liver is missed."""
    rng = np.random.default_rng(0)
    rows = []
    for number, case in enumerate(f"case{case}" for case in range(cases)):
        for k, organ in enumerate(organs):
            reference = 0 if organ == "brain" else 10 ** (1 + k % 3) * rng.lognormal(0, 0.3)
            for j, model in enumerate(models):
                for seed in seeds:
                    missed = organ == "liver" and number == cases - 1 and cases > 1
                    dice = np.nan if organ == "brain" else 0 if missed else rng.beta(20 + j, 2)
                    distance = np.nan if organ == "brain" or missed else rng.lognormal(1, 1)
                    row = {"model": model, "fold": 0, "seed": seed, "case": case, "organ": organ, "dice": dice}
                    row |= {"hd95": distance, "nsd": dice, "reference_ml": reference}
                    row |= {f"{dose}_error": distance - 2 for dose in ("dmean", "dmax")}
                    row |= {"predicted_ml": reference * (0 if missed else rng.normal(1.05, 0.05))}
                    rows.append(row | {"false_positive": False})
    return pd.DataFrame(rows)


def interval_columns(groups):
    """What the tables say of groups of values; plain intervals will do for drawing."""
    table = groups.agg(["mean", "count", "sem"]).reset_index().rename(columns={"count": "n"})
    return table.assign(ci_low=table["mean"] - 2 * table["sem"], ci_high=table["mean"] + 2 * table["sem"])


def summary_table(per_case):
    values = case_values(per_case)
    tables = [
        interval_columns(values.groupby(["model", "organ"], sort=False)[metric]).assign(metric=metric)
        for metric in registry.drawn(dosed=True)
    ]
    return pd.concat(tables).assign(missing=1, seed_std=0.004, mean_absolute=1.5)


def comparison_table(per_case):
    groups = case_differences(per_case, "dice").groupby(["model_a", "model_b", "organ"], sort=False)["difference"]
    keys = [
        (*pair, organ) for pair in combinations(per_case["model"].unique(), 2) for organ in style.organ_order(per_case)
    ]
    index = pd.MultiIndex.from_tuples(keys, names=["model_a", "model_b", "organ"]) if keys else None
    table = interval_columns(groups).set_index(["model_a", "model_b", "organ"]).reindex(index).reset_index()
    verdicts = [VERDICTS[i % 4] for i in range(len(table))]
    table = table.rename(columns={"mean": "mean_difference"}).assign(metric="dice", margin=0.01, verdict=verdicts)
    weights = {"ci_weights_low": table["ci_low"], "ci_weights_high": table["ci_high"], "verdict_weights": "undecided"}
    return table.assign(scope="networks", **weights, seed_std_a=0.002, seed_std_b=0.004)


def ranks_table(models, organs):
    rows = []
    for organ in [*organs, ALL]:
        for place, model in enumerate(reversed(models), start=1):
            row = {"metric": "dice", "organ": organ, "model": model, "average_rank": 0.5 + 0.8 * place, "n": 12}
            row |= {"friedman_p_holm": 0.0001, "critical_difference": 1.1}
            rows.append(row | {"groups": "abcdefg"[place - 1] if place > 2 else "ax"[place - 1] + "y"})
    return pd.DataFrame(rows)


def stability_table(models, organs):
    """The first model is likely to be the best of the liver, nobody has a brain, all others change places evenly."""
    k = len(models)
    rows = []
    for organ in [*organs, ALL]:
        for place, model in enumerate(reversed(models), start=1):
            row = {"metric": "dice", "organ": organ, "model": model, "n": 12, "trainings": 2, "mean": 0.8}
            row |= {"rank": place, "rank_low": max(1, place - 2), "rank_high": min(k, place + 2), "kendall_tau": 0.5}
            row |= {f"share_{rank}": 1 / k for rank in range(1, k + 1)}
            if organ == "brain":
                row |= {name: np.nan for name in row if name.startswith(("rank", "share", "kendall", "mean"))} | {
                    "n": 0
                }
            elif organ == "liver":
                row |= {f"share_{rank}": 0.9 if rank == place else 0.1 / (k - 1) for rank in range(1, k + 1)}
            rows.append(row)
    return pd.DataFrame(rows)


def groups_table(models, organs, groups=("Utrecht", "Basel hospital", "Lyon")):
    """One star, on the first organ of the first pair; nobody has a brain, and one interval is very wide."""
    rows = []
    for pair in combinations(models, 2):
        for organ in [*organs, ALL]:
            for k, group in enumerate(groups):
                row = {"metric": "dice", "organ": organ, "model_a": pair[0], "model_b": pair[1], "group": group}
                row |= {"n": 4 + k, "mean_difference": 0.01 * k, "ci_low": 0.01 * k - 0.03, "ci_high": 0.01 * k + 0.03}
                if organ == "brain":
                    row |= dict.fromkeys(("mean_difference", "ci_low", "ci_high"), np.nan) | {"n": 0}
                rows.append(row | {"p_holm": 0.01 if not rows else 0.5})
    rows[1] |= {"ci_low": -2.0, "ci_high": 2.0}
    return pd.DataFrame(rows)


def fronts_table(models, organs=("liver", "brain")):
    size = np.arange(1, len(models) + 1, dtype=float)
    tables = []
    for cost, unit in zip(costs.COSTS, (4e5, 8e3, 90, 2, 8e2, 1e3, 900, np.nan, 2e5, 40), strict=True):
        for k, organ in enumerate([*organs, ALL]):
            dice = np.full(len(models), np.nan) if organ == "brain" else 0.8 - k / 50 + size / 50
            table = pd.DataFrame({"cost": cost, "organ": organ, "model": models, "value": unit * size**2, "dice": dice})
            tables.append(table.assign(ci_low=dice - 0.02, ci_high=dice + 0.02, on_front=(size != 2).astype(object)))
    table = pd.concat(tables, ignore_index=True)
    table.loc[(table["model"] == "both") & (table["cost"] == "training_energy_j"), ["value", "on_front"]] = np.nan
    return table


def cases_table(organs, cases=5):
    rng = np.random.default_rng(0)
    rows = []
    for case in range(cases):
        row = {"case": f"case{case}", "orientation": "LPS", "spacing_x": rng.uniform(0.6, 1.2)}
        row |= {"spacing_y": row["spacing_x"], "spacing_z": rng.choice([0.7, 1, 2.5, 5])}
        for organ in organs:
            row |= {f"{organ}_ml": rng.lognormal(4, 1), f"{organ}_hu": rng.normal(40, 10)}
            row |= {f"{organ}_hu_low": -80, f"{organ}_hu_high": 150}
            if organ == "brain":
                row |= {f"{organ}_ml": 0, f"{organ}_hu": np.nan, f"{organ}_hu_low": np.nan, f"{organ}_hu_high": np.nan}
        rows.append(row)
    return pd.DataFrame(rows)


def split_table(cases, folds=1):
    roles = [
        {
            "case": f"case{case}",
            "fold": fold,
            "role": ("test", "validation", *["train"] * 8)[(case - fold) % max(folds, 4)],
        }
        for case in range(cases)
        for fold in range(folds)
    ]
    return pd.DataFrame(roles)


def history_table(models, organs, seeds=(0, 1), steps=60, validated=True):
    rng = np.random.default_rng(0)
    rows = []
    for model in models:
        for seed in seeds:
            for step in range(1, steps + 1):
                dice = 1 - np.exp(-step / 20) if validated and step % 10 == 0 else np.nan
                row = {"model": model, "fold": 0, "seed": seed, "step": step, "learning_rate": 1e-3}
                row |= {"loss": np.exp(-step / 30) * rng.uniform(0.8, 1.2), "seconds": float(step)}
                rows.append(row | {f"dice_{organ}": dice for organ in organs})
    return pd.DataFrame(rows)


def panel(models, organs, shape=(40, 60), spacing=(3.0, 1.5), title="case1, median"):
    reference = np.zeros(shape, np.uint8)
    width = max(2, (shape[1] - 4) // len(organs))
    for k in range(1, len(organs) + 1):
        reference[10:30, 2 + (k - 1) * width : 2 + k * width - 1] = k
    ct = np.where(reference > 0, 60.0, -100.0)
    predictions = {model: np.roll(reference, 2, axis=1) for model in models}
    return overlays.Panel(title, ct, spacing, reference, predictions, dict.fromkeys(models, "Dice 0.87"))


def draw_all(models, organs, cases=5):
    per_case = per_case_table(models, organs, cases)
    summary = summary_table(per_case)
    rows = [
        [panel(models, organs, title=f"{rank}: case1"), panel(models, organs, (60, 60))] for rank in ("best", "worst")
    ]
    drawn = {
        f"{metric}_by_organ": metrics.metric_by_organ(per_case, summary, metric)
        for metric in registry.drawn(dosed=True)
    }
    drawn |= {
        "paired_differences": paired_differences.paired_differences(per_case, comparison_table(per_case)),
        "learning_curves": learning_curves.learning_curves(history_table(models, organs)),
        "pareto": pareto.pareto(fronts_table(models)),
        "pareto_by_organ": pareto.pareto_by_organ(fronts_table(models, organs)),
        "volume_agreement": volumes.volume_agreement(per_case, volume_agreement(per_case)),
        "dose_against_dice": dose_against_dice.dose_against_dice(per_case),
        "dice_by_volume": volumes.dice_by_volume(per_case),
        "dice_by_spacing": volumes.dice_by_spacing(per_case, cases_table(organs, cases)),
        "dataset": dataset.dataset(cases_table(organs, cases), split_table(cases), organs),
        "overlays": overlays.overlays(rows, organs),
    }
    if len(models) > 1:
        drawn["differences_by_group"] = differences_by_group.differences_by_group(groups_table(models, organs))
        drawn["rank_stability"] = rank_stability.rank_stability(stability_table(models, organs), models)
    if len(models) > 2:
        drawn["average_ranks"] = average_ranks.average_ranks(ranks_table(models, organs), models)
    return drawn


def points(axes):
    return sum(len(c.get_offsets()) for c in axes.collections if isinstance(c, PathCollection))


def plain_texts(figure):
    return [text.replace("\N{MINUS SIGN}", "-").replace("\xa0", " ") for text in texts(figure)]


def texts(figure):
    return [text.get_text() for text in figure.findobj(mpl.text.Text)]


def shown_texts(figure):
    """Every text that is drawn, and its box in pixels; ticks beyond the limits are not drawn."""
    hidden = set()
    for axes in figure.findobj(mpl.axes.Axes):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    hidden |= {tick.label1, tick.label2}
    for text in figure.findobj(mpl.text.Text):
        if text.get_text().strip() and text.get_visible() and text not in hidden:
            yield text, text.get_window_extent()


def overlapping(figure):
    """Pairs of texts that lie on each other by more than a fifth of a line."""
    boxes = []
    for text, box in shown_texts(figure):
        margin = 0.2 * min(box.width, box.height, text.get_fontsize() / 72 * figure.dpi)
        boxes.append((text.get_text(), box.padded(-margin)))
    return [(a, b) for (a, first), (b, second) in combinations(boxes, 2) if first.overlaps(second)]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("extreme", EXTREMES)
def test_extremes_render_whole_and_legible(extreme):
    for name, figure in draw_all(*EXTREMES[extreme]).items():
        with mpl.rc_context(style.STYLE):
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
        assert np.std(np.asarray(canvas.buffer_rgba())[..., :3]) > 2, name
        width, height = figure.get_size_inches() * 25.4
        assert width == pytest.approx(183)
        assert height < 247, name
        drawn = figure.get_tightbbox().extents * 25.4  # mm: left, bottom, right, top
        assert min(drawn[:2]) > -0.5, name
        assert drawn[2] < width + 0.5, name
        assert drawn[3] < height + 0.5, name
        assert min(text.get_fontsize() for text, _ in shown_texts(figure)) >= 6, name
        assert not overlapping(figure), name


def test_svg_has_the_same_bytes_when_drawn_again(tmp_path):
    for run in ("first", "second"):
        for name, figure in draw_all(MODELS[:2], CT_ORG[:2]).items():
            style.save(figure, tmp_path / run / f"{name}.svg")
    for first in (tmp_path / "first").iterdir():
        assert first.read_bytes() == (tmp_path / "second" / first.name).read_bytes(), first.name
        assert ElementTree.parse(first).getroot().tag.endswith("svg")
        assert b"<dc:date>" not in first.read_bytes()


def test_save_leaves_nothing_but_the_figures(tmp_path):
    figure = learning_curves.learning_curves(history_table(["unet"], ["liver"]))
    style.save(figure, tmp_path / "new" / "a.png", tmp_path / "new" / "a.svg")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.png", "a.svg"]
    with pytest.raises(ValueError, match="nonsense"):
        style.save(figure, tmp_path / "new" / "b.nonsense")
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_png_is_printed_at_300_dpi(tmp_path):
    figure = learning_curves.learning_curves(history_table(["unet"], ["liver"]))
    style.save(figure, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").shape[1] == pytest.approx(183 / 25.4 * 300, abs=1)


def test_every_case_is_a_point():
    per_case = per_case_table(["unet", "ghostunet"], ["liver", "brain"], cases=7)
    figure = metrics.metric_by_organ(per_case, summary_table(per_case))
    assert points(figure.axes[0]) == 2 * 2 * 7  # models, liver and all, cases; the brain has no value
    figure = metrics.metric_by_organ(per_case, summary_table(per_case), "hd95")
    assert points(figure.axes[0]) == 2 * 2 * 6  # a liver that is missed has no distance
    figure = paired_differences.paired_differences(per_case, comparison_table(per_case))
    assert points(figure.axes[0]) == 2 * 7
    for figure, expected in (
        (volumes.volume_agreement(per_case, volume_agreement(per_case)), [2 * 6, 0]),
        (volumes.dice_by_volume(per_case), [2 * 7, 0]),
        (volumes.dice_by_spacing(per_case, cases_table(["liver"], 7)), [2 * 7, 0, 2 * 7]),
    ):
        assert [points(axes) for axes in figure.axes] == expected


def test_what_another_human_reaches_is_a_line_through_each_row():
    per_case = per_case_table(["unet", "second"], ["liver", "lungs"])
    summary = summary_table(per_case)
    figure = metrics.metric_by_organ(per_case, summary, "dice", ["second"])
    means = summary.query("metric == 'dice' and model == 'second'").set_index("organ")["mean"]
    through = [line for line in figure.axes[0].lines if len(line.get_ydata()) == 2]
    upright = [line for line in through if np.isclose(np.diff(line.get_ydata()), 0.92).all()]
    assert [line.get_xdata()[0] for line in upright] == pytest.approx([means[o] for o in ("liver", "lungs", ALL)])
    assert "what second reaches" in texts(figure)
    assert not any("reaches" in text for text in texts(metrics.metric_by_organ(per_case, summary)))


def test_points_spread_within_their_lane():
    values = np.random.default_rng(0).beta(20, 2, 200)
    spread = style.spread(values)
    assert np.abs(spread).max() <= 1
    assert len(np.unique(np.round(spread, 6))) > 150
    assert style.spread(np.array([0.5])) == 0


def test_numbers_beside_the_plot_are_those_of_the_table():
    per_case = per_case_table(["unet", "ghostunet"], ["liver", "lungs"])
    summary, comparison = summary_table(per_case), comparison_table(per_case)
    for metric, form in (("dice", ".3f"), ("nsd", ".3f"), ("hd95", ".1f")):
        shown = plain_texts(metrics.metric_by_organ(per_case, summary, metric))
        assert "missing" in shown
        for row in summary[summary["metric"] == metric].itertuples():
            assert f"{row.mean:{form}} [{row.ci_low:{form}}, {row.ci_high:{form}}]" in shown
    comparison = comparison[comparison["metric"] == "dice"]
    shown = plain_texts(paired_differences.paired_differences(per_case, comparison))
    for row in comparison.itertuples():
        assert f"{row.mean_difference:+.3f} [{row.ci_low:+.3f}, {row.ci_high:+.3f}]" in shown
        assert row.verdict in shown


def test_direction_is_told_in_words():
    per_case = per_case_table(["unet", "ghostunet"], ["liver"])
    shown = plain_texts(paired_differences.paired_differences(per_case, comparison_table(per_case)))
    assert "unet better →" in shown
    assert "← ghostunet better" in shown


def test_a_panel_a_pair():
    per_case = per_case_table(MODELS[:4], ["liver"])
    figure = paired_differences.paired_differences(per_case, comparison_table(per_case))
    assert len(figure.axes) == 6
    assert sum(text in ("+", "\N{MINUS SIGN}", "=", "?") for text in texts(figure)) == 6


def test_where_a_page_does_not_hold_all_pairs_everyone_is_compared_with_the_best():
    per_case = per_case_table(MODELS, CT_ORG + OPENKBP, cases=3, seeds=(0,))
    per_case["dice"] -= 0.05 * (per_case["model"] != "unet3d")
    figure = paired_differences.paired_differences(per_case, comparison_table(per_case))
    assert len(figure.axes) == 6
    assert sum("unet3d" in text and "better" in text for text in texts(figure)) == 6


def test_far_cases_lie_at_the_axis_end_and_are_counted():
    per_case = per_case_table(MODELS[:2], ["lungs"], cases=200, seeds=(0,))
    chosen = (per_case["case"] == "case7") & (per_case["model"] == "unet")
    per_case.loc[chosen, "dice"] = -3.0
    figure = paired_differences.paired_differences(per_case, comparison_table(per_case))
    assert any("1 of 200 lie beyond the axis" in text for text in texts(figure))
    assert points(figure.axes[0]) == 200


def test_organs_without_a_single_value_are_drawn_empty(tmp_path):
    for name, figure in draw_all(MODELS[:2], ["brain"]).items():
        style.save(figure, tmp_path / f"{name}.png")


def test_distances_that_vary_much_are_on_a_logarithmic_axis_that_keeps_zeros():
    per_case = per_case_table(MODELS[:2], ["lungs"], cases=20, seeds=(0,))
    per_case["hd95"] = per_case["hd95"].clip(2, 10)
    assert metrics.metric_by_organ(per_case, summary_table(per_case), "hd95").axes[0].get_xscale() == "linear"
    per_case.loc[0, "hd95"] = 300
    per_case.loc[1, "hd95"] = 0
    (axes,) = metrics.metric_by_organ(per_case, summary_table(per_case), "hd95").axes
    assert axes.get_xscale() == "log"
    low, high = axes.get_xlim()
    assert 0 < low < 2
    assert high > 300
    assert points(axes) == 2 * 20


def test_differences_that_have_a_sign_are_drawn_on_both_sides_of_zero():
    per_case = per_case_table(MODELS[:2], ["lungs"], cases=20, seeds=(0,))
    figure = metrics.metric_by_organ(per_case, summary_table(per_case), "dmean_error")
    (axes,) = figure.axes
    assert axes.get_xscale() == "linear"
    low, high = axes.get_xlim()
    assert low < per_case["dmean_error"].min() < 0 < per_case["dmean_error"].max() < high
    assert points(axes) == 2 * 20
    assert {"size", "1.50"} <= set(texts(figure))
    assert "size" not in texts(metrics.metric_by_organ(per_case, summary_table(per_case), "hd95"))


def test_doses_against_dice_have_the_same_axes_in_all_panels():
    per_case = per_case_table(MODELS[:2], ["liver", "brain", "lungs"], cases=20, seeds=(0, 1))
    per_case.loc[0, "dmean_error"] = 30
    liver, brain, lungs = dose_against_dice.dose_against_dice(per_case).axes
    assert (points(liver), points(lungs)) == (2 * 19, 2 * 20)  # one liver is missed
    assert "no case has a dose" in [text.get_text() for text in brain.texts]
    assert liver.get_xlim() == lungs.get_xlim()
    assert liver.get_ylim() == lungs.get_ylim()
    assert liver.get_yscale() == "log"
    sizes = per_case[per_case["organ"] == "lungs"].assign(size=lambda rows: rows["dmean_error"].abs())
    expected = sizes.groupby(["model", "case"])["size"].mean().clip(lower=dose_against_dice.LEAST_GY)
    drawn = [c.get_offsets()[:, 1] for c in lungs.collections if isinstance(c, PathCollection)]
    np.testing.assert_allclose(np.sort(np.concatenate(drawn)), np.sort(expected))


def test_learning_curves_average_runs_and_organs():
    history = history_table(["unet"], ["liver", "bladder"], seeds=(0, 1, 2))
    history.loc[history["seed"] == 2, ["dice_liver", "dice_bladder"]] -= 0.3
    loss, dice = learning_curves.learning_curves(history).axes
    steps, values = dice.lines[0].get_data()
    assert list(steps) == [10, 20, 30, 40, 50, 60]
    np.testing.assert_allclose(values, 1 - np.exp(-np.array(steps) / 20) - 0.1)
    assert len(loss.lines[0].get_xdata()) == 60
    assert len(loss.collections) == 1  # the band


def test_learning_curves_average_folds_before_seeds():
    history = pd.concat([history_table(["unet"], ["liver"]).assign(fold=fold) for fold in range(3)])
    history["dice_liver"] += 0.1 * history["fold"] - 0.1 + 0.02 * history["seed"]
    _, dice = learning_curves.learning_curves(history).axes
    expected = 1 - np.exp(-np.arange(10, 61, 10) / 20)
    np.testing.assert_allclose(dice.lines[0].get_ydata(), expected + 0.01)
    (band,) = dice.collections
    low, high = band.get_paths()[0].get_extents().get_points()[:, 1]
    assert (low, high) == pytest.approx((expected[0], expected[-1] + 0.02))
    _, dice = learning_curves.learning_curves(history[history["seed"] == 0]).axes
    assert not dice.collections


def test_ten_models_have_ten_colours():
    assert len(set(palette([f"model {number}" for number in range(10)]).values())) == 10


def test_a_model_without_a_history_leaves_the_others_their_colours():
    history = history_table(["unet", "ghostunet"], ["liver"])
    figure = learning_curves.learning_curves(history, ["unet", "both", "ghostunet"])
    colours = palette(["unet", "both", "ghostunet"])
    for axes in figure.axes:
        assert [line.get_color() for line in axes.lines] == [colours["unet"], colours["ghostunet"]]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ["unet (2 runs)", "ghostunet (2 runs)", "range over seeds"]


def test_learning_curves_without_validation_or_with_negative_loss(tmp_path):
    history = history_table(["unet"], ["liver"], validated=False)
    assert "No validation cases" in texts(learning_curves.learning_curves(history))
    history["loss"] -= 1
    figure = learning_curves.learning_curves(history)
    assert figure.axes[0].get_yscale() == "linear"
    style.save(figure, tmp_path / "a.png")


def test_overlays_keep_the_patients_shape_and_skip_missing_predictions(tmp_path):
    rows = [[panel(["unet", "ghostunet"], CT_ORG)], [panel(["unet"], CT_ORG)]]
    figure = overlays.overlays(rows, CT_ORG)
    style.save(figure, tmp_path / "a.png")
    axes = np.array(figure.axes).reshape(2, 3)
    assert [a.get_title() for a in axes[0]] == ["reference", "unet", "ghostunet"]
    assert axes[0, 0].get_aspect() == pytest.approx(2)
    box = axes[0, 0].get_window_extent()
    assert box.height / box.width == pytest.approx(40 * 3.0 / (60 * 1.5), rel=0.02)
    assert len(axes[1, 2].images) == 0


def test_planes_stand_side_by_side_while_there_is_room():
    for count, columns, rows in ((1, 4, 2), (3, 8, 2), (4, 5, 4)):
        figure = overlays.overlays([[panel(MODELS[:count], CT_ORG)] * 2] * 2, CT_ORG)
        grid = figure.axes[0].get_gridspec()
        assert (grid.ncols, grid.nrows) == (columns, rows)


def test_telling_slice_lets_every_organ_count():
    labels = np.zeros((5, 20, 20), np.uint8)
    labels[0] = 1  # a large organ alone
    labels[3, :10] = 1
    labels[3, 15, 10:12] = 2
    labels[4, 15, 10] = 2
    assert overlays.telling_slice(labels) == 3
    assert overlays.telling_slice(np.zeros((5, 4, 4), np.uint8)) == 2
    assert overlays.telling_slice(labels, overlays.CORONAL) == 15


def test_telling_error_is_where_truth_and_predictions_differ():
    truth = np.zeros((6, 8, 8), np.uint8)
    truth[1:5, 2:6, 2:6] = 1
    good, bad = truth.copy(), truth.copy()
    bad[3, 2:6, 2:4] = 0
    bad[4, 2, 2] = 0
    assert overlays.telling_error(truth, [good, bad]) == overlays.telling_dispute([good, bad]) == 3
    assert overlays.telling_error(truth, [good, bad], overlays.CORONAL) == 2
    assert overlays.telling_error(truth, [good]) == overlays.telling_slice(truth)
    invented = truth.copy()
    invented[0, 7, 7] = 2  # of an organ that is not there one voxel is the largest area
    bad[1] = 0
    assert overlays.telling_error(truth, [invented]) == 0
    assert overlays.telling_dispute([truth, bad, bad]) == 1


def test_cuts_show_the_head_at_the_top():
    volume = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    labels = (volume % 3).astype(np.uint8)
    case = overlays.Panel("a", volume, (5.0, 1.0, 2.0), labels, {"unet": labels}, {"unet": "Dice 0.87"})
    axial = overlays.cut(case, overlays.AXIAL, 1)
    np.testing.assert_array_equal(axial.ct, volume[1])
    assert axial.spacing == (1.0, 2.0)
    assert axial.notes == {"unet": "Dice 0.87"}
    coronal = overlays.cut(case, overlays.CORONAL, 1)
    np.testing.assert_array_equal(coronal.ct, volume[::-1, 1])
    np.testing.assert_array_equal(coronal.predictions["unet"], labels[::-1, 1])
    assert coronal.spacing == (5.0, 2.0)
    assert not coronal.notes


def test_overlays_crop_the_air_and_what_is_far_but_no_label():
    ct, reference, prediction = np.full((100, 100), -1000.0), *np.zeros((2, 100, 100), np.uint8)
    ct[40:60, 30:50] = 0
    prediction[45, 70] = 1
    one = overlays.Panel("case1", ct, (1.0, 2.5), reference, {"unet": prediction})
    cropped = overlays._crop(one)
    assert cropped.ct.shape == cropped.reference.shape == cropped.predictions["unet"].shape == (30, 15)
    assert cropped.predictions["unet"].sum() == 1
    reference[50, 35] = 1
    assert overlays._crop(one).ct.shape == (30, 45)
    assert overlays._crop(replace(one, reference=reference * 0, predictions={})).ct.shape == (30, 24)
    empty = overlays.Panel("air", np.full((9, 9), -1000.0), (1.0, 1.0), np.zeros((9, 9), np.uint8), {})
    assert overlays._crop(empty) is empty


def test_one_colour_for_one_thing():
    assert len(set(palette(MODELS).values())) == 7
    assert len(set(palette(OPENKBP, ORGAN_COLOURS).values())) == 12
    assert palette(MODELS)["unet"] == palette(MODELS[:1])["unet"]
    assert style.organ_order(per_case_table(["unet"], ["lungs", "liver"])) == ["lungs", "liver", "all"]


def test_figures_leave_the_global_style_alone():
    before = dict(mpl.rcParams)
    draw_all(["unet", "ghostunet"], ["liver"])
    assert dict(mpl.rcParams) == before


def test_rolling_median_follows_the_cases():
    cases = pd.DataFrame({"x": np.arange(100.0), "y": np.linspace(0, 1, 100)})
    line = volumes.rolling_median(cases.sample(frac=1, random_state=0), "x", "y")
    np.testing.assert_allclose(line[20:80], cases["y"][20:80], atol=0.01)
    assert volumes.rolling_median(cases[:9], "x", "y").empty
    assert volumes.rolling_median(cases.assign(x=1.0), "x", "y").empty


def test_an_organ_without_a_case_leaves_the_others_their_axis():
    per_case = per_case_table(MODELS[:2], ["liver", "brain"])
    for figure in (volumes.dice_by_volume(per_case), volumes.volume_agreement(per_case, volume_agreement(per_case))):
        assert len(figure.axes[0].get_yticks()) > 2
        assert any(text in ("no case", "no case has both") for text in texts(figure))


def test_equal_ranks_are_all_seen():
    ranks = ranks_table(MODELS[:3], ["liver"]).assign(average_rank=2.0)
    places = [line.get_xydata()[0] for line in average_ranks.average_ranks(ranks, MODELS[:3]).axes[0].lines]
    points = [tuple(place) for place in places if len(place) == 2]
    assert len({(round(x, 3), round(y, 3)) for x, y in points}) == len(points)


def test_pareto_fills_the_front_and_names_who_was_not_measured():
    fronts = fronts_table(MODELS[:3])
    axes = pareto.pareto(fronts).axes[0]
    faces = {line.get_color(): line.get_markerfacecolor() for line in axes.lines if line.get_marker() == "o"}
    colours = palette(MODELS[:3])
    assert faces == {colour: "white" if model == "ghostunet" else colour for model, colour in colours.items()}
    training = fronts["cost"] == "training_seconds"
    fronts.loc[training & (fronts["model"] == "unet"), "value"] = np.nan
    fronts.loc[training, "on_front"] = np.nan
    labels = [axes.get_xlabel() for axes in pareto.pareto(fronts).axes]
    assert any("Training" in label and "not measured: unet" in label for label in labels)
    assert len(labels) == 9  # the cost that nobody has is left out


def test_every_organ_has_a_front_of_its_own():
    fronts = fronts_table(MODELS[:3], CT_ORG)
    beaten = (fronts["organ"] == "bladder") & (fronts["model"] == "unet")
    fronts["on_front"] = np.where(beaten, False, True)
    shown = [axes for axes in pareto.pareto_by_organ(fronts).axes if axes.get_visible()]
    assert len(shown) == 6 * 4
    hollow = [any(line.get_markerfacecolor() == "white" for line in axes.lines) for axes in shown]
    assert hollow == [False] * 4 + [True] * 4 + [False] * 16
    assert sum("no case" in [text.get_text() for text in axes.texts] for axes in shown) == 4  # the brain
    for organs, blocks in ((9, 1), (10, 2), (19, 4)):
        many = pareto.pareto_by_organ(fronts_table(MODELS[:2], MANY[:organs]))
        assert len([axes for axes in many.axes if axes.get_visible()]) == organs * 4 / blocks


def test_the_interval_of_networks_is_drawn_over_that_of_weights():
    per_case = per_case_table(MODELS[:2], ["liver"])
    comparison = comparison_table(per_case).assign(scope="networks", verdict_weights="better")
    comparison = comparison.assign(ci_low=-0.4, ci_high=0.5, ci_weights_low=-0.1, ci_weights_high=0.2)
    figure = paired_differences.paired_differences(per_case, comparison)
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    ends = {tuple(line.get_xdata()): line.get_color() for line in lines}
    assert ends[-0.4, 0.5] == "black"
    assert ends[-0.1, 0.2] == paired_differences.WEIGHTS["color"]
    assert figure.axes[0].get_xlim()[1] > 0.5


def test_one_training_each_is_seen_to_be_one():
    per_case = per_case_table(MODELS[:2], ["liver"])
    comparison = comparison_table(per_case).assign(scope="weights", verdict="undecided", verdict_weights="better")
    comparison = comparison.assign(ci_weights_low=comparison["ci_low"], ci_weights_high=comparison["ci_high"])
    figure = paired_differences.paired_differences(per_case, comparison)
    assert [line.get_markerfacecolor() for line in figure.axes[0].lines if line.get_marker() == "D"] == ["white"]
    shown = texts(figure)
    assert "undecided (weights better)" in shown
    assert any("nothing said of networks" in text for text in shown)


def test_the_spread_over_seeds_stands_in_the_accuracy_figure():
    per_case = per_case_table(MODELS[:2], ["liver"])
    assert "seed SD" in texts(metrics.metric_by_organ(per_case, summary_table(per_case)))
    alone = summary_table(per_case).assign(seed_std=np.nan)
    assert "seed SD" not in texts(metrics.metric_by_organ(per_case, alone))


def test_overview_colours_cases_by_a_role_that_stays():
    cases = cases_table(CT_ORG, 12)
    for folds, changing in ((1, False), (4, True)):
        figure = dataset.dataset(cases, split_table(12, folds), CT_ORG)
        (legend,) = figure.legends
        assert ("case with another role in each fold" in [text.get_text() for text in legend.texts]) == changing
        assert [points(axes) for axes in figure.findobj(mpl.axes.Axes)][:3] == [12, 5 * 12, 5 * 12]


def test_overview_says_in_how_many_cases_an_organ_was_annotated():
    cases = cases_table(CT_ORG, 12)
    assert "annotated" not in " ".join(texts(dataset.dataset(cases, split_table(12), CT_ORG)))
    cases.loc[:3, ["liver_ml", "liver_hu"]] = np.nan
    found = texts(dataset.dataset(cases, split_table(12), CT_ORG))
    assert "n / annotated" in found
    assert "8 / 8" in found
    assert "12 / 12" in found


def test_the_area_of_a_blob_is_the_share_of_resamples():
    figure = rank_stability.rank_stability(stability_table(MODELS[:3], ["liver", "bone"]), MODELS[:3])
    liver = figure.axes[0]
    blobs = {
        tuple(place): area
        for blob in liver.collections
        for place, area in zip(blob.get_offsets(), blob.get_sizes(), strict=True)
    }
    assert len(blobs) == 9
    row = 2  # the third model is the first in the table: its rank is 1
    assert blobs[1, row] / blobs[2, row] == pytest.approx(0.9 / 0.05)
    crosses = [(line.get_xdata()[0], line.get_ydata()[0]) for line in liver.lines if line.get_marker() == "x"]
    assert crosses == [(3, 0), (2, 1), (1, 2)]
    assert "n = 12, \N{GREEK SMALL LETTER TAU} = 0.50" in liver.get_title()


def test_an_organ_that_cannot_be_ranked_is_an_empty_panel():
    figure = rank_stability.rank_stability(stability_table(MODELS[:2], ["brain"]), MODELS[:2])
    (axes,) = figure.axes
    assert axes.get_title() == "brain\nn = 0"
    assert len(axes.lines) == 0


def test_groups_stand_below_one_another_with_their_numbers_and_stars():
    figure = differences_by_group.differences_by_group(groups_table(MODELS[:2], ["liver", "bone"]))
    shown = plain_texts(figure)
    assert {"Utrecht", "Basel hospital", "Lyon", "* another difference than in the other groups (p < 0.05, Holm)"} <= {
        *shown
    }
    assert shown.count("*") == 1
    assert "+0.020 [-0.010, +0.050]" in shown
    diamonds = [line.get_xydata()[0].tolist() for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert [x for x, _ in diamonds] == pytest.approx([0, 0.01, 0.02] * 3)
    heights = [y for _, y in diamonds]
    assert heights == sorted(heights)
    assert figure.axes[0].get_xlim()[1] < 0.2  # one interval of two patients does not squeeze all others


def test_of_many_pairs_groups_are_drawn_of_those_with_the_best():
    table = groups_table(MODELS[:5], ["liver", "bone"])
    table.loc[(table["model_a"] == MODELS[2]) | (table["model_b"] == MODELS[2]), "mean_difference"] = np.nan
    for side, sign in (("model_a", 1), ("model_b", -1)):
        table.loc[table[side] == MODELS[2], "mean_difference"] = sign * 0.3
    figure = differences_by_group.differences_by_group(table)
    assert len(figure.axes) == 4
    titles = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert sum("unet_large" in title for title in titles) == 4


def test_a_single_network_has_no_groups_to_compare():
    figure = differences_by_group.differences_by_group(groups_table(MODELS[:2], ["liver"]).iloc[:0])
    assert "One model: nothing to compare" in texts(figure)


# --- what the files say of their figures


@pytest.mark.parametrize(("file", "drawn"), figures.known(dosed=True).items())
def test_a_figure_can_be_drawn_and_has_a_caption(file, drawn):
    module = importlib.import_module(f"organbench.reporting.figures.{file}")
    for figure in drawn:
        arguments = inspect.signature(getattr(module, figure.function)).parameters
        assert len(arguments) == len(figure.tables) + len(figure.settings) + bool(figure.metric)
        assert (ROOT / "workflow" / "report" / f"{figure.function}.rst").is_file()
        assert set(figure.settings) <= {"models", "organs", "observers", "tuned"}
        assert figure.needs.keys() <= {"models", "groups", "doses", "candidates", "histories", "requests"}


def test_a_metric_that_is_drawn_has_a_figure():
    names = [figure.name for figure in figures.known(dosed=True)["metrics"]]
    assert names == [f"{name}_by_organ" for name in ("dice", "nsd", "hd95", "dmean_error", "dmax_error")]
    without = figures.known(dosed=False)
    assert [figure.name for figure in without["metrics"]] == names[:3]
    assert "dose_against_dice" not in without


def test_the_workflow_asks_without_importing_what_draws():
    code = "import sys; from organbench.reporting import figures; figures.known(dosed=True)"
    code += "; print({'matplotlib', 'pandas', 'numpy'} & set(sys.modules))"
    scripts = ROOT / "workflow" / "scripts"
    done = subprocess.run([sys.executable, "-c", code], cwd=scripts, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
