"""Metrics of every prediction, on the original grid, against the original labels; what they and the costs say."""


rule evaluate:
    input:
        prediction=f"{RUN}/predictions/{{case}}.nii.gz",
        labels=LABELS,
        code=code("evaluate.py"),
    output:
        f"{RUN}/metrics/{{case}}.csv",
    log:
        f"{RESULTS}/logs/evaluate/{{model}}-fold{{fold}}-seed{{seed}}/{{case}}.log",
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=2200,
        runtime=15,
    params:
        organs=ORGANS,
        ignored=STUDY["dataset"]["ignore_labels"],
        tolerance_mm=STUDY["evaluation"]["tolerance_mm"],
    script:
        "../scripts/evaluate.py"


rule tables:
    input:
        metrics=tests(f"{RUN}/metrics/{{case}}.csv"),
        code=code("tables.py"),
    output:
        per_case=f"{RESULTS}/tables/per_case.csv",
        summary=report(
            f"{RESULTS}/tables/summary.csv",
            caption="../report/summary.rst",
            category="Tables",
            labels={"table": "summary"},
        ),
        comparison=report(
            f"{RESULTS}/tables/comparison.csv",
            caption="../report/comparison.rst",
            category="Tables",
            labels={"table": "comparison"},
        ),
        ranks=report(
            f"{RESULTS}/tables/ranks.csv",
            caption="../report/ranks.rst",
            category="Tables",
            labels={"table": "ranks"},
        ),
        empty_masks=report(
            f"{RESULTS}/tables/empty_masks.csv",
            caption="../report/empty_masks.rst",
            category="Tables",
            labels={"table": "other rules for empty masks"},
        ),
        legacy=report(
            f"{RESULTS}/tables/legacy.csv",
            caption="../report/legacy.rst",
            category="Tables",
            labels={"table": "scores that mislead"},
        ),
        agreement=report(
            f"{RESULTS}/tables/volume_agreement.csv",
            caption="../report/volume_agreement_table.rst",
            category="Tables",
            labels={"table": "volume agreement"},
        ),
        examples=f"{RESULTS}/tables/examples.csv",
    log:
        f"{RESULTS}/logs/tables.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        margins=STUDY["evaluation"]["margin"],
    script:
        "../scripts/tables.py"


rule costs:
    input:
        trainings=runs(f"{RUN}/cost.json"),
        predictions=tests(f"{RUN}/predictions/{{case}}.json"),
        summary=f"{RESULTS}/tables/summary.csv",
        comparison=f"{RESULTS}/tables/comparison.csv",
        code=code("costs.py"),
    output:
        cost=report(
            f"{RESULTS}/tables/cost.csv",
            caption="../report/cost.rst",
            category="Tables",
            labels={"table": "cost"},
        ),
        advice=report(
            f"{RESULTS}/tables/advice.csv",
            caption="../report/advice.rst",
            category="Tables",
            labels={"table": "advice"},
        ),
    log:
        f"{RESULTS}/logs/costs.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        ensembles={
            name: model["ensemble"]
            for name, model in STUDY["models"].items()
            if "ensemble" in model
        },
    script:
        "../scripts/costs.py"
