"""Settings that are chosen for each network by its validation cases: `training.tune`; nothing where that is null."""

if CANDIDATES:

    # A training like any other, with a candidate's settings; its weights are kept, as one of them is the final training.
    use rule train as tune with:
        input:
            cases=training_files,
            checked=checked,
        output:
            history=update(f"{TUNING}/{{candidate}}/history.csv"),
            cost=update(f"{TUNING}/{{candidate}}/cost.json"),
        log:
            f"{RESULTS}/logs/tune/{{model}}-fold{{fold}}-seed{{seed}}/{{candidate}}.log",
        benchmark:
            BENCHMARKS["tune"]

    # A checkpoint, so that what is trained is decided when the choice is known: the same choice trains nothing again.
    checkpoint choose:
        input:
            candidates=lambda wildcards: expand(
                f"{TUNING}/{{candidate}}/{{file}}",
                candidate=CANDIDATES,
                file=["history.csv", "cost.json"],
                **wildcards,
            ),
        output:
            f"{TUNING}/chosen.json",
        log:
            f"{RESULTS}/logs/choose/{{model}}-fold{{fold}}-seed{{seed}}.log",
        wildcard_constraints:
            model=one_of(NETWORKS),
        localrule: True
        conda:
            "../../envs/imaging.yaml"
        params:
            code=code("choose.py"),
            tune=STUDY["training"]["tune"],
            weights=lambda wildcards: settings_of(wildcards.model)["training"][
                "weights"
            ],
        script:
            "../scripts/choose.py"

    rule tuning_tables:
        input:
            candidates=tuning_runs(f"{TUNING}/{{candidate}}/history.csv"),
            costs=tuning_runs(f"{TUNING}/{{candidate}}/cost.json"),
            choices=tuned_runs(f"{TUNING}/chosen.json"),
        output:
            tuning=f"{RESULTS}/tables/tuning.csv",
            curves=f"{RESULTS}/tables/tuning_curves.csv",
        log:
            f"{RESULTS}/logs/tuning_tables.log",
        conda:
            "../../envs/imaging.yaml"
        resources:
            **growing(mem_mb=2000, runtime=15),
        params:
            code=code("tuning_tables.py"),
            design=design,
            tune=STUDY["training"]["tune"],
            weights={
                model: settings_of(model)["training"]["weights"] for model in NETWORKS
            },
        script:
            "../scripts/tuning_tables.py"
