"""nnU-Net's planning, training and prediction, by an interpreter that has it; see docs/other-segmenters.md."""


rule nnunet_prepare:
    input:
        volumes=nnunet_files(VOLUME),
        labels=nnunet_files(REFERENCE),
        cases=nnunet_files(CASE["case"]),
        # all cases and doses are checked before
        checked=[ancient(f"{RESULTS}/tables/cases.csv"), *map(ancient, CHECKED_DOSES)],
    output:
        temp(directory(NNUNET_FOLD)),
    log:
        f"{RESULTS}/logs/nnunet_prepare/{{model}}-fold{{fold}}.log",
    wildcard_constraints:
        model=one_of(NNUNET),
    conda:
        "../../envs/nnunet.yaml"
    threads: 4
    resources:
        **growing(mem_mb=32000, runtime=600),
    params:
        job=nnunet_job,
        ignored=unrecorded(STUDY["dataset"]["ignore_labels"]),
        values=unrecorded(ORGANS),
        elsewhere=unrecorded(ADDRESS),
    script:
        "../scripts/nnunet_prepare.py"


# As `train`: what shapes the weights is no param that Snakemake records, see weights.smk.
rule nnunet_train:
    input:
        cases=training_files,
        prepared=nnunet_prepared,
        checked=checked,
    output:
        weights=update(f"{RUN}/weights.pt"),
        history=update(f"{RUN}/history.csv"),
        cost=update(f"{RUN}/cost.json"),
    log:
        f"{RESULTS}/logs/nnunet_train/{{model}}-fold{{fold}}-seed{{seed}}.log",
    wildcard_constraints:
        model=one_of(NNUNET),
    conda:
        "../../envs/nnunet.yaml"
    threads: 8
    resources:
        **following(nnunet_training_request),
        gpu=1,
    params:
        job=training_job,
        nnunet=nnunet_job,
    script:
        "../scripts/nnunet_train.py"


rule nnunet_predict:
    input:
        volume=source(VOLUME),
        case=CASE["case"],
        weights=f"{RUN}/weights.pt",
    output:
        labels=f"{RUN}/predictions/{{case}}.nii.gz",
        cost=f"{RUN}/predictions/{{case}}.json",
    log:
        f"{RESULTS}/logs/nnunet_predict/{{model}}-fold{{fold}}-seed{{seed}}/{{case}}.log",
    wildcard_constraints:
        model=one_of(NNUNET),
    conda:
        "../../envs/nnunet.yaml"
    threads: 4
    resources:
        **growing(mem_mb=24000, runtime=60),
        gpu=1,
    params:
        code=code("nnunet_predict.py", "inference/nnunet.py"),
        shaping=lambda wildcards: [
            settings_that_shape(wildcards),
            int(wildcards.fold),
            int(wildcards.seed),
        ],
        job=nnunet_job,
        results=unrecorded(RESULTS),
        evaluation=unrecorded(STUDY["evaluation"]),
    script:
        "../scripts/nnunet_predict.py"
