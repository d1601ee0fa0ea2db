"""Models that leave the study: `snakemake model`; or a single training, asked for by the path of its file."""


rule pack:
    input:
        weights=packed_runs("weights.pt"),
        costs=packed_runs("cost.json"),
        cases=packed_cases,
        summary=f"{RESULTS}/tables/summary.csv",
        methods=f"{RESULTS}/methods.md",
    output:
        model=f"{PACKED}.zip",
        card=f"{PACKED}.md",
    log:
        f"{RESULTS}/logs/pack/{{packed}}.log",
    wildcard_constraints:
        packed=one_of(PACKABLE),
    conda:
        f"../../envs/{ENVIRONMENT}.yaml"
    resources:
        **growing(mem_mb=4000, runtime=30),
    params:
        code=code("pack.py"),
        model=lambda wildcards: PACKABLE[wildcards.packed][0],
        study=STUDY["study"],
        organs=ORGANS,
        spacing=STUDY["preprocessing"]["spacing"],
        prediction=PREDICTION,
        trainings=packed_trainings,
        folds_and_seeds=lambda wildcards: len(
            trainings_of(PACKABLE[wildcards.packed][0])
        ),
        ensemble=lambda wildcards: PACKABLE[wildcards.packed][0] not in NETWORKS,
    script:
        "../scripts/pack.py"


rule model:
    input:
        expand(f"{PACKED}.zip", packed=MODELS),
    localrule: True
