"""Every figure, as PNG and SVG, and the methods in words."""


rule figure_metrics:
    input:
        per_case=f"{RESULTS}/tables/per_case.csv",
        summary=f"{RESULTS}/tables/summary.csv",
    output:
        **{
            f"{metric}_png": report(
                f"{RESULTS}/figures/{metric}_by_organ.png",
                caption="../report/metric_by_organ.rst",
                category="Accuracy",
                labels={"figure": f"{registry.METRICS[metric].label} by organ"},
            )
            for metric in registry.drawn()
        },
        **{
            f"{metric}_svg": f"{RESULTS}/figures/{metric}_by_organ.svg"
            for metric in registry.drawn()
        },
    log:
        f"{RESULTS}/logs/figure_metrics.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        **growing(mem_mb=2000, runtime=15),
    params:
        code=code("figure_metrics.py"),
        metrics=registry.drawn(),
    script:
        "../scripts/figure_metrics.py"


rule figure_paired_differences:
    input:
        per_case=f"{RESULTS}/tables/per_case.csv",
        comparison=f"{RESULTS}/tables/comparison.csv",
    output:
        png=report(
            f"{RESULTS}/figures/paired_differences.png",
            caption="../report/paired_differences.rst",
            category="Comparison",
            labels={"figure": "Paired differences"},
        ),
        svg=f"{RESULTS}/figures/paired_differences.svg",
    log:
        f"{RESULTS}/logs/figure_paired_differences.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        **growing(mem_mb=2000, runtime=15),
    params:
        code=code("figure_paired_differences.py"),
    script:
        "../scripts/figure_paired_differences.py"


rule figure_differences_by_group:
    input:
        differences=f"{RESULTS}/tables/group_differences.csv",
    output:
        png=report(
            f"{RESULTS}/figures/differences_by_group.png",
            caption="../report/differences_by_group.rst",
            category="Comparison",
            labels={"figure": "Differences by group"},
        ),
        svg=f"{RESULTS}/figures/differences_by_group.svg",
    log:
        f"{RESULTS}/logs/figure_differences_by_group.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        **growing(mem_mb=2000, runtime=15),
    params:
        code=code("figure_differences_by_group.py"),
    script:
        "../scripts/figure_differences_by_group.py"


rule figure_average_ranks:
    input:
        ranks=f"{RESULTS}/tables/ranks.csv",
    output:
        png=report(
            f"{RESULTS}/figures/average_ranks.png",
            caption="../report/average_ranks.rst",
            category="Comparison",
            labels={"figure": "Ranks and critical difference"},
        ),
        svg=f"{RESULTS}/figures/average_ranks.svg",
    log:
        f"{RESULTS}/logs/figure_average_ranks.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        **growing(mem_mb=2000, runtime=15),
    params:
        code=code("figure_average_ranks.py"),
        models=list(STUDY["models"]),
    script:
        "../scripts/figure_average_ranks.py"


rule figure_rank_stability:
    input:
        stability=f"{RESULTS}/tables/rank_stability.csv",
    output:
        png=report(
            f"{RESULTS}/figures/rank_stability.png",
            caption="../report/rank_stability.rst",
            category="Comparison",
            labels={"figure": "How stable the ranking is"},
        ),
        svg=f"{RESULTS}/figures/rank_stability.svg",
    log:
        f"{RESULTS}/logs/figure_rank_stability.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        **growing(mem_mb=2000, runtime=15),
    params:
        code=code("figure_rank_stability.py"),
        models=list(STUDY["models"]),
    script:
        "../scripts/figure_rank_stability.py"


rule figure_pareto:
    input:
        pareto=f"{RESULTS}/tables/pareto.csv",
    output:
        pareto_png=report(
            f"{RESULTS}/figures/pareto.png",
            caption="../report/pareto.rst",
            category="Cost",
            labels={"figure": "Accuracy against cost"},
        ),
        pareto_svg=f"{RESULTS}/figures/pareto.svg",
        pareto_by_organ_png=report(
            f"{RESULTS}/figures/pareto_by_organ.png",
            caption="../report/pareto_by_organ.rst",
            category="Cost",
            labels={"figure": "Accuracy against cost by organ"},
        ),
        pareto_by_organ_svg=f"{RESULTS}/figures/pareto_by_organ.svg",
    log:
        f"{RESULTS}/logs/figure_pareto.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        **growing(mem_mb=2000, runtime=15),
    params:
        code=code("figure_pareto.py"),
    script:
        "../scripts/figure_pareto.py"


