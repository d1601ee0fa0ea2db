"""Generate one patient."""

from pathlib import Path

from organbench.core.jobs import job_log
from organbench.data import volumes
from organbench.data.sources.phantoms.scan import phantom

with job_log(snakemake.log[0]):
    volume, labels = phantom(int(snakemake.wildcards.case), seed=snakemake.params.seed, size=snakemake.params.size)
    mark = Path(snakemake.params.mark)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    volumes.write(volume, snakemake.output.volume)
    volumes.write(labels, snakemake.output.labels)
