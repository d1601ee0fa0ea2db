"""A contender's weights, for every fold and seed."""


rule check_networks:
    output:
        f"{RESULTS}/tables/networks.csv",
    log:
        f"{RESULTS}/logs/check_networks.log",
    priority: 1
    conda:
        "../../envs/torch.yaml"
    resources:
        **growing(mem_mb=4000, runtime=15),
    params:
        code=code("check_networks.py", *network_files()),
        settings={model: settings_of(model) for model in TRAINED},
        organs=list(ORGANS),
    script:
        "../scripts/check_networks.py"


# Before a run's first training all cases and all contenders are checked. Afterwards this rule knows the run no more and
# its file is like any other: a new test case or contender must not train the others again. (Not `ancient`: Snakemake
# 9.27 then overlooks what else has changed about a job.)
rule check:
    input:
        f"{RESULTS}/tables/cases.csv",
        f"{RESULTS}/tables/networks.csv",
    output:
        touch(f"{RESULTS}/runs/{{run}}/checked"),
    log:
        f"{RESULTS}/logs/check/{{run}}.log",
    wildcard_constraints:
        run="|".join(map(re.escape, untrained_runs())) or "(?!)",  # or nothing
    localrule: True


rule train:
    input:
        cases=training_files,
        tuned=chosen,
        checked=f"{RUN}/checked",
    output:
        weights=f"{RUN}/weights.pt",
        history=f"{RUN}/history.csv",
        cost=f"{RUN}/cost.json",
    log:
        f"{RESULTS}/logs/train/{{model}}-fold{{fold}}-seed{{seed}}.log",
    benchmark:
        BENCHMARKS["train"]
    wildcard_constraints:
        model="|".join(TRAINED),
    conda:
        "../../envs/torch.yaml"
    threads: 8
    resources:
        **following(training_request),
        gpu=1,
    params:
        code=training_code,
        settings=training_settings,
        window=STUDY["preprocessing"]["window"],
        organs=list(ORGANS),
        # no output: Snakemake would delete it when the job fails
        checkpoint=lambda wildcards: f"{RUN}/checkpoint.pt".format(**wildcards),
        # One mapping: of params Snakemake compares the values without their names, and cases may change places.
        folders=lambda wildcards: {
            name: [f"{RESULTS}/cases/{case}" for case in cases_in(wildcards, role)]
            for name, role in (("training", "train"), ("validation", "validation"))
        },
    script:
        "../scripts/train.py"
