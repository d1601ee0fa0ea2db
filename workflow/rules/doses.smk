"""What the planned doses of prepared cases are like: no training is spent where one is bad."""


use rule examine_dose as survey_dose with:
    input:
        **{key: DRAWN[key] for key in DRAWN if key == "drawn"},
        labels=source(REFERENCE),
        case=ancient(CASE["case"]),
        dose=dose_files,
    output:
        f"{RESULTS}/cases/{{case}}/dose.json",
    log:
        f"{RESULTS}/logs/survey_dose/{{case}}.log",


rule check_doses:
    input:
        doses=expand(f"{RESULTS}/cases/{{case}}/dose.json", case=SHOWN_FOLDS),
    output:
        f"{RESULTS}/tables/doses.csv",
    log:
        f"{RESULTS}/logs/check_doses.log",
    priority: 1
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=1000, runtime=10),
    params:
        code=code("check_doses.py"),
        cases=list(SHOWN_FOLDS),
    script:
        "../scripts/check_doses.py"
