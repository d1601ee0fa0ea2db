"""The most memory that predicting a whole-body scan of 512 x 512 x 900 voxels takes, with 7 and with 14 classes.

The scan is prepared at 1.5 mm (240 x 240 x 600) and predicted on its own grid, as workflow/scripts/predict.py does it.
"""

import time
from functools import partial
from pathlib import Path

import contest
import inputs


def predict(work: Path, classes: int) -> dict[str, float]:
    """All that workflow/scripts/predict.py does.

    The classes include background.
    """
    import torch

    from organbench.data import cases, conversion
    from organbench.hardware import devices
    from organbench.inference import prediction, weights
    from organbench.study.settings import Study

    folder = work / f"ct-{classes}"
    started = time.perf_counter()
    settings = Study.of(inputs.default_study()).prediction
    device = devices.prepare(threads=torch.get_num_threads(), gpus=1)
    network, recipe = weights.load(folder / "weights.pt", device)
    whole = prediction.Predictor(network, recipe, settings, device)
    case = cases.load(folder / "long")
    predicted = prediction.predict_case(whole, case, settings.specks(recipe.organ_ml, recipe.organs))
    conversion.write_prediction(predicted, case, folder / "long.nii.gz")
    return {"seconds": time.perf_counter() - started}


def prepare(work: Path, ct: Path) -> None:
    """Weights and a long scan for either number of classes."""
    for classes in inputs.ORGANS_OF:
        inputs.make_weights(work, ct, classes)
        inputs.make_long_scan(work, ct, classes)


CLAIM = {"what": "peak memory of predicting 512 x 512 x 900", "measure": "peak_mib", "most": 4096}

if __name__ == "__main__":
    contest.main(
        "memory",
        {f"{classes} classes": partial(predict, classes=classes) for classes in inputs.ORGANS_OF},
        claims=[CLAIM | {"ours": f"{classes} classes"} for classes in inputs.ORGANS_OF],
        prepare=prepare,
        warmups=0,
    )
