"""From NIfTI to prepared cases, and who is trained on and tested on."""

if STUDY["dataset"]["source"] == "phantom":

    rule phantom:
        output:
            volume=VOLUME,
            labels=LABELS,
        log:
            f"{RESULTS}/logs/phantom/{{case}}.log",
        conda:
            "../../envs/imaging.yaml"
        resources:
            **following(phantom_request),
        params:
            code=code("phantom.py"),
            seed=STUDY["dataset"]["phantom"]["seed"],
            size=STUDY["dataset"]["phantom"]["size"],
            # no output: it is of all phantoms
            mark=PHANTOM_MARK,
        script:
            "../scripts/phantom.py"


if STUDY["dataset"]["source"] == "openkbp":

    # Known for patients that are not there only: whatever a user has put there is no output, and never rewritten.
    rule fetch:
        output:
            volume=VOLUME,
            labels=LABELS,
        log:
            f"{RESULTS}/logs/fetch/{{case}}.log",
        wildcard_constraints:
            case=one_of(ABSENT),
        conda:
            "../../envs/imaging.yaml"
        resources:
            **growing(mem_mb=1000, runtime=30),
            downloads=1,
        params:
            code=code("fetch.py"),
            address=STUDY["dataset"]["openkbp"]["address"],
            # no output: what has come goes on where it broke off
            folder=lambda wildcards: f"{STUDY['dataset']['root']}/{finding.FETCHING}/{wildcards.case}",
            checksums=lambda wildcards: patients()[wildcards.case],
        script:
            "../scripts/fetch.py"


if STUDY["dataset"]["source"] == "openkbp" and DOSED:

    # Also for patients that were fetched before there was a use for their doses.
    rule fetch_dose:
        input:
            volume=ancient(VOLUME),
        output:
            dose=DOSE,
        log:
            f"{RESULTS}/logs/fetch_dose/{{case}}.log",
        wildcard_constraints:
            case=one_of(UNDOSED),
        conda:
            "../../envs/imaging.yaml"
        resources:
            **growing(mem_mb=1000, runtime=30),
            downloads=1,
        params:
            code=code("fetch_dose.py"),
            address=STUDY["dataset"]["openkbp"]["address"],
            # no output: what has come goes on where it broke off
            folder=lambda wildcards: f"{STUDY['dataset']['root']}/{finding.FETCHING}/dose-{wildcards.case}",
            moments=lambda wildcards: list(
                map(float, patients()[wildcards.case]["dose"].split())
            ),
        script:
            "../scripts/fetch_dose.py"


# All cases are converted, and so checked, before anything is trained.
rule convert:
    input:
        volume=source(VOLUME),
        labels=source(LABELS),
    output:
        **CASE,
        **DRAWN,
    log:
        f"{RESULTS}/logs/convert/{{case}}.log",
    benchmark:
        BENCHMARKS["convert"]
    priority: 1
    conda:
        "../../envs/imaging.yaml"
    resources:
        **following(conversion_request),
    params:
        code=code("convert.py"),
        # Of organs only the label values shape arrays; whether labels that are ignored matter is seen in weights.smk.
        values=list(ORGANS.values()),
        organs=unrecorded(ORGANS),
        ignored=unrecorded(STUDY["dataset"]["ignore_labels"]),
        tried=lambda wildcards, input: tried(wildcards.case),
        structures=STRUCTURES and structures_asked(),
        unannotated=unannotated,
        spacing=STUDY["preprocessing"]["spacing"],
        elsewhere=ADDRESS,
    script:
        "../scripts/convert.py"


rule check_cases:
    input:
        cases=expand(CASE["case"], case=CASES),
    output:
        cases=f"{RESULTS}/tables/cases.csv",
        bad=f"{RESULTS}/tables/bad_cases.csv",
    log:
        f"{RESULTS}/logs/check_cases.log",
    priority: 1
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=1000, runtime=10),
    params:
        code=code("check_cases.py"),
        folds=FOLDS,
        organs=list(ORGANS),
        nnunet=kinds.trained_by("nnunet_train", STUDY),
        on_bad_case=STUDY["dataset"]["on_bad_case"],
        incomplete=INCOMPLETE,
        finished=finished_trainings,
        replace=unrecorded(REPLACE),
    script:
        "../scripts/check_cases.py"


if STUDY["dataset"]["on_bad_case"] == "skip":

    # Which cases cannot be used is not known earlier; what gathers the test cases waits for it.
    checkpoint leave_out:
        input:
            f"{RESULTS}/tables/bad_cases.csv",
        output:
            touch(f"{RESULTS}/left_out"),
        log:
            f"{RESULTS}/logs/leave_out.log",
        localrule: True


# What was drawn, as a label map and as masks, for what looks at the doses.
EXAMINED = {
    name: temp(f"{RESULTS}/examined/{{case}}.{suffix}")
    for name, suffix in (("labels", "nii.gz"), ("drawn", "npz"))
    if STRUCTURES
}


# Run by `snakemake check_data`: all of the checks, and nothing else.
rule examine:
    input:
        volume=source(VOLUME),
        labels=source(LABELS),
    output:
        **EXAMINED,
        case=f"{RESULTS}/examined/{{case}}.json",
    log:
        f"{RESULTS}/logs/examine/{{case}}.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        **following(conversion_request),
    params:
        code=code("convert.py"),
        organs=ORGANS,
        ignored=unrecorded(STUDY["dataset"]["ignore_labels"]),
        tried=lambda wildcards, input: tried(wildcards.case),
        structures=STRUCTURES and structures_asked(),
        unannotated=unannotated,
        spacing=STUDY["preprocessing"]["spacing"],
    script:
        "../scripts/convert.py"


if DOSED:

    rule examine_dose:
        input:
            **{"labels": source(LABELS), **EXAMINED},
            case=f"{RESULTS}/examined/{{case}}.json",
            dose=dose_files,
        output:
            f"{RESULTS}/examined/doses/{{case}}.json",
        log:
            f"{RESULTS}/logs/examine_dose/{{case}}.log",
        conda:
            "../../envs/imaging.yaml"
        resources:
            **following(evaluation_request),
        params:
            code=code("examine_dose.py"),
            organs=ORGANS,
            ignored=unrecorded(STUDY["dataset"]["ignore_labels"]),
            dose=dose_name,
        script:
            "../scripts/examine_dose.py"


rule check_data:
    input:
        cases=expand(f"{RESULTS}/examined/{{case}}.json", case=CASES),
        doses=expand(
            f"{RESULTS}/examined/doses/{{case}}.json", case=CASES if DOSED else []
        ),
    log:
        f"{RESULTS}/logs/check_data.log",
    localrule: True
    conda:
        "../../envs/imaging.yaml"
    params:
        folds=FOLDS,
        organs=list(ORGANS),
        nnunet=kinds.trained_by("nnunet_train", STUDY),
        incomplete=INCOMPLETE,
        official=STUDY["split"]["method"] == "official",
    script:
        "../scripts/check_data.py"


rule split:
    output:
        f"{RESULTS}/split.csv",
    log:
        f"{RESULTS}/logs/split.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=500, runtime=5),
    params:
        code=code("split.py"),
        rows=splits.table(FOLDS),
    script:
        "../scripts/split.py"
