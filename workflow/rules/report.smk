"""Every figure, as PNG and SVG, and the methods in words."""


rule figure_dice_by_organ:
    input:
        per_case=f"{RESULTS}/tables/per_case.csv",
        summary=f"{RESULTS}/tables/summary.csv",
        code=code("figure_dice_by_organ.py"),
    output:
        png=report(
            f"{RESULTS}/figures/dice_by_organ.png",
            caption="../report/dice_by_organ.rst",
            category="Figures",
            labels={"figure": "Dice by organ"},
        ),
        svg=f"{RESULTS}/figures/dice_by_organ.svg",
    log:
        f"{RESULTS}/logs/figure_dice_by_organ.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    script:
        "../scripts/figure_dice_by_organ.py"


rule figure_paired_differences:
    input:
        per_case=f"{RESULTS}/tables/per_case.csv",
        comparison=f"{RESULTS}/tables/comparison.csv",
        code=code("figure_paired_differences.py"),
    output:
        png=report(
            f"{RESULTS}/figures/paired_differences.png",
            caption="../report/paired_differences.rst",
            category="Figures",
            labels={"figure": "Paired differences"},
        ),
        svg=f"{RESULTS}/figures/paired_differences.svg",
    log:
        f"{RESULTS}/logs/figure_paired_differences.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    script:
        "../scripts/figure_paired_differences.py"


rule figure_learning_curves:
    input:
        histories=runs(f"{RUN}/history.csv"),
        code=code("figure_learning_curves.py"),
    output:
        png=report(
            f"{RESULTS}/figures/learning_curves.png",
            caption="../report/learning_curves.rst",
            category="Figures",
            labels={"figure": "Learning curves"},
        ),
        svg=f"{RESULTS}/figures/learning_curves.svg",
    log:
        f"{RESULTS}/logs/figure_learning_curves.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        models=list(STUDY["models"]),
    script:
        "../scripts/figure_learning_curves.py"


rule figure_overlays:
    input:
        per_case=f"{RESULTS}/tables/per_case.csv",
        volumes=expand(
            VOLUME, case=sorted({case for fold in FOLDS for case in fold["test"]})
        ),
        labels=expand(
            LABELS, case=sorted({case for fold in FOLDS for case in fold["test"]})
        ),
        predictions=tests(
            f"{RUN}/predictions/{{case}}.nii.gz", seeds=STUDY["training"]["seeds"][:1]
        ),
        code=code("figure_overlays.py"),
    output:
        png=report(
            f"{RESULTS}/figures/overlays.png",
            caption="../report/overlays.rst",
            category="Figures",
            labels={"figure": "Overlays"},
        ),
        svg=f"{RESULTS}/figures/overlays.svg",
    log:
        f"{RESULTS}/logs/figure_overlays.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        organs=ORGANS,
        ignored=STUDY["dataset"]["ignore_labels"],
        patterns=overlay_patterns,
        seed=STUDY["training"]["seeds"][0],
    script:
        "../scripts/figure_overlays.py"


rule methods:
    input:
        cases=f"{RESULTS}/tables/cases.csv",
        costs=expand(
            f"{RUN}/cost.json",
            model=TRAINED,
            fold=0,
            seed=STUDY["training"]["seeds"][0],
        ),
        references=os.path.relpath(WORKFLOW / "report" / "references.bib"),
        code=code("methods.py"),
    output:
        methods=report(
            f"{RESULTS}/methods.md",
            caption="../report/methods.rst",
            category="Methods",
            labels={"what": "methods in words, with references"},
        ),
        configuration=report(
            f"{RESULTS}/study.yaml",
            caption="../report/configuration.rst",
            category="Methods",
            labels={"what": "the whole configuration"},
        ),
        versions=report(
            f"{RESULTS}/tables/versions.csv",
            caption="../report/versions.rst",
            category="Methods",
            labels={"what": "software and devices"},
        ),
    log:
        f"{RESULTS}/logs/methods.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        study=whole_study,
        configuration=configuration_text,
        folds=FOLDS,
        settings={model: settings_of(model) for model in TRAINED},
    script:
        "../scripts/methods.py"
