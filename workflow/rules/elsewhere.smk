"""Predictions that our networks do not make: files that are there already, and programs that are run once per case."""


rule collect:
    input:
        files=made_files_there,
        case=CASE["case"],
    output:
        labels=f"{RUN}/predictions/{{case}}.nii.gz",
        drawn=f"{RUN}/predictions/{{case}}.drawn.npz",
        cost=f"{RUN}/predictions/{{case}}.json",
    log:
        f"{RESULTS}/logs/predict/{{model}}-fold{{fold}}-seed{{seed}}/{{case}}.log",
    wildcard_constraints:
        model=one_of(MADE),
    conda:
        "../../envs/imaging.yaml"
    resources:
        **following(evaluation_request),
    params:
        code=code("collect.py"),
        # Where files lie is not recorded; which are there, and what their labels mean, is.
        held=lambda wildcards: list(
            made_files(wildcards.model, wildcards.case).values()
        ),
        there=lambda wildcards: [
            bool(finding.files_at(Path(file)))
            for file in made_files(wildcards.model, wildcards.case)
        ],
        values=list(ORGANS.values()),
        files=lambda wildcards, input: made_files(wildcards.model, wildcards.case),
        # what the scan is called in messages
        volume=lambda wildcards, input: VOLUME.format(case=wildcards.case),
        organs=unrecorded(ORGANS),
        results=unrecorded(RESULTS),
        evaluation=unrecorded(STUDY["evaluation"]),
    script:
        "../scripts/collect.py"


# A program's own version is not seen: to have it run again after an update, remove its folder of runs.
rule segment:
    input:
        volume=source(VOLUME),
        case=CASE["case"],
    output:
        labels=f"{RUN}/predictions/{{case}}.nii.gz",
        drawn=f"{RUN}/predictions/{{case}}.drawn.npz",
        cost=f"{RUN}/predictions/{{case}}.json",
    log:
        f"{RESULTS}/logs/predict/{{model}}-fold{{fold}}-seed{{seed}}/{{case}}.log",
    benchmark:
        BENCHMARKS["predict"]
    wildcard_constraints:
        model=one_of(COMMANDS),
    conda:
        "../../envs/torch.yaml"
    threads: 4
    resources:
        **growing(mem_mb=16000, runtime=60),
        gpu=lambda wildcards: int(STUDY["models"][wildcards.model].get("gpu", True)),
    params:
        code=code("segment.py"),
        command=lambda wildcards: STUDY["models"][wildcards.model]["command"],
        # A function of its own: its braces are no wildcards here.
        output=lambda wildcards: command.output_of(wildcards.model, STUDY),
        labels=lambda wildcards: elsewhere.labels_of(
            wildcards.model, STUDY, command.output_of(wildcards.model, STUDY)
        ),
        values=list(ORGANS.values()),
        organs=unrecorded(ORGANS),
        results=unrecorded(RESULTS),
        study=unrecorded(STUDY),
    script:
        "../scripts/segment.py"
