"""A model's prediction of every test case, on the scanner's own grid."""


rule predict:
    input:
        image=ancient(CASE["image"]),
        case=CASE["case"],
        weights=prediction_weights,
    output:
        labels=f"{RUN}/predictions/{{case}}.nii.gz",
        cost=f"{RUN}/predictions/{{case}}.json",
    log:
        f"{RESULTS}/logs/predict/{{model}}-fold{{fold}}-seed{{seed}}/{{case}}.log",
    benchmark:
        BENCHMARKS["predict"]
    wildcard_constraints:
        model=one_of(kinds.predicted_by("predict", STUDY)),
    conda:
        f"../../envs/{ENVIRONMENT}.yaml"
    threads: 4
    resources:
        **following(prediction_request),
        gpu=1,
    params:
        code=prediction_code,
        runs=runs_by_settings,
        # Of organs their positions shape a prediction, and not their names.
        shaping=prediction_by_position(),
        settings=unrecorded(PREDICTION),
        # What is fixed before results are seen must not remake a prediction when it changes.
        results=unrecorded(RESULTS),
        evaluation=unrecorded(STUDY["evaluation"]),
        organs=unrecorded(list(ORGANS)),
        networks=read_networks,
    script:
        "../scripts/predict.py"
