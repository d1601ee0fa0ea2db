"""Draw reference and predictions on the CT, for the best, the median, the worst and the most disputed case."""

from pathlib import Path

from organbench.core import files, jobs, tables
from organbench.data import grids, images
from organbench.reporting.figures import overlays, style

with jobs.job_log(snakemake.log[0]), files.unchanged(*snakemake.input.volumes, *snakemake.input.labels):
    params = snakemake.params
    examples = tables.read(snakemake.input.examples)
    predicted = {Path(path).name.removesuffix(".nii.gz") for path in snakemake.input.predictions}
    shown = [case for case in params.folds if case in predicted]  # some may be excluded
    originals = dict(zip(shown, zip(snakemake.input.volumes, snakemake.input.labels, strict=True), strict=True))
    rows = []
    for (rank, case), chosen in examples.groupby(["rank", "case"], sort=False):
        volume = images.read_volume(originals[case][0])
        labels = images.read_labels(originals[case][1], params.organs, params.ignored)
        place = {"fold": params.folds[case], "seed": params.seed, "case": case}
        paths = {model: params.prediction.format(model=model, **place) for model in chosen["model"]}
        predicted_labels = {model: images.read_labels(path, params.organs) for model, path in paths.items()}
        array, grid = grids.oriented(volume)  # views, valid while the images live
        reference, _ = grids.oriented(labels)
        predictions = {model: grids.oriented(image)[0] for model, image in predicted_labels.items()}
        notes = {row.model: f"Dice {row.dice:.2f}" for row in chosen.itertuples()}
        title = f"{rank}: {case}"
        if rank == "disputed":
            title += f"\n{chosen['disagreement'].iloc[0]:.2f} apart"
        whole = overlays.Panel(title, array, grid.spacing[::-1], reference, predictions, notes)
        row = []
        for axis in (overlays.AXIAL, overlays.CORONAL):
            if rank == "worst":
                index = overlays.telling_error(reference, list(predictions.values()), axis)
            elif rank == "disputed":
                index = overlays.telling_dispute(list(predictions.values()), axis)
            else:
                index = overlays.telling_slice(reference, axis)
            row.append(overlays.cut(whole, axis, index))
        rows.append(row)
    style.save(overlays.overlays(rows, list(params.organs)), snakemake.output.png, snakemake.output.svg)
