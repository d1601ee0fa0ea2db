"""The page for looking at cases, which opens by double-click, and which cases the overlays show."""


rule viewer_case:
    input:
        volume=source(VOLUME),
        labels=source(REFERENCE),
        predictions=shown_predictions,
    output:
        script=f"{RESULTS}/viewer/cases/{{case}}.js",
        agreement=f"{RESULTS}/viewer/cases/{{case}}.csv",
    log:
        f"{RESULTS}/logs/viewer_case/{{case}}.log",
    benchmark:
        BENCHMARKS["viewer_case"]
    conda:
        "../../envs/imaging.yaml"
    resources:
        **following(showing_request),
    params:
        code=code("viewer_case.py"),
        elsewhere=ADDRESS,
        organs=ORGANS,
        ignored=unrecorded(STUDY["dataset"]["ignore_labels"]),
        models=list(STUDY["models"]),
        partial=kinds.partial(STUDY),
    script:
        "../scripts/viewer_case.py"


rule examples:
    input:
        per_case=f"{RESULTS}/tables/per_case.csv",
        agreements=shown(f"{RESULTS}/viewer/cases/{{case}}.csv"),
    output:
        agreement=f"{RESULTS}/tables/agreement.csv",
        examples=f"{RESULTS}/tables/examples.csv",
    log:
        f"{RESULTS}/logs/examples.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=1000, runtime=10),
    params:
        code=code("examples.py"),
        design=design,
    script:
        "../scripts/examples.py"


rule viewer:
    input:
        per_case=f"{RESULTS}/tables/per_case.csv",
        # which the page loads when a case is opened
        cases=shown(f"{RESULTS}/viewer/cases/{{case}}.js"),
        agreement=f"{RESULTS}/tables/agreement.csv",
    output:
        page=[f"{RESULTS}/viewer/{file}" for file in PAGE_FILES + NIIVUE_FILES],
        study=f"{RESULTS}/viewer/study.js",
    log:
        f"{RESULTS}/logs/viewer.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=2000, runtime=15),
    params:
        code=code("viewer.py"),
        # NiiVue's version is in its name
        held=content(*(PAGE / file for file in PAGE_FILES)),
        page=unrecorded([str(PAGE / file) for file in PAGE_FILES + NIIVUE_FILES]),
        study=STUDY["study"],
        generated=STUDY["dataset"]["source"] == "phantom",
        organs=list(ORGANS),
        folds=SHOWN_FOLDS,
        seeds=STUDY["training"]["seeds"],
    script:
        "../scripts/viewer.py"
