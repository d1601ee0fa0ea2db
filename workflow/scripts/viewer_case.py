"""Write one case for the viewer, and how far the models agree on it."""

import SimpleITK as sitk

from organbench.analysis import cohort
from organbench.core import files, jobs, tables
from organbench.data.images import read_labels, read_volume
from organbench.reporting import viewer

with jobs.job_log(snakemake.log[0]), files.unchanged(snakemake.input.volume, snakemake.input.labels):
    organs, case = snakemake.params.organs, snakemake.wildcards.case
    volume = read_volume(snakemake.input.volume)
    reference = read_labels(snakemake.input.labels, organs, snakemake.params.ignored)
    predictions = {
        model: read_labels(path, organs)
        for model, path in zip(snakemake.params.models, snakemake.input.predictions, strict=True)
    }
    data = viewer.case_data(case, volume, reference, predictions, list(organs))
    viewer.write_script("showCase", data, snakemake.output.script)
    arrays = {model: sitk.GetArrayViewFromImage(image) for model, image in predictions.items()}
    table = cohort.agreement(arrays, list(organs))
    for model, offered in snakemake.params.partial.items():  # what it does not offer is no disagreement
        of_it = (table["model_a"] == model) | (table["model_b"] == model)
        table = table[~of_it | table["organ"].isin(offered)]
    table.insert(0, "case", case)
    tables.write(table, snakemake.output.agreement)
