"""Generate one patient."""

from organbench.core.jobs import job_log
from organbench.data import volumes
from organbench.data.sources.phantoms.scan import phantom

with job_log(snakemake.log[0]):
    volume, labels = phantom(int(snakemake.wildcards.case), seed=snakemake.params.seed, size=snakemake.params.size)
    params = snakemake.params
    volumes.write_json({"seed": params.seed, "size": params.size, "code": params.code}, params.mark)
    volumes.write(volume, snakemake.output.volume)
    volumes.write(labels, snakemake.output.labels)
