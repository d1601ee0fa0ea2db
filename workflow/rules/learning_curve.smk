"""Would more patients help? Every network again with fewer of them: run `snakemake learning_curve`; no part of `all`."""


use rule train as train_share with:
    input:
        cases=training_files,
        tuned=chosen,
        checked=checked,
    output:
        weights=update(f"{SHARE_RUN}/weights.pt"),
        history=update(f"{SHARE_RUN}/history.csv"),
        cost=update(f"{SHARE_RUN}/cost.json"),
    log:
        f"{RESULTS}/logs/train/{SHARE_LOG}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{SHARE_LOG}.tsv"


use rule predict as predict_share with:
    input:
        image=ancient(CASE["image"]),
        case=CASE["case"],
        weights=[f"{SHARE_RUN}/weights.pt"],
    output:
        labels=f"{SHARE_RUN}/predictions/{{case}}.nii.gz",
        cost=f"{SHARE_RUN}/predictions/{{case}}.json",
    log:
        f"{RESULTS}/logs/predict/{SHARE_LOG}/{{case}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/{SHARE_LOG}/{{case}}.tsv"


use rule evaluate as evaluate_share with:
    input:
        **{key: DRAWN[key] for key in DRAWN if key == "drawn"},
        prediction=f"{SHARE_RUN}/predictions/{{case}}.nii.gz",
        labels=source(REFERENCE),
        dose=dose_files,
        case=dose_frame,
    output:
        f"{SHARE_RUN}/metrics/{{case}}.csv",
    log:
        f"{RESULTS}/logs/evaluate/{SHARE_LOG}/{{case}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate/{SHARE_LOG}/{{case}}.tsv"


rule learning_curve_table:
    input:
        metrics=share_metrics,
    output:
        f"{RESULTS}/tables/learning_curve.csv",
    log:
        f"{RESULTS}/logs/learning_curve_table.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=2000, runtime=15),
    params:
        code=code("learning_curve_table.py"),
        organs=list(ORGANS),
        some=bool(STRUCTURES or UNANNOTATED),
        models=unrecorded(list(STUDY["models"])),
        design=design,
        patients={percent: training_patients(percent) for percent in (*SHARES, 100)},
        patient=STUDY["split"]["patient"],
    script:
        "../scripts/learning_curve_table.py"


rule learning_curve:
    input:
        f"{RESULTS}/figures/learning_curve.png",
        f"{RESULTS}/figures/learning_curve.svg",
    localrule: True
