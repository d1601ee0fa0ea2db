"""Figures render at their extremes, show every case, and come out the same every time."""

from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.image import imread

from organbench import figures
from organbench.statistics import summarise
from organbench.verdicts import compare

CT_ORG = ["liver", "bladder", "lungs", "kidneys", "bone", "brain"]
OPENKBP = ["brainstem", "spinal_cord", "right_parotid", "left_parotid", "esophagus", "larynx", "mandible", "ptv56"]
OPENKBP += ["ptv63", "ptv70", "right_submandibular_gland", "left_submandibular_gland"]
MODELS = ["unet", "ghostunet", "unet_large_instance_norm", "ghostunet_v2", "unet3d", "nnunet_resenc_medium"]
EXTREMES = [(MODELS[:1], ["liver"]), (MODELS[:2], CT_ORG), (MODELS, OPENKBP)]


def per_case_table(models, organs, cases=5, seeds=(0, 1)):
    rng = np.random.default_rng(0)
    rows = [
        (model, 0, seed, f"case{case}", organ, rng.beta(20, 2) if organ != "brain" else np.nan)
        for model in models
        for seed in seeds
        for case in range(cases)
        for organ in organs
    ]
    frame = pd.DataFrame(rows, columns=["model", "fold", "seed", "case", "organ", "dice"])
    return frame.assign(false_positive=False)


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
    width = (shape[1] - 4) // len(organs)
    for k in range(1, len(organs) + 1):
        reference[10:30, 2 + (k - 1) * width : 2 + k * width - 1] = k
    ct = np.where(reference > 0, 60.0, -100.0)
    return figures.Panel(title, ct, spacing, reference, {m: np.roll(reference, 2, axis=1) for m in models})


def draw_all(models, organs):
    per_case = per_case_table(models, organs)
    return {
        "dice_by_organ": figures.dice_by_organ(per_case, summarise(per_case)),
        "paired_differences": figures.paired_differences(per_case, compare(per_case)),
        "learning_curves": figures.learning_curves(history_table(models, organs)),
        "overlays": figures.overlays([panel(models, organs), panel(models, organs, (60, 60))], organs),
    }


def points(axes):
    return sum(len(c.get_offsets()) for c in axes.collections if isinstance(c, PathCollection))


def texts(figure):
    return [text.get_text() for text in figure.findobj(mpl.text.Text)]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("models", "organs"), EXTREMES, ids=["1x1", "2x6", "6x12"])
def test_extremes_render_whole_and_not_blank(models, organs):
    for name, figure in draw_all(models, organs).items():
        with mpl.rc_context(figures.STYLE):
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
        assert np.std(np.asarray(canvas.buffer_rgba())[..., :3]) > 2, name
        width, height = figure.get_size_inches() * 25.4
        assert width == pytest.approx(183)
        assert height < 247
        drawn = figure.get_tightbbox().extents * 25.4  # mm: left, bottom, right, top
        assert min(drawn[:2]) > -0.5, name
        assert drawn[2] < width + 0.5, name
        assert drawn[3] < height + 0.5, name
        assert min(text.get_fontsize() for text in figure.findobj(mpl.text.Text) if text.get_text()) >= 6


def test_svg_has_the_same_bytes_when_drawn_again(tmp_path):
    for run in ("first", "second"):
        for name, figure in draw_all(MODELS[:2], CT_ORG[:2]).items():
            figures.save(figure, tmp_path / run / f"{name}.svg")
    for first in (tmp_path / "first").iterdir():
        assert first.read_bytes() == (tmp_path / "second" / first.name).read_bytes(), first.name
        assert ElementTree.parse(first).getroot().tag.endswith("svg")
        assert b"<dc:date>" not in first.read_bytes()


