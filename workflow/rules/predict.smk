"""A contender's prediction of every test case, on the scanner's own grid."""


rule predict:
    input:
        image=ancient(CASE["image"]),
        case=CASE["case"],
        weights=prediction_weights,
        code=prediction_code,
    output:
        labels=f"{RUN}/predictions/{{case}}.nii.gz",
        cost=f"{RUN}/predictions/{{case}}.json",
    log:
        f"{RESULTS}/logs/predict/{{model}}-fold{{fold}}-seed{{seed}}/{{case}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/{{model}}-fold{{fold}}-seed{{seed}}/{{case}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 4
    resources:
        gpu=1,
        mem_mb=prediction_memory,
        runtime=prediction_runtime,
    params:
        settings=STUDY["prediction"],
    script:
        "../scripts/predict.py"
