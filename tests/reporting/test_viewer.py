"""The viewer shows what is there, where it is; and its page works in a real browser, without a server or a network."""

import base64
import gzip
import hashlib
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from tiny import examples

from organbench.data import grids
from organbench.data.grids import Grid
from organbench.reporting import viewer

PAGE = Path(__file__).parents[2] / "workflow" / "viewer"
ORGANS = ["liver", "spinal_cord"]
TILT = np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]])  # about 16 degrees about z


def image(array, *, spacing=(3.0, 3.0, 5.0), direction=TILT, orientation="LPS"):
    """An image on a tilted grid, its axes in the order and sense of `orientation`."""
    result = sitk.GetImageFromArray(array)
    result.SetSpacing(spacing)
    result.SetOrigin((-30.0, 12.5, 40.0))
    result.SetDirection(np.ravel(direction).tolist())
    return grids.orient(result, orientation)


def patient(shape=(20, 40, 36), orientation="LPS", shift=2, **geometry):
    """CT, reference, and two predictions: one that is off by `shift` voxels, and one that finds no spinal cord."""
    reference = np.zeros(shape, np.uint8)
    reference[4:14, 6:22, 5:17] = 1
    reference[2:18, 30:34, 24:28] = 2
    hu = np.select([reference == 1, reference == 2], [150, 700], -100).astype(np.int16)
    half = reference.copy()
    half[reference == 2] = 0
    arrays = {"ct": hu, "reference": reference, "unet": np.roll(reference, shift, axis=2), "ghostunet": half}
    return {name: image(array, orientation=orientation, **geometry) for name, array in arrays.items()}


def data_of(images, name="1"):
    predictions = {model: images[model] for model in ("unet", "ghostunet")}
    return viewer.case_data(name, images["ct"], images["reference"], predictions, ORGANS)


def decoded(text, folder):
    path = folder / "decoded.nii"
    path.write_bytes(gzip.decompress(base64.b64decode(text)))
    return sitk.ReadImage(path)


def centre(mask, of):
    """The centre of a mask's voxels in mm (LPS)."""
    return np.mean([of.TransformIndexToPhysicalPoint(np.flip(at).tolist()) for at in np.argwhere(mask)], axis=0)


@given(
    size=st.tuples(*[st.integers(1, 400)] * 3),
    spacing=st.tuples(*[st.floats(0.4, 6.0)] * 3),
    most=st.integers(1000, 3_000_000),
)
@examples(60)
def test_a_shown_grid_is_bounded_and_covers_the_same_box(size, spacing, most):
    grid = Grid(size, spacing, (1.0, 2.0, 3.0), tuple(np.eye(3).ravel()))
    shown = viewer.display_grid(grid, most)
    assert np.prod(shown.size) <= most
    if np.prod(size) <= most:
        assert shown == grid
    for axis in range(3):
        assert shown.spacing[axis] >= grid.spacing[axis] * (1 - 1e-6)
        middles = (g.origin[axis] + (g.size[axis] - 1) * g.spacing[axis] / 2 for g in (grid, shown))
        assert np.subtract(*middles) == pytest.approx(0, abs=1e-6)
        assert shown.size[axis] * shown.spacing[axis] == pytest.approx(
            size[axis] * spacing[axis], abs=shown.spacing[axis]
        )


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "SAL", "ARI"])
@pytest.mark.parametrize("most", [viewer.VOXELS, 6000])
def test_what_is_shown_lies_where_it_was(orientation, most, tmp_path, monkeypatch):
    monkeypatch.setattr(viewer.display_grid, "__defaults__", (most,))
    images = patient(orientation=orientation)
    data = data_of(images)
    shown = {"ct": data["ct"], "reference": data["reference"]} | data["predictions"]
    half = min(data["spacing"]) / 2
    for name, text in shown.items():
        drawn = decoded(text, tmp_path)
        assert np.prod(drawn.GetSize()) <= most
        masks = [sitk.GetArrayFromImage(one) for one in (drawn, images[name])]
        if name == "ct":
            masks = [(mask > 400) * 2 + ((mask > 20) & (mask <= 200)) for mask in masks]
        for organ in set(np.unique(masks[1])) - {0}:
            places = [centre(mask == organ, one) for mask, one in zip(masks, (drawn, images[name]), strict=True)]
            assert np.abs(places[0] - places[1]).max() < half, (name, organ)


