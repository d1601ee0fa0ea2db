"""Draw docs/phantoms.png: three patients of the phantom generator, with their labels.

Usage: python docs/draw_phantoms.py
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import SimpleITK as sitk

mpl.use("agg")
import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))
from organbench.data.sources.phantoms.patient import ORGANS
from organbench.data.sources.phantoms.scan import phantom

CASES, SEED, SIZE = (0, 4, 2), 1, (200, 200, 180)
WINDOW = (-700, 500)  # HU; wide enough to show lungs and bone at once
COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#f0e442", "#d55e00"]  # Okabe and Ito's, one an organ


def show(axes, volume, labels, pixel, title):
    """One slice (rows down the page, mm a pixel in rows and columns), with outlines of its labels."""
    height, width = np.multiply(volume.shape, pixel)
    extent = (0, width, height, 0)
    axes.imshow(volume, cmap="gray", vmin=WINDOW[0], vmax=WINDOW[1], extent=extent, interpolation="bilinear")
    seen = np.ma.masked_equal(labels, 0)
    axes.imshow(seen, cmap=ListedColormap(COLOURS), vmin=1, vmax=6, alpha=0.22, extent=extent, interpolation="nearest")
    for value, colour in zip(ORGANS.values(), COLOURS, strict=True):
        if (labels == value).any():
            axes.contour(labels == value, [0.5], colors=colour, linewidths=0.8, extent=extent, origin="upper")
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()


def main() -> None:
    """Draw one patient a row: coronal, then axial slices through the chest, liver, kidneys and bladder or brain."""
    figure, grid = plt.subplots(
        len(CASES), 5, figsize=(13, 8), gridspec_kw={"width_ratios": [1.1, 1, 1, 1, 1]}, layout="constrained"
    )
    for row, case in zip(grid, CASES, strict=True):
        stored = phantom(case, seed=SEED, size=SIZE)
        code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(stored[0].GetDirection())
        images = [sitk.DICOMOrient(image, "LPS") for image in stored]  # radiological: the patient's right on the left
        volume, labels = (sitk.GetArrayFromImage(image) for image in images)
        dx, dy, dz = images[0].GetSpacing()

        def middle(organ, axis, labels=labels):
            """The slice that holds most of an organ."""
            return int((labels == ORGANS[organ]).sum(tuple({0, 1, 2} - {axis})).argmax())

        y = (middle("liver", 1) + middle("kidneys", 1)) // 2
        title = f"case {case}, stored {code}, {dx:.1f} x {dy:.1f} x {dz:.1f} mm"
        show(row[0], volume[::-1, y], labels[::-1, y], (dz, dx), title)
        inside = np.flatnonzero((labels > 0).any((0, 2)))
        rows = slice(max(0, inside[0] - int(35 / dy)), inside[-1] + int(50 / dy))  # the patient and the couch
        last = "bladder" if (labels == ORGANS["bladder"]).any() else "bone"
        if (labels == ORGANS["brain"]).any():
            last = "brain"
        for axes, organ in zip(row[1:], ("lungs", "liver", "kidneys", last), strict=True):
            z = middle(organ, 0)
            show(axes, volume[z, rows], labels[z, rows], (dy, dx), f"axial, {organ}")
    figure.legend(handles=[Patch(color=c, label=o) for o, c in zip(ORGANS, COLOURS, strict=True)],
                  loc="outside lower center", ncols=6, frameon=False)  # fmt: skip
    figure.savefig(Path(__file__).with_name("phantoms.png"), dpi=80)


if __name__ == "__main__":
    main()
