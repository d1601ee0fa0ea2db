"""What jobs ask a scheduler for, and where it is written what they took."""

from functools import cache
from types import SimpleNamespace

from organbench.study import resources
from organbench.study.settings import Study

SETTINGS = Study.of(STUDY)

# What jobs took, whose needs follow from the data; `snakemake resources` sets it against what they ask for.
BENCHMARKS = {
    "convert": f"{RESULTS}/benchmarks/convert/{{case}}.tsv",
    "train": f"{RESULTS}/benchmarks/train/{{model}}-fold{{fold}}-seed{{seed}}.tsv",
    "tune": f"{RESULTS}/benchmarks/tune/{{model}}-fold{{fold}}-seed{{seed}}/{{candidate}}.tsv",
    **{
        kind: f"{RESULTS}/benchmarks/{kind}/{{model}}-fold{{fold}}-seed{{seed}}/{{case}}.tsv"
        for kind in ("predict", "evaluate")
    },
    "viewer_case": f"{RESULTS}/benchmarks/viewer_case/{{case}}.tsv",
}


def case_scan(case):
    """The grid of a case's volume, as far as it is known before the volume is read."""
    dataset = SETTINGS.dataset
    if dataset.source == "phantom":
        return resources.phantom_scan(dataset.phantom.size)
    unknown = resources.OPENKBP if dataset.source == "openkbp" else resources.USUAL
    return resources.scan(VOLUME.format(case=case), unknown)


def working_scans(cases):
    """The working grids of cases."""
    return [case_scan(case).at(SETTINGS.preprocessing.spacing) for case in cases]


def has_gpu():
    """Whether jobs may have a GPU; `--resources gpu=0` says no."""
    return workflow.global_resources.get("gpu").value != 0


def growing(**amounts):
    """Resources that are asked for again as often as a job is tried: numbers, or functions of its wildcards."""

    def asked(amount):
        def times_attempt(wildcards, attempt):
            return attempt * (amount(wildcards) if callable(amount) else amount)

        return times_attempt

    return {name: asked(amount) for name, amount in amounts.items()}


def following(request):
    """Memory and time that follow from the data; a function of a job's wildcards says how much."""
    return growing(
        mem_mb=lambda wildcards: request(wildcards)["mem_mb"],
        runtime=lambda wildcards: request(wildcards)["runtime"],
    )


def phantom_request(wildcards):
    """What making a phantom asks for."""
    return resources.make_phantom(case_scan(wildcards.case))


def conversion_request(wildcards):
    """What converting a case asks for."""
    return resources.convert(case_scan(wildcards.case), SETTINGS.preprocessing.spacing)


@cache
def training_request_of(model, fold):
    """What training a model on a fold asks for."""
    roles = FOLDS[fold]
    return resources.train(
        working_scans(roles["train"]),
        working_scans(roles["validation"]),
        SETTINGS.networks[model],
        classes=len(ORGANS) + 1,
        gpu=has_gpu(),
    )


def training_request(wildcards):
    """What a training asks for."""
    return training_request_of(wildcards.model, int(wildcards.fold))


def training_memory(wildcards):
    """MB that a training asks for."""
    return training_request(wildcards)["mem_mb"]


def prediction_request(wildcards):
    """What a prediction asks for: of an ensemble every network is in memory, with its slab of slices."""
    return resources.predict(
        case_scan(wildcards.case),
        SETTINGS.preprocessing.spacing,
        [SETTINGS.networks[run.model] for run in read_runs(wildcards)],
        SETTINGS.prediction,
        classes=len(ORGANS) + 1,
        gpu=has_gpu(),
    )


def evaluation_request(wildcards):
    """What measuring a prediction asks for."""
    return resources.evaluate(
        case_scan(wildcards.case), classes=len(ORGANS) + 1, dosed=DOSED
    )


def showing_request(wildcards):
    """What writing a case for the viewer asks for."""
    scan, models = case_scan(wildcards.case), len(STUDY["models"])
    return resources.show(scan, classes=len(ORGANS) + 1, models=models)


def asked(wildcards):
    """What each job that has a benchmark asks for in its first attempt."""
    run, excluded = ("model", "fold", "seed"), excluded_cases()
    requests = {
        "convert": (conversion_request, CASES, ("case",)),
        "train": (training_request, runs("{model} {fold} {seed}", NETWORKS), run),
        "tune": (
            training_request,
            tuning_runs("{model} {fold} {seed} {candidate}"),
            (*run, "candidate"),
        ),
        "predict": (
            prediction_request,
            tested(
                "{model} {fold} {seed} {case}",
                excluded,
                models=kinds.predicted_by("predict", STUDY),
            ),
            (*run, "case"),
        ),
        "evaluate": (
            evaluation_request,
            tested("{model} {fold} {seed} {case}", excluded),
            (*run, "case"),
        ),
        "viewer_case": (
            showing_request,
            [case for case in SHOWN_FOLDS if case not in excluded],
            ("case",),
        ),
    }
    return [
        {
            "rule": kind,
            "benchmark": BENCHMARKS[kind].format(**vars(job)),
            **request(job),
        }
        for kind, (request, jobs, names) in requests.items()
        for job in (
            SimpleNamespace(**dict(zip(names, words.split()))) for words in jobs
        )
    ]
