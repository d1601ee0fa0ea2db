"""Whether a finished study repeats itself here: run `snakemake verify`."""

import time


rule verify_run:
    input:
        cases=training_files,
        tuned=chosen,
        weights=f"{RUN}/weights.pt",
        history=f"{RUN}/history.csv",
        cost=f"{RUN}/cost.json",
        image=first_tested(CASE["image"]),
        prediction=first_tested(f"{RUN}/predictions/{{case}}.nii.gz"),
    output:
        f"{RUN}/verified.json",
    log:
        f"{RESULTS}/logs/verify/{{model}}-fold{{fold}}-seed{{seed}}.log",
    wildcard_constraints:
        model=one_of(NETWORKS),
    conda:
        f"../../envs/{ENVIRONMENT}.yaml"
    threads: 8
    resources:
        **growing(mem_mb=training_memory, runtime=60),
        gpu=1,
    params:
        job=training_job,
        # Other than last time: each call measures again. (Not a `temp` output: Snakemake keeps those of a rule that is
        # asked for by name, and the next call would repeat an answer that threads, device or versions have outdated.)
        called=time.time(),
    script:
        "../scripts/verify_run.py"


rule verify:
    input:
        runs=runs(f"{RUN}/verified.json", NETWORKS),
    log:
        f"{RESULTS}/logs/verify.log",
    localrule: True
    conda:
        "../../envs/imaging.yaml"
    script:
        "../scripts/verify.py"
