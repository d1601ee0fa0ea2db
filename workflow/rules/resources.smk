"""What a finished study's jobs asked for, and what they took: run `snakemake resources`."""


rule resources:
    log:
        f"{RESULTS}/logs/resources.log",
    localrule: True
    conda:
        "../../envs/imaging.yaml"
    params:
        asked=asked,
    script:
        "../scripts/resources.py"