def test_a_small_volume_is_shown_voxel_by_voxel(tmp_path):
    images = patient()
    data = data_of(images)
    np.testing.assert_array_equal(
        *map(sitk.GetArrayFromImage, (decoded(data["reference"], tmp_path), images["reference"]))
    )
    ct, hu = (sitk.GetArrayFromImage(one).astype(int) for one in (decoded(data["ct"], tmp_path), images["ct"]))
    assert np.abs(ct - hu).max() <= viewer.HU_STEP / 2
    assert data["spacing"] == data["original_spacing"] == (3.0, 3.0, 5.0)


def test_the_same_case_gives_the_same_text():
    assert json.dumps(data_of(patient())) == json.dumps(data_of(patient()))


def test_a_case_of_noise_is_bounded_in_size(tmp_path):
    """Noise packs worst; a scan packs better."""
    rng = np.random.default_rng(0)
    noise = image(rng.normal(0, 30, (150, 150, 150)).astype(np.int16), spacing=(1.0, 1.0, 1.0))
    empty = image(np.zeros((150, 150, 150), np.uint8), spacing=(1.0, 1.0, 1.0))
    viewer.write_script("showCase", viewer.case_data("1", noise, empty, {"unet": empty}, ORGANS), tmp_path / "1.js")
    assert (tmp_path / "1.js").stat().st_size < 4_000_000


@pytest.mark.parametrize("orientation", ["LPS", "SAL"])
def test_the_place_to_look_at_is_where_the_models_are_wrong(orientation):
    images = patient(orientation=orientation)
    look = data_of(images)["look"]
    assert set(look) == set(ORGANS)
    reference = images["reference"]
    for organ, place in enumerate(look.values(), start=1):
        at = reference.TransformPhysicalPointToIndex([-place[0], -place[1], place[2]])
        assert any((images[model][at] == organ) != (reference[at] == organ) for model in ("unet", "ghostunet"))


def test_the_place_to_look_at_is_inside_an_organ_that_all_have_right():
    images = patient()
    data = viewer.case_data("1", images["ct"], images["reference"], {"unet": images["reference"]}, [*ORGANS, "brain"])
    assert set(data["look"]) == set(ORGANS)
    x, y, z = data["look"]["spinal_cord"]
    assert images["reference"][images["reference"].TransformPhysicalPointToIndex([-x, -y, z])] == 2


def per_case_table():
    rows = []
    for case, (liver, cord) in {"1": (0.9, 0.5), "2": (0.7, np.nan), "x-10": (0.95, 0.9)}.items():
        for model, worse in (("unet", 0.0), ("ghostunet", 0.1)):
            for fold, seed in ((0, 0), (0, 1), (1, 0)):
                for organ, dice in zip(ORGANS, (liver, cord), strict=True):
                    value = dice - worse - 0.01 * seed - 0.02 * fold
                    row = {"model": model, "fold": fold, "seed": seed, "case": case, "organ": organ, "dice": value}
                    rows.append(row | {"hd95": np.inf if np.isnan(dice) else 3.0, "reference_ml": 10.0, "other": 1})
    return pd.DataFrame(rows)


def agreement_table():
    rows = [("1", "liver", 0.8), ("1", "spinal_cord", 0.4), ("2", "liver", 0.6), ("2", "spinal_cord", np.nan)]
    rows += [("x-10", organ, 1.0) for organ in ORGANS]
    return pd.DataFrame(
        [{"case": c, "organ": o, "model_a": "unet", "model_b": "ghostunet", "dice": d} for c, o, d in rows]
    )


def study(folds=None, organs=tuple(ORGANS), generated=True):
    return viewer.study_data(
        per_case_table(),
        agreement_table(),
        study="tiny",
        generated=generated,
        organs=list(organs),
        folds=folds or {"1": 0, "2": 1, "x-10": 0},
        seeds=[0, 1],
    )


