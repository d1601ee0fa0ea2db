"""Draw how predicted volumes agree with the true ones, and where cases fail: small organs, thick slices."""

from organbench.core import tables
from organbench.core.jobs import job_log
from organbench.reporting import figures

with job_log(snakemake.log[0]):
    per_case = tables.read(snakemake.input.per_case)
    cases = tables.read(snakemake.input.cases)
    drawn = {
        "volume_agreement": figures.volume_agreement(per_case, tables.read(snakemake.input.agreement)),
        "dice_by_volume": figures.dice_by_volume(per_case),
        "dice_by_spacing": figures.dice_by_spacing(per_case, cases),
    }
    for name, figure in drawn.items():
        figures.save(figure, snakemake.output[f"{name}_png"], snakemake.output[f"{name}_svg"])