def test_save_leaves_nothing_but_the_figures(tmp_path):
    figure = figures.learning_curves(history_table(["unet"], ["liver"]))
    figures.save(figure, tmp_path / "new" / "a.png", tmp_path / "new" / "a.svg")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.png", "a.svg"]
    with pytest.raises(ValueError, match="nonsense"):
        figures.save(figure, tmp_path / "new" / "b.nonsense")
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_png_is_printed_at_300_dpi(tmp_path):
    figure = figures.learning_curves(history_table(["unet"], ["liver"]))
    figures.save(figure, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").shape[1] == pytest.approx(183 / 25.4 * 300, abs=1)


def test_every_case_is_a_point():
    per_case = per_case_table(["unet", "ghostunet"], ["liver", "brain"], cases=7)
    figure = figures.dice_by_organ(per_case, summarise(per_case))
    assert points(figure.axes[0]) == 2 * 2 * 7  # models, liver and all, cases; the brain has no value
    figure = figures.paired_differences(per_case, compare(per_case))
    assert points(figure.axes[0]) == 2 * 7


def test_points_spread_within_their_lane():
    values = np.random.default_rng(0).beta(20, 2, 200)
    spread = figures._spread(values)
    assert np.abs(spread).max() <= 1
    assert len(np.unique(np.round(spread, 6))) > 150
    assert figures._spread(np.array([0.5])) == 0


def test_numbers_beside_the_plot_are_those_of_the_table():
    per_case = per_case_table(["unet", "ghostunet"], ["liver", "lungs"])
    summary, comparison = summarise(per_case), compare(per_case)
    shown = texts(figures.dice_by_organ(per_case, summary))
    for row in summary.itertuples():
        assert f"{row.mean:.3f} [{row.ci_low:.3f}, {row.ci_high:.3f}]" in shown
    shown = [text.replace("\N{MINUS SIGN}", "-") for text in texts(figures.paired_differences(per_case, comparison))]
    for row in comparison.itertuples():
        assert f"{row.mean_difference:+.3f} [{row.ci_low:+.3f}, {row.ci_high:+.3f}]" in shown


def test_direction_is_told_in_words():
    per_case = per_case_table(["unet", "ghostunet"], ["liver"])
    shown = [text.replace("\xa0", " ") for text in texts(figures.paired_differences(per_case, compare(per_case)))]
    assert "unet better →" in shown
    assert "← ghostunet better" in shown


def test_a_panel_a_pair():
    per_case = per_case_table(MODELS[:4], ["liver"])
    assert len(figures.paired_differences(per_case, compare(per_case)).axes) == 6


def test_organs_without_a_single_value_are_drawn_empty(tmp_path):
    per_case = per_case_table(["unet", "ghostunet"], ["brain"])
    figures.save(figures.dice_by_organ(per_case, summarise(per_case)), tmp_path / "a.png")
    figures.save(figures.paired_differences(per_case, compare(per_case)), tmp_path / "b.png")


def test_learning_curves_average_runs_and_organs():
    history = history_table(["unet"], ["liver", "bladder"], seeds=(0, 1, 2))
    history.loc[history["seed"] == 2, ["dice_liver", "dice_bladder"]] -= 0.3
    loss, dice = figures.learning_curves(history).axes
    steps, values = dice.lines[0].get_data()
    assert list(steps) == [10, 20, 30, 40, 50, 60]
    np.testing.assert_allclose(values, 1 - np.exp(-np.array(steps) / 20) - 0.1)
    assert len(loss.lines[0].get_xdata()) == 60
    assert len(loss.collections) == 1  # the band


def test_a_model_without_a_history_leaves_the_others_their_colours():
    history = history_table(["unet", "ghostunet"], ["liver"])
    figure = figures.learning_curves(history, ["unet", "both", "ghostunet"])
    colours = figures.palette(["unet", "both", "ghostunet"])
    for axes in figure.axes:
        assert [line.get_color() for line in axes.lines] == [colours["unet"], colours["ghostunet"]]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ["unet (2 runs)", "ghostunet (2 runs)", "range over runs"]


def test_learning_curves_without_validation_or_with_negative_loss(tmp_path):
    history = history_table(["unet"], ["liver"], validated=False)
    assert "No validation cases" in texts(figures.learning_curves(history))
    history["loss"] -= 1
    figure = figures.learning_curves(history)
    assert figure.axes[0].get_yscale() == "linear"
    figures.save(figure, tmp_path / "a.png")


def test_overlays_keep_the_patients_shape_and_skip_missing_predictions(tmp_path):
    panels = [panel(["unet", "ghostunet"], CT_ORG), panel(["unet"], CT_ORG)]
    figure = figures.overlays(panels, CT_ORG)
    figures.save(figure, tmp_path / "a.png")
    axes = np.array(figure.axes).reshape(2, 3)
    assert [a.get_title() for a in axes[0]] == ["truth", "unet", "ghostunet"]
    assert axes[0, 0].get_aspect() == pytest.approx(2)
    box = axes[0, 0].get_window_extent()
    assert box.height / box.width == pytest.approx(40 * 3.0 / (60 * 1.5), rel=0.02)
    assert len(axes[1, 2].images) == 0


def test_telling_slice_lets_every_organ_count():
    labels = np.zeros((5, 20, 20), np.uint8)
    labels[0] = 1  # a large organ alone
    labels[3, :10] = 1
    labels[3, 15, 10:12] = 2
    labels[4, 15, 10] = 2
    assert figures.telling_slice(labels) == 3
    assert figures.telling_slice(np.zeros((5, 4, 4), np.uint8)) == 2


def test_overlays_crop_the_air_but_no_label():
    ct, reference, prediction = np.full((100, 100), -1000.0), *np.zeros((2, 100, 100), np.uint8)
    ct[40:60, 30:50] = 0
    prediction[45, 70] = 1
    one = figures.Panel("case1", ct, (1.0, 2.5), reference, {"unet": prediction})
    cropped = figures._crop(one)
    assert cropped.ct.shape == cropped.reference.shape == cropped.predictions["unet"].shape == (30, 45)
    assert cropped.predictions["unet"].sum() == 1
    empty = figures.Panel("air", np.full((9, 9), -1000.0), (1.0, 1.0), np.zeros((9, 9), np.uint8), {})
    assert figures._crop(empty) is empty


def test_one_colour_for_one_thing():
    assert len(set(figures.palette(MODELS).values())) == 6
    assert len(set(figures.organ_palette(OPENKBP).values())) == 12
    assert figures.palette(MODELS)["unet"] == figures.palette(MODELS[:1])["unet"]
    assert figures.organ_order(per_case_table(["unet"], ["lungs", "liver"])) == ["lungs", "liver", "all"]


def test_figures_leave_the_global_style_alone():
    before = dict(mpl.rcParams)
    draw_all(["unet", "ghostunet"], ["liver"])
    assert dict(mpl.rcParams) == before