def test_cases_are_ranked_by_what_is_shown():
    ranks = {entry["case"]: entry["ranks"] for entry in study()["cases"]}
    assert ranks["1"]["all"] == pytest.approx([0.4, 0.65, 1 - 0.6])  # worst, mean, disagreement
    assert ranks["1"]["liver"] == pytest.approx([0.8, 0.85, 0.2])
    assert ranks["2"]["all"] == pytest.approx([0.58, 0.63, 0.4])  # of fold 1
    assert ranks["2"]["spinal_cord"] == [None, None, None]
    assert ranks["x-10"]["all"][2] == 0


def test_the_table_holds_the_numbers_of_the_shown_predictions():
    data = study()
    assert [each["name"] for each in data["metrics"]] == ["Dice", "HD95"]
    (entry,) = [entry for entry in data["cases"] if entry["case"] == "2"]
    assert entry["organs"]["liver"] == {"reference_ml": 10.0, "models": {"unet": [0.68, 3.0], "ghostunet": [0.58, 3.0]}}
    assert entry["organs"]["spinal_cord"]["models"]["unet"] == [None, None]
    assert data["models"] == ["unet", "ghostunet"]
    assert (data["seeds"], data["folds"]) == ([0, 1], 2)


def test_a_single_model_disagrees_with_nobody():
    per_case = per_case_table().query("model == 'unet'")
    ranks = viewer.ranking(per_case, agreement_table().iloc[:0])
    assert ranks["disagreement"].isna().all()
    assert ranks["worst"].notna().any()


def test_a_script_is_a_call_with_json(tmp_path):
    viewer.write_script("showStudy", study(), tmp_path / "study.js")
    (content,) = re.fullmatch(r"showStudy\((.*)\);\n", (tmp_path / "study.js").read_text()).groups()
    assert json.loads(content) == study()
    with pytest.raises(ValueError, match="JSON"):
        viewer.write_script("showStudy", {"dice": np.nan}, tmp_path / "study.js")
    assert [path.name for path in tmp_path.iterdir()] == ["study.js"]


def test_niivue_is_what_its_licence_says_and_the_page_asks_for():
    (script,) = (PAGE / "niivue").glob("*.js")
    checksum = hashlib.sha256(script.read_bytes()).hexdigest()
    licences = (PAGE / "niivue" / "LICENSES.txt").read_text()
    assert f"{script.name} is" in licences
    assert checksum in licences
    page = (PAGE / "index.html").read_text()
    wanted = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert f"niivue/{script.name}" in wanted
    assert all((PAGE / file).is_file() for file in wanted if file not in ("data:,", "study.js"))
    for file in ("index.html", "viewer.js", "viewer.css"):
        assert "//" not in re.sub(r"^ *//.*|// .*", "", (PAGE / file).read_text(), flags=re.M), file


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The viewer of a study of three cases and two models, in a folder with a space and a # in its name."""
    folder = tmp_path_factory.mktemp("a study") / "#1"
    shutil.copytree(PAGE, folder)
    for name, orientation, shift in (("1", "LPS", 2), ("2", "RAS", 4), ("x-10", "SAL", 1)):
        data = data_of(patient(orientation=orientation, shift=shift), name)
        viewer.write_script("showCase", data, folder / "cases" / f"{name}.js")
    viewer.write_script("showStudy", study(), folder / "study.js")
    return folder


class Tab:
    """A tab with a page of the viewer, and what went wrong in it."""

    def __init__(self, browser, address):
        self.page = browser.new_page(viewport={"width": 1280, "height": 800})
        self.requests, self.errors = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.goto(address)

    def wait(self, case, layer):
        self.page.wait_for_function(
            "want => document.body.dataset.shown === want", arg=f"{case}/{layer}", timeout=20_000
        )

    def picture(self):
        """The canvas's pixels, rows columns RGB, 0 to 1."""
        return imread(io.BytesIO(self.page.locator("#canvas").screenshot()))[..., :3]

    def cases(self):
        return self.page.locator("#cases tr td:first-child").all_inner_texts()


