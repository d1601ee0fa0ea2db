"""Whether the validation Dice of each network still rose when its training ended."""


rule convergence:
    input:
        histories=runs(f"{RUN}/history.csv", kinds.with_history(STUDY)),
    output:
        f"{RESULTS}/tables/convergence.csv",
    log:
        f"{RESULTS}/logs/convergence.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=2000, runtime=15),
    params:
        code=code("convergence.py"),
        design=design,
        models=kinds.with_history(STUDY),
        # what does not matter between networks does not matter between steps
        margin=STUDY["evaluation"]["margin"].get("dice") or 0.01,
    script:
        "../scripts/convergence.py"