rule figure_volumes:
    input:
        per_case=f"{RESULTS}/tables/per_case.csv",
        agreement=f"{RESULTS}/tables/volume_agreement.csv",
        cases=f"{RESULTS}/tables/cases.csv",
    output:
        volume_agreement_png=report(
            f"{RESULTS}/figures/volume_agreement.png",
            caption="../report/volume_agreement.rst",
            category="Accuracy",
            labels={"figure": "Volume agreement"},
        ),
        volume_agreement_svg=f"{RESULTS}/figures/volume_agreement.svg",
        dice_by_volume_png=report(
            f"{RESULTS}/figures/dice_by_volume.png",
            caption="../report/dice_by_volume.rst",
            category="Where cases fail",
            labels={"figure": "Dice against organ volume"},
        ),
        dice_by_volume_svg=f"{RESULTS}/figures/dice_by_volume.svg",
        dice_by_spacing_png=report(
            f"{RESULTS}/figures/dice_by_spacing.png",
            caption="../report/dice_by_spacing.rst",
            category="Where cases fail",
            labels={"figure": "Dice against slice spacing"},
        ),
        dice_by_spacing_svg=f"{RESULTS}/figures/dice_by_spacing.svg",
    log:
        f"{RESULTS}/logs/figure_volumes.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        **growing(mem_mb=2000, runtime=15),
    params:
        code=code("figure_volumes.py"),
    script:
        "../scripts/figure_volumes.py"


rule figure_learning_curves:
    input:
        histories=runs(f"{RUN}/history.csv"),
    output:
        png=report(
            f"{RESULTS}/figures/learning_curves.png",
            caption="../report/learning_curves.rst",
            category="Cost",
            labels={"figure": "Learning curves"},
        ),
        svg=f"{RESULTS}/figures/learning_curves.svg",
    log:
        f"{RESULTS}/logs/figure_learning_curves.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        **growing(mem_mb=2000, runtime=15),
    params:
        code=code("figure_learning_curves.py"),
        models=list(STUDY["models"]),
    script:
        "../scripts/figure_learning_curves.py"


rule figure_dataset:
    input:
        cases=f"{RESULTS}/tables/cases.csv",
        split=f"{RESULTS}/split.csv",
    output:
        png=report(
            f"{RESULTS}/figures/dataset.png",
            caption="../report/dataset.rst",
            category="Data",
            labels={"figure": "Data set"},
        ),
        svg=f"{RESULTS}/figures/dataset.svg",
    log:
        f"{RESULTS}/logs/figure_dataset.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        **growing(mem_mb=2000, runtime=15),
    params:
        code=code("figure_dataset.py"),
        organs=list(ORGANS),
    script:
        "../scripts/figure_dataset.py"


rule figure_overlays:
    input:
        examples=f"{RESULTS}/tables/examples.csv",
        volumes=shown(VOLUME),
        labels=shown(LABELS),
        predictions=tests(
            f"{RUN}/predictions/{{case}}.nii.gz", seeds=STUDY["training"]["seeds"][:1]
        ),
    output:
        png=report(
            f"{RESULTS}/figures/overlays.png",
            caption="../report/overlays.rst",
            category="Examples",
            labels={"figure": "Best, median, worst, most disputed case"},
        ),
        svg=f"{RESULTS}/figures/overlays.svg",
    log:
        f"{RESULTS}/logs/figure_overlays.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        **growing(mem_mb=8000, runtime=30),
    params:
        code=code("figure_overlays.py"),
        organs=ORGANS,
        ignored=unrecorded(STUDY["dataset"]["ignore_labels"]),
        prediction=prediction_pattern,
        folds=SHOWN_FOLDS,
        seed=STUDY["training"]["seeds"][0],
    script:
        "../scripts/figure_overlays.py"


rule methods:
    input:
        cases=f"{RESULTS}/tables/cases.csv",
        bad=f"{RESULTS}/tables/bad_cases.csv",
        warnings=f"{RESULTS}/tables/warnings.csv",
        tuning=f"{RESULTS}/tables/tuning.csv" if CANDIDATES else [],
        costs=expand(
            f"{RUN}/cost.json",
            model=TRAINED,
            fold=0,
            seed=STUDY["training"]["seeds"][0],
        ),
        convergence=f"{RESULTS}/tables/convergence.csv",
        references=os.path.relpath(REFERENCES),
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
        versions=f"{RESULTS}/tables/versions.csv",
    log:
        f"{RESULTS}/logs/methods.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=2000, runtime=15),
    params:
        code=code("methods.py"),
        study=whole_study,
        configuration=configuration_text,
        folds=FOLDS,
        settings={model: settings_of(model) for model in TRAINED},
    script:
        "../scripts/methods.py"


# Everything above draws or writes what users keep; these pages show the tables in `snakemake --report`.
rule table_pages:
    input:
        tables=expand(f"{RESULTS}/tables/{{table}}.csv", table=REPORT_TABLES),
        template=os.path.relpath(WORKFLOW / "report" / "table.html"),
    output:
        [
            report(
                f"{RESULTS}/report/{table}.html",
                caption=f"../report/tables/{table}.rst",
                category="Tables",
                labels={"table": title},
            )
            for table, title in REPORT_TABLES.items()
        ],
    log:
        f"{RESULTS}/logs/table_pages.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        **growing(mem_mb=1000, runtime=10),
    params:
        code=code("table_pages.py"),
        titles=list(REPORT_TABLES.values()),
    script:
        "../scripts/table_pages.py"
