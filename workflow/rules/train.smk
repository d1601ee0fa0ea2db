"""A model's weights, for every fold and seed."""


rule check_networks:
    output:
        f"{RESULTS}/tables/networks.csv",
    log:
        f"{RESULTS}/logs/check_networks.log",
    priority: 1
    conda:
        f"../../envs/{ENVIRONMENT}.yaml"
    resources:
        **growing(mem_mb=4000, runtime=15),
    params:
        code=code(
            "check_networks.py",
            *sorted({file for model in NETWORKS for file in named_files(model)}),
        ),
        settings={model: settings_of(model) for model in NETWORKS},
        organs=list(ORGANS),
        imported={model: outside_code(model) for model in NETWORKS},
    script:
        "../scripts/check_networks.py"


# Before a training begins all cases, doses and networks are checked. Of one that has ended this rule knows nothing: a new
# test case or model must not train the others again.
rule check:
    input:
        f"{RESULTS}/tables/cases.csv",
        f"{RESULTS}/tables/networks.csv",
        CHECKED_DOSES,
    output:
        touch(f"{{folder}}/checked"),
    log:
        f"{RESULTS}/logs/check/{{folder}}.log",
    wildcard_constraints:
        folder=one_of(sorted(untrained())),
    localrule: True


# What shapes weights is no param that Snakemake records (functions of `input` are not), nor a file whose date counts: see
# weights.smk. And `update`: the weights that are there stay until others have been trained.
rule train:
    input:
        cases=training_files,
        tuned=chosen,
        checked=checked,
    output:
        weights=update(f"{RUN}/weights.pt"),
        history=update(f"{RUN}/history.csv"),
        cost=update(f"{RUN}/cost.json"),
    log:
        f"{RESULTS}/logs/train/{{model}}-fold{{fold}}-seed{{seed}}.log",
    benchmark:
        BENCHMARKS["train"]
    wildcard_constraints:
        model=one_of(NETWORKS),
    conda:
        f"../../envs/{ENVIRONMENT}.yaml"
    threads: 8
    resources:
        **following(training_request),
        gpu=1,
    params:
        job=training_job,
    script:
        "../scripts/train.py"
