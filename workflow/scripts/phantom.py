"""Generate one patient."""

from organbench.core import files, jobs
from organbench.data import images
from organbench.data.sources.phantoms.scan import phantom

with jobs.job_log(snakemake.log[0]):
    volume, labels = phantom(int(snakemake.wildcards.case), seed=snakemake.params.seed, size=snakemake.params.size)
    params = snakemake.params
    files.write_json({"seed": params.seed, "size": params.size, "code": params.code}, params.mark)
    images.write(volume, snakemake.output.volume)
    images.write(labels, snakemake.output.labels)
