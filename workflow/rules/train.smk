"""A contender's weights, for every fold and seed."""


rule train:
    input:
        cases=training_files,
        # every case has been checked; ancient, so that a new test case does not retrain
        checked=ancient(f"{RESULTS}/tables/cases.csv"),
        code=training_code,
    output:
        weights=f"{RUN}/weights.pt",
        history=f"{RUN}/history.csv",
        cost=f"{RUN}/cost.json",
    log:
        f"{RESULTS}/logs/train/{{model}}-fold{{fold}}-seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{model}}-fold{{fold}}-seed{{seed}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=16000,
        runtime=1440,
    params:
        settings=model_settings,
        window=STUDY["preprocessing"]["window"],
        organs=list(ORGANS),
        # no output: Snakemake would delete it when the job fails
        checkpoint=lambda wildcards: f"{RUN}/checkpoint.pt".format(**wildcards),
        training=lambda wildcards: [
            f"{RESULTS}/cases/{case}" for case in cases_in(wildcards, "train")
        ],
        validation=lambda wildcards: [
            f"{RESULTS}/cases/{case}" for case in cases_in(wildcards, "validation")
        ],
    script:
        "../scripts/train.py"
