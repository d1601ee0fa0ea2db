"""Every figure, as PNG and SVG, and the methods in words."""

# A rule for each file of figures: what it says of them is in `FIGURES` there.
for file, drawn in figures.known(dosed=DOSED).items():

    rule:
        name:
            f"figure_{file}"
        input:
            **{
                table: figure_input(table)
                for figure in drawn
                for table in figure.tables
            },
        output:
            **{
                f"{figure.name}_png": report(
                    f"{RESULTS}/figures/{figure.name}.png",
                    caption=f"../report/{figure.function}.rst",
                    category=figure.category,
                    labels={"figure": figure.label},
                )
                for figure in drawn
            },
            **{
                f"{figure.name}_svg": f"{RESULTS}/figures/{figure.name}.svg"
                for figure in drawn
            },
        log:
            f"{RESULTS}/logs/figure_{file}.log",
        conda:
            "../../envs/figures.yaml"
        resources:
            **growing(mem_mb=2000, runtime=15),
        params:
            code=code("figure.py", f"reporting/figures/{file}.py"),
            file=file,
            design=design if "histories" in drawn[0].tables else None,
            settings={
                setting: FIGURE_SETTINGS[setting]
                for figure in drawn
                for setting in figure.settings
            },
        script:
            "../scripts/figure.py"


rule figure_overlays:
    input:
        examples=f"{RESULTS}/tables/examples.csv",
        volumes=shown(VOLUME),
        labels=shown(REFERENCE),
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
        design=design,
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
        excluded=f"{RESULTS}/tables/bad_cases.csv",
        warnings=f"{RESULTS}/tables/warnings.csv",
        tuning=f"{RESULTS}/tables/tuning.csv" if CANDIDATES else [],
        costs=expand(
            f"{RUN}/cost.json",
            model=TRAINED,
            fold=0,
            seed=STUDY["training"]["seeds"][0],
        ),
        convergence=f"{RESULTS}/tables/convergence.csv",
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
        report=content(METHODS, REFERENCES),
        template=unrecorded(str(METHODS)),
        references=unrecorded(str(REFERENCES)),
        study=whole_study,
        configuration=configuration_text,
        folds=FOLDS,
        trained=TRAINED,
    script:
        "../scripts/methods.py"


# Everything above draws or writes what users keep; these pages show the tables in `snakemake --report`.
rule table_pages:
    input:
        tables=expand(f"{RESULTS}/tables/{{table}}.csv", table=REPORT_TABLES),
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
        page=content(WORKFLOW / "report" / "table.html"),
        template=unrecorded(str(WORKFLOW / "report" / "table.html")),
        titles=list(REPORT_TABLES.values()),
    script:
        "../scripts/table_pages.py"