@pytest.fixture
def tab(browser, site):
    opened = []

    def open_tab(address=""):
        opened.append(Tab(browser, (site / "index.html").as_uri() + address))
        return opened[-1]

    yield open_tab
    for one in opened:
        one.page.close()


def changed(a, b):
    """The share of pixels that differ visibly."""
    return float((np.abs(a - b).max(axis=2) > 0.05).mean())


def test_a_case_opens_a_layer_switches_and_the_picture_changes(tab):
    tab = tab()
    tab.wait("1", "reference")  # the worst case is the first
    reference = tab.picture()
    assert reference.std() > 0.1
    organ = np.array([0x56, 0xB4, 0xE9]) / 255  # of the spinal cord
    assert (reference[..., 2] - reference[..., 0] > 0.1).any(), organ
    tab.page.get_by_role("radio", name="CT", exact=True).click()
    tab.wait("1", "CT")
    ct = tab.picture()
    assert np.ptp(ct[100:-100, 100:-100], axis=2).max() < 0.7  # grey, but for the crosshair
    assert 0.01 < changed(reference, ct) < 0.5
    tab.page.keyboard.press("2")
    tab.wait("1", "unet")
    unet = tab.picture()
    assert changed(unet, reference) > 0.001
    tab.page.get_by_label("reference's contour").uncheck()
    plain = tab.picture()
    assert 0.0005 < changed(unet, plain) < 0.1
    tab.page.locator("#opacity").fill("1")
    assert changed(tab.picture(), plain) > 0.01
    tab.page.locator("#window").select_option("lung")
    assert changed(tab.picture(), plain) > 0.05
    tab.page.locator("#view").select_option("axial")
    assert changed(tab.picture(), plain) > 0.05
    tab.page.keyboard.press("n")
    tab.wait("2", "unet")
    assert "HU" in tab.page.locator("#place").inner_text()
    assert tab.errors == []
    assert {url.split(":")[0] for url in tab.requests} <= {"file", "data", "blob"}


def test_the_list_ranks_and_its_links_open_a_case(tab):
    tab = tab("#x-10")
    tab.wait("x-10", "reference")
    assert tab.cases() == ["1", "2", "x-10"]
    tab.page.get_by_role("button", name="mean Dice").click()
    assert tab.cases() == ["2", "1", "x-10"]
    tab.page.get_by_role("button", name="disagree").click()
    assert tab.cases() == ["1", "2", "x-10"]
    tab.page.locator("#organ").select_option("liver")
    assert tab.cases() == ["2", "1", "x-10"]
    tab.page.locator("#cases tr").first.click()
    tab.wait("2", "reference")
    assert "generated" in tab.page.locator("header").inner_text().lower()
    rows = tab.page.locator("#metrics tbody tr").all_inner_texts()
    assert [row.split("\t")[0].strip() for row in rows] == ["liver", "spinal cord"]
    assert rows[0].split()[1:] == ["10.0", "0.680", "0.580", "3.0", "3.0"]
    before = tab.page.locator("#place").inner_text()
    tab.page.get_by_role("button", name="spinal cord").click()
    after = tab.page.locator("#place").inner_text()
    assert after != before
    assert "reference: spinal cord" in after
    assert re.search("ghostunet: background|ghostunet, unet: background|unet, ghostunet: background", after)
    shown = tab.picture()
    tab.page.locator("#metrics input").last.uncheck()
    assert changed(shown, tab.picture()) > 0.0005
    assert tab.errors == []


def test_a_missing_case_is_told_and_the_next_one_opens(tab, site):
    (site / "cases" / "2.js").rename(site / "cases" / "2.gone")
    tab = tab("#2")
    tab.page.wait_for_function("document.getElementById('message').textContent.includes('missing')", timeout=20_000)
    (site / "cases" / "2.gone").rename(site / "cases" / "2.js")
    tab.page.keyboard.press("n")
    tab.wait("x-10", "reference")
