"""What to look at before the tables are believed."""


rule warn:
    input:
        trainings=runs(f"{RUN}/cost.json"),
        cases=expand(CASE["case"], case=CASES),
        per_case=f"{RESULTS}/tables/per_case.csv",
    output:
        f"{RESULTS}/tables/warnings.csv",
    log:
        f"{RESULTS}/logs/warn.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=1000, runtime=10),
    params:
        code=code("warn.py"),
        design=design,
        folds=FOLDS,
        unlabelled={name: elsewhere.unlabelled(name, STUDY) for name in MADE + COMMANDS},
        labelled={name: elsewhere.labelled(name, STUDY) for name in MADE + COMMANDS},
    script:
        "../scripts/warn.py"
