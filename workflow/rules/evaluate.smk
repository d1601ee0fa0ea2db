"""Metrics of every prediction, on the original grid, against the original labels; what they and the costs say."""


rule evaluate:
    input:
        **{key: DRAWN[key] for key in DRAWN if key == "drawn"},
        prediction=f"{RUN}/predictions/{{case}}.nii.gz",
        labels=source(REFERENCE),
        made=made_as_drawn,
        dose=dose_files,
        case=dose_frame,
    output:
        f"{RUN}/metrics/{{case}}.csv",
    log:
        f"{RESULTS}/logs/evaluate/{{model}}-fold{{fold}}-seed{{seed}}/{{case}}.log",
    benchmark:
        BENCHMARKS["evaluate"]
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        **following(evaluation_request),
    params:
        code=code("evaluate.py"),
        elsewhere=ADDRESS,
        organs=ORGANS,
        scored=lambda wildcards: kinds.of(wildcards.model, STUDY).offers(
            wildcards.model, STUDY
        ),
        ignored=unrecorded(STUDY["dataset"]["ignore_labels"]),
        unannotated=unannotated,
        tolerance_mm=STUDY["evaluation"]["tolerance_mm"],
        dose=dose_name,
    script:
        "../scripts/evaluate.py"


rule tables:
    input:
        metrics=tests(f"{RUN}/metrics/{{case}}.csv"),
    output:
        per_case=f"{RESULTS}/tables/per_case.csv",
        summary=f"{RESULTS}/tables/summary.csv",
        comparison=f"{RESULTS}/tables/comparison.csv",
        ranks=f"{RESULTS}/tables/ranks.csv",
        empty_masks=f"{RESULTS}/tables/empty_masks.csv",
        legacy=f"{RESULTS}/tables/legacy.csv",
        agreement=f"{RESULTS}/tables/volume_agreement.csv",
    log:
        f"{RESULTS}/logs/tables.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=2000, runtime=15),
    params:
        code=code("tables.py"),
        models=unrecorded(list(STUDY["models"])),
        margins=STUDY["evaluation"]["margin"],
        organs=list(ORGANS),
        partial=kinds.partial(STUDY),
        # an organ that was not annotated in a case has no row there
        some=bool(STRUCTURES or UNANNOTATED),
        patient=STUDY["split"]["patient"],
        fixed=FIXED,
        design=design,
    script:
        "../scripts/tables.py"


rule failure_rates:
    input:
        per_case=f"{RESULTS}/tables/per_case.csv",
    output:
        rates=f"{RESULTS}/tables/failures.csv",
        differences=f"{RESULTS}/tables/failure_differences.csv",
    log:
        f"{RESULTS}/logs/failure_rates.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=1000, runtime=10),
    params:
        code=code("failure_rates.py"),
        failure=STUDY["evaluation"]["failure"],
    script:
        "../scripts/failure_rates.py"


rule rank_stability:
    input:
        per_case=f"{RESULTS}/tables/per_case.csv",
    output:
        stability=f"{RESULTS}/tables/rank_stability.csv",
    log:
        f"{RESULTS}/logs/rank_stability.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=1000, runtime=10),
    params:
        code=code("rank_stability.py"),
        metrics=registry.drawn(dosed=DOSED),
    script:
        "../scripts/rank_stability.py"


rule groups:
    input:
        per_case=f"{RESULTS}/tables/per_case.csv",
    output:
        groups=f"{RESULTS}/tables/groups.csv",
        differences=f"{RESULTS}/tables/group_differences.csv",
    log:
        f"{RESULTS}/logs/groups.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=2000, runtime=60),
    params:
        code=code("groups.py"),
        groups=GROUPS,
        margins=STUDY["evaluation"]["margin"],
        fixed=FIXED,
    script:
        "../scripts/groups.py"


rule observers:
    input:
        comparison=f"{RESULTS}/tables/comparison.csv",
        summary=f"{RESULTS}/tables/summary.csv",
    output:
        f"{RESULTS}/tables/observers.csv",
    log:
        f"{RESULTS}/logs/observers.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=1000, runtime=10),
    params:
        code=code("observers.py"),
        observers=kinds.observers(STUDY),
    script:
        "../scripts/observers.py"


rule costs:
    input:
        trainings=runs(f"{RUN}/cost.json"),
        tunings=tuning_runs(f"{TUNING}/{{candidate}}/cost.json"),
        predictions=tests(f"{RUN}/predictions/{{case}}.json"),
        summary=f"{RESULTS}/tables/summary.csv",
        comparison=f"{RESULTS}/tables/comparison.csv",
    output:
        cost=f"{RESULTS}/tables/cost.csv",
        pareto=f"{RESULTS}/tables/pareto.csv",
        advice=f"{RESULTS}/tables/advice.csv",
    log:
        f"{RESULTS}/logs/costs.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=1000, runtime=10),
    params:
        code=code("costs.py"),
        design=design,
        members={name: kinds.of(name, STUDY).members(name, STUDY) for name in FIXED},
        observers=kinds.observers(STUDY),
    script:
        "../scripts/costs.py"
