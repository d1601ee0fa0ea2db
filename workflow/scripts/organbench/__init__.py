"""Compare segmentation networks on CT: the library that the workflow's scripts share. It knows nothing of Snakemake."""
