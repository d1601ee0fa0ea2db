"""What to look at before the tables are believed."""


rule warn:
    input:
        trainings=runs(f"{RUN}/cost.json"),
        per_case=f"{RESULTS}/tables/per_case.csv",
        code=code("warn.py"),
    output:
        f"{RESULTS}/tables/warnings.csv",
    log:
        f"{RESULTS}/logs/warn.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=1000, runtime=10),
    script:
        "../scripts/warn.py"
