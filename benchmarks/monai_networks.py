"""Which networks of MONAI train a step out of the box, and what the check says: the table of docs/monai-networks.md.

Usage: python benchmarks/monai_networks.py
"""

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "docs")]

import marked  # noqa: E402
import yaml  # noqa: E402

from organbench.core import files  # noqa: E402
from organbench.core.errors import InputError  # noqa: E402
from organbench.hardware import devices  # noqa: E402
from organbench.learning.rehearsal import rehearse  # noqa: E402
from organbench.learning.settings import Training  # noqa: E402
from organbench.study import configuration, schema  # noqa: E402
from organbench.study.kinds import network as kind  # noqa: E402

PAGE = ROOT / "docs" / "monai-networks.md"
BEGIN = "<!-- the table, by benchmarks/monai_networks.py -->\n"
PATCHES = {2: [64, 64], 3: [32, 32, 32]}
LARGER = {"SwinUNETR": [64, 64, 64]}  # of 3D; 32 voxels would be a single one at its coarsest level
KERNELS = {"kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2]}
CHANNELS = {"channels": [16, 32, 64], "strides": [2, 2]}
NETWORKS: dict[str, dict[str, Any]] = {
    "SegResNet": {"init_filters": 16},
    "DynUNet": KERNELS,
    "SwinUNETR": {"feature_size": 12},
    "AttentionUnet": CHANNELS,
    "BasicUNet": {"features": [16, 16, 32, 64, 128, 16]},
    "BasicUNetPlusPlus": {"features": [16, 16, 32, 64, 128, 16]},
    "UNETR": {"feature_size": 8, "hidden_size": 96, "mlp_dim": 192, "num_heads": 4},
    "UNet": CHANNELS,
    "MedNeXt": {"init_filters": 16},
    "MedNeXtS": {
        "map": {"in_channels": "in_channels", "classes": "out_channels", "dims": "spatial_dims"},
        "kernel_size": 3,
    },
    "VNet": {},
}
"""What their constructors need beside what they get of the study; small, so that a step takes a moment."""


def entry(name: str, options: dict[str, Any], dims: int) -> dict[str, Any]:
    """A model's entry in a study."""
    shape = {"dims": dims} if dims == 3 else {}
    patch = LARGER.get(name, PATCHES[3]) if dims == 3 else PATCHES[2]
    return {"network": f"monai.networks.nets.{name}", **shape, "patch": patch, "batch_size": 2, **options}


def result(model: dict[str, Any], norm: str) -> list[str]:
    """What the check says of a model: a line of parameters and notes, or why it is refused."""
    defaults = yaml.safe_load((ROOT / "config.yaml").read_text())
    known = schema.load(ROOT / "workflow/schemas/config.schema.yaml")
    config = configuration.resolve({"models": {"it": model}, "training": {"norm": norm}}, defaults, known)
    try:
        network, training = kind.settings("it", config)
        found = rehearse(network, Training(**files.tuples(training)), list(config["dataset"]["organs"]))
    except InputError as error:
        return ["no", "", str(error)]
    return ["yes", f"{found.parameters / 1e6:.2f} M", found.notes]


def main() -> None:
    """Try each network in 2D and 3D, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--only", help="one of the networks, shown and not written")
    only = parser.parse_args().only
    devices.prepare(threads=1, gpus=0)
    lines = ["| network | | trains | parameters | what the check says |", "| --- | --- | --- | --- | --- |"]
    for name, options in NETWORKS.items():
        for dims in (2, 3):
            if only in (None, name):
                row = result(entry(name, options, dims), "instance")
                lines.append(f"| {name} | {dims}D | {' | '.join(cell.replace('|', '/') for cell in row)} |")
                print(lines[-1], flush=True)
    if not only:
        marked.replace(PAGE, BEGIN, "\n".join(["", *lines, ""]))


if __name__ == "__main__":
    main()
