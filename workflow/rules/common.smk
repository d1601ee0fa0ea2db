"""Names and input functions. Everything that decides which jobs there are is decided here, while parsing."""

import csv
import hashlib
import importlib.util
import os
import re
import shutil
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import yaml

WORKFLOW = Path(str(workflow.current_basedir)).parent
SCRIPTS = WORKFLOW / "scripts"
METHODS = WORKFLOW / "report" / "methods.md.j2"
REFERENCES = WORKFLOW / "report" / "references.bib"
if str(SCRIPTS) not in sys.path:
    sys.path.insert(0, str(SCRIPTS))

from organbench.learning import choices
from organbench.evaluation import registry
from organbench.study import augmenting, configuration, identity, kinds, schema, tuning
from organbench.study.kinds import network, nnunet
from organbench.data import annotations, finding, groups, names, splits
from organbench.data.sources.openkbp.patients import patients
from organbench.core import dates, failures, outside, provenance
from organbench.core.errors import InputError, plain
from organbench.core.jobs import adopt, namespace
from organbench.core.runs import Run
from organbench.reporting import figures
from snakemake.exceptions import WorkflowError


def original(path):
    """A volume or label map, or several, as an input: from object storage where the root is an address."""
    scheme, mark, _ = STUDY["dataset"]["root"].partition("://")
    return getattr(storage, finding.SCHEMES[scheme])(path) if mark else path


def stored(dataset):
    """The paths below the root of all that is there, if it is in a bucket; None for other roots.

    Raises:
        InputError: the storage plugin is not installed, or the bucket cannot be listed.
    """
    if not finding.is_address(dataset["root"]):
        return None
    plugin = finding.SCHEMES[dataset["root"].partition("://")[0]]
    if not importlib.util.find_spec(f"snakemake_storage_plugin_{plugin}"):
        raise InputError(
            f"config, dataset.root: {dataset['root']} needs a plugin of Snakemake; "
            f"run pip install snakemake-storage-plugin-{plugin}"
        )
    if plugin != "s3" or dataset["cases"] is not None:
        return None
    from botocore.exceptions import BotoCoreError, ClientError

    root = storage.s3(dataset["root"]).flags["storage_object"]
    try:
        keys = [file.key for file in root.s3bucket().objects.filter(Prefix=root.key)]
    except (BotoCoreError, ClientError) as error:
        raise InputError(
            f"{dataset['root']}: cannot be listed ({error}); check the address and the credentials"
        ) from None
    return [os.path.relpath(key, root.key) for key in keys]


def dose_files(wildcards):
    """An input function: the files of a case's planned dose; none where it has none, or the study has no doses."""
    return [original(path) for path in DOSES.get(wildcards.case, [])]


def dose_frame(wildcards):
    """An input function: what is known of the case's scan, where its dose has to lie in the same frame of reference."""
    return ancient(CASE["case"].format(case=wildcards.case)) if DOSED else []


def dose_name(wildcards):
    """A param: below the root a case's planned dose, empty where it has none; None where the study has no doses."""
    if not DOSED:
        return None
    there = DOSES.get(wildcards.case)
    return STUDY["dataset"]["dose"].format(case=wildcards.case) if there else ""


def may_replace():
    """Whether finished trainings may be replaced: yes, no (where that can be decided), or None: nobody has said it."""
    said = config.pop("replace_trainings", None)
    if str(said).lower() not in ("true", "false", "none"):
        raise WorkflowError(
            f"config, replace_trainings: {plain(said)} is neither true nor false"
        )
    return {"true": True, "false": False}.get(str(said).lower())


def resolve_study():
    """The study's config, its cases, why others lack files, who has which role in each fold, and the cases' groups."""
    defaults = yaml.safe_load((WORKFLOW.parent / "config.yaml").read_text())
    known = schema.load(WORKFLOW / "schemas" / "config.schema.yaml")
    if workflow.config_settings.replace_workflow_config:
        defaults = {}
    try:
        for file in workflow.configfiles:
            configuration.check_keys(os.path.relpath(file))
        resolved = configuration.resolve(config, defaults, known)
        configuration.check_folder(Path("results", resolved["study"]))
        configuration.check_citation(resolved["dataset"], REFERENCES.read_text())
        cases, incomplete = finding.find_cases(
            resolved["dataset"], stored(resolved["dataset"])
        )
        folds = splits.without(splits.split(cases, **resolved["split"]), incomplete)
        tuning.check_folds(resolved, folds)
        if resolved["dataset"]["source"] == "phantom":
            configuration.check_folder(Path(resolved["dataset"]["root"]))
            finding.check_phantoms(resolved["dataset"], cases)
        grouped = groups.read(
            resolved["dataset"], cases, incomplete, resolved["split"]["patient"]
        )
        usable = [case for case in cases if case not in incomplete]
        return resolved, usable, incomplete, folds, grouped
    except InputError as error:
        raise WorkflowError(str(error)) from None
    except OSError as error:  # names that are too long, folders that may not be read
        raise WorkflowError(
            f"{plain(error.filename)}: cannot be read ({error.strerror}); "
            "check its name in the config, and its rights"
        ) from None


def organs_not_annotated():
    """The indices of the organs that were not annotated in a case, where `dataset.annotated` says so."""
    try:
        return annotations.read(STUDY["dataset"], [*CASES, *INCOMPLETE])
    except InputError as error:
        raise WorkflowError(str(error)) from None


def unannotated(wildcards):
    """A param: those of the job's case."""
    return UNANNOTATED.get(wildcards.case, [])


def planned_doses():
    """The files of each case's planned dose; none where the study has no doses."""
    try:
        there = stored(STUDY["dataset"]) if DOSED else None
        return finding.doses(STUDY["dataset"], CASES, there) if DOSED else {}
    except InputError as error:
        raise WorkflowError(str(error)) from None


REPLACE = may_replace()
# Not the configfile directive: it would merge the default study's organs and networks into those of any other.
STUDY, CASES, INCOMPLETE, FOLDS, GROUPS = resolve_study()
UNANNOTATED = organs_not_annotated()
adopt()
config.update(STUDY)

RESULTS = f"results/{STUDY['study']}"
if workflow.is_main_process:
    dates.restore(RESULTS)
RUN = f"{RESULTS}/runs/{{model}}/fold{{fold}}-seed{{seed}}"
# Of the learning curve: percent of a fold's training patients; the study's own runs are the 100.
SHARES = [25, 50]
SHARE_RUN = (
    f"{RESULTS}/learning_curve/share{{share}}/runs/{{model}}/fold{{fold}}-seed{{seed}}"
)
SHARE_LOG = "learning_curve/share{share}/{model}-fold{fold}-seed{seed}"
# Of tuning: a folder a candidate, and which one was chosen. Seed is the study's first.
TUNING = f"{RESULTS}/runs/{{model}}/tuning/fold{{fold}}-seed{{seed}}"
CANDIDATES = tuning.candidates(STUDY["training"]["tune"])
ORGANS = STUDY["dataset"]["organs"]
# How networks predict, which may shape weights; in which formats that is written does not.
PREDICTION = {
    key: value for key, value in STUDY["prediction"].items() if key != "formats"
}
TRAINED, FIXED = kinds.trained(STUDY), kinds.fixed(STUDY)
# Those that `train` makes: what is said of networks and their settings is said of them.
NETWORKS = kinds.networks(STUDY)
SKIP_BAD = STUDY["dataset"]["on_bad_case"] == "skip"
# Where labels are structures with names: what was drawn in each case, as a label map of the scan and as masks.
STRUCTURES = STUDY["dataset"]["structures"]
CASE_FILES = ["image.npy", "label.npy", "points.npy", "case.json"]
CASE = {Path(file).stem: f"{RESULTS}/cases/{{case}}/{file}" for file in CASE_FILES}
DRAWN = {
    Path(file).name.partition(".")[0]: f"{RESULTS}/cases/{{case}}/{file}"
    for file in (["labels.nii.gz", "drawn.npz"] if STRUCTURES else [])
}
ROOT = STUDY["dataset"]["root"].rstrip("/")
# What lies elsewhere is known by its address; files that lie here are known by what they hold, see weights.smk.
ADDRESS = ROOT if finding.is_address(ROOT) else None
VOLUME, LABELS = (f"{ROOT}/{STUDY['dataset'][key]}" for key in ("image", "label"))
# What predictions are measured against, and shown beside.
REFERENCE = DRAWN.get("labels", LABELS)
# The files of each case's planned dose; one that has none is not scored in Gy.
DOSED = STUDY["dataset"]["dose"] is not None
DOSE = f"{ROOT}/{STUDY['dataset']['dose']}" if DOSED else None
DOSES = planned_doses()
# What is said of the doses before anything is trained.
CHECKED_DOSES = [f"{RESULTS}/tables/doses.csv"] if DOSED else []
# OpenKBP's patients that are not there yet; only these does the rule that fetches know.
ABSENT = []
# Those whose doses are not there yet, likewise.
UNDOSED = [
    case
    for case, files in DOSES.items()
    if STUDY["dataset"]["source"] == "openkbp" and not os.path.exists(files[0])
]
if STUDY["dataset"]["source"] == "openkbp":
    try:
        ABSENT = finding.absent(STUDY["dataset"], CASES)
    except InputError as error:
        raise WorkflowError(str(error)) from None
    # Be polite to who publishes them, with however many cores.
    workflow.global_resources.setdefault("downloads", 2)
# What the viewer and the overlays show: each test case in the first fold that tests it.
SHOWN_FOLDS = {
    case: fold
    for fold, roles in reversed(list(enumerate(FOLDS)))
    for case in roles["test"]
}
# What the viewer is made of.
PAGE = WORKFLOW / "viewer"
PAGE_FILES = ["index.html", "viewer.css", "viewer.js"]
NIIVUE_FILES = [f"niivue/{file}" for file in ("niivue-0.69.0.umd.js", "LICENSES.txt")]

# The tables that the report shows, and their headings.
REPORT_TABLES = {
    "warnings": "warnings: what to look at first",
    "comparison": "verdicts: every pair of models",
    "summary": "summary: means with intervals",
    "advice": "advice: which model to take",
    "cost": "cost",
    "pareto": "who is on the Pareto front",
    "ranks": "ranks of three or more models",
    "convergence": "whether training had converged",
    "rank_stability": "how stable the ranking is",
    "failures": "failures: how often models fail",
    "failure_differences": "failures: every pair of models",
    "legacy": "scores that mislead",
    "empty_masks": "other rules for empty masks",
    "volume_agreement": "volume agreement",
    "per_case": "every case",
    "cases": "the scans",
    "versions": "software and devices",
}
if GROUPS:
    REPORT_TABLES["groups"] = "groups: means with intervals"
    REPORT_TABLES["group_differences"] = "groups: every pair of models"
if kinds.observers(STUDY):
    REPORT_TABLES["observers"] = "observers: which models reach another human"
if SKIP_BAD:
    REPORT_TABLES["bad_cases"] = "cases that were left out"
if CANDIDATES:
    REPORT_TABLES["tuning"] = "tuning: what each candidate reached on validation cases"


def one_of(names):
    """A constraint of a wildcard: it is one of the names; it is nothing where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    case=names.CASE_NAME,
    model="[A-Za-z0-9][A-Za-z0-9_]*",
    fold=r"\d+",
    seed=r"\d+",
    share="|".join(map(str, SHARES)),
    candidate=one_of(CANDIDATES),


def code(script, *files):
    """A param: a hash of what a script and the library files that it imports do, so that a change of code is a change of it.

    It is the same after a change of dates, places, comments or format. Files of the library that a script imports by a
    name that only the job knows, such as networks, are named beside it, and what they import counts too.
    """
    return lambda wildcards: fingerprint(script, *files)


@cache  # thousands of jobs ask for the same few
def fingerprint(script, *files):
    """A hash of what a script, the named files of the library and all that they import do."""
    return provenance.fingerprint(library_files(script, *files), SCRIPTS)


@cache
def library_files(script, *files):
    """A script, the named files of the library, and all files that they import."""
    named = (SCRIPTS / "organbench" / file for file in files)
    try:
        return provenance.followed(SCRIPTS / script, *named, root=SCRIPTS)
    except (ImportError, SyntaxError) as error:
        raise WorkflowError(f"{error}; mend the file") from None


def content(*files):
    """A param: a hash of files of this workflow, which count by what they hold, and not by date or place."""

    def digest(wildcards):
        held = b"".join(Path(file).read_bytes() for file in files)
        return hashlib.sha256(held).hexdigest()

    return digest


def design(wildcards):
    """A param of what gathers the results of all runs: which ones there are. Snakemake compares inputs by their dates only."""
    models = [
        [name, kinds.of(name, STUDY).members(name, STUDY)] for name in STUDY["models"]
    ]
    return [models, STUDY["training"]["seeds"], FOLDS, sorted(excluded_cases())]


def unrecorded(value):
    """A param that Snakemake does not record, and so does not compare: one that is made from `input`."""
    return lambda wildcards, input: value


def look_when_a_job_ends():
    """Have the scheduler look for jobs to start when one has ended, and not every second as well.

    By default Snakemake 9.27 starts at most 100 jobs a second and for that looks again a second later. As every job that
    ends begins a row of such looks of its own, they take a core from the jobs after some hundred of these.
    """
    limit, default = workflow.scheduling_settings.max_jobs_per_timespan, (100, 1)
    if limit and (limit.max_jobs, limit.timespan) == default:  # nobody asked for it
        workflow.scheduler.job_rate_limiter = None


def remove_checkpoints():
    """Remove what finished trainings would have gone on from.

    Not when a training ends: should the workflow be killed before it has noted that, the training would be repeated.
    """
    left = runs(f"{RUN}/checkpoint.pt", NETWORKS)
    left += of_shares(f"{SHARE_RUN}/checkpoint.pt")
    for checkpoint in left:
        if Path(checkpoint).with_name("weights.pt").exists():
            Path(checkpoint).unlink(missing_ok=True)
    for folder in runs(RUN, kinds.trained_by("nnunet_train", STUDY)):
        if Path(folder, "weights.pt").exists():
            shutil.rmtree(Path(folder, nnunet.CHECKPOINTS), ignore_errors=True)
    for checkpoint in tuning_runs(f"{TUNING}/{{candidate}}/checkpoint.pt"):
        if Path(checkpoint).with_name("cost.json").exists():
            Path(checkpoint).unlink(missing_ok=True)


@cache
def share_of(fold, percent):
    """Who trains, validates and tests in a fold where it trains on a share of its patients."""
    settings = STUDY["split"]
    return splits.part(FOLDS[fold], percent, settings["seed"], settings["patient"])


def cases_in(wildcards, *roles):
    """The cases that have one of the roles in the run's fold; of a learning curve those of its share."""
    fold = share_of(int(wildcards.fold), int(getattr(wildcards, "share", 100)))
    return [case for role in roles for case in fold[role]]


def training_files(wildcards):
    """What a run learns from: its training and validation cases only, so that a new test case retrains nothing.

    Their dates say nothing: whether a training is another is told by what it is named by, see weights.smk.
    """
    return [
        ancient(path.format(case=case))
        for case in cases_in(wildcards, "train", "validation")
        for path in CASE.values()
    ]


def prediction_code(wildcards):
    """A hash of the code that shapes a model's predictions."""
    kind = kinds.of(wildcards.model, STUDY)
    members = kind.members(wildcards.model, STUDY)
    imported = [outside_code(member) for member in members]
    own = fingerprint("predict.py", *map(network_file, members))
    return [own, *imported] if any(imported) else own


def prediction_by_position():
    """How the study predicts, with organs by their positions."""
    organs, settings = list(ORGANS), PREDICTION
    largest = [organs.index(organ) for organ in settings["keep_largest"]]
    return settings | {"keep_largest": largest}


def read_runs(wildcards):
    """The runs whose weights predict a case: the model's own, or those that an ensemble averages."""
    run = Run(wildcards.model, int(wildcards.fold), int(wildcards.seed))
    kind = kinds.of(wildcards.model, STUDY)
    return kind.reads(STUDY, FOLDS, run, wildcards.case)


def runs_by_settings(wildcards):
    """A param: the runs whose weights predict a case, by what was trained, as models may have got other names."""
    return [
        [identity.shaping(settings_of(run.model)), run.fold, run.seed]
        for run in read_runs(wildcards)
    ]


def read_networks(wildcards, input):
    """The names of the networks of these runs, whose files may have been moved; a param that Snakemake does not record."""
    return [STUDY["models"][run.model]["network"] for run in read_runs(wildcards)]


def prediction_weights(wildcards):
    """The weights that predict a case."""
    return [f"{RUN}/weights.pt".format(**vars(run)) for run in read_runs(wildcards)]


def network_file(model):
    """The file of the library that holds a model's network, or that imports it."""
    name = STUDY["models"][model]["network"]
    return f"networks/{'imported' if outside.is_outside(name) else name}.py"


@cache
def outside_code(model):
    """What is known of the code of a model's network that is not of the library: files' hashes, or package and version."""
    name = STUDY["models"][model]["network"]
    if not outside.is_outside(name):
        return {}
    try:
        return outside.code_of(name, pinned())
    except InputError as error:
        raise WorkflowError(f"config, models.{model}: {error}") from None


def pinned():
    """The versions of packages in the jobs' environment, where that is not this one."""
    if not uses_conda():
        return {}
    pins = (WORKFLOW.parent / "envs" / f"{ENVIRONMENT}.yaml").read_text()
    return dict(re.findall(r"- ([\w-]+)==(\S+)", pins))


def uses_conda():
    """Whether jobs run in environments of their own."""
    method = getattr(workflow.deployment_settings, "deployment_method", ())
    return "conda" in map(str, method)


def environment():
    """The environment of jobs that train and predict: MONAI is in it where a network needs it."""
    imported = [STUDY["models"][model]["network"] for model in NETWORKS]
    needed = set().union(*map(outside.packages, filter(outside.is_outside, imported)))
    return "monai" if needed & {"monai", "einops"} else "torch"


def named_files(model):
    """The files that a model's training imports by name: its network, loss, ..., and those that tuning may choose."""
    training, tuned = settings_of(model)["training"], STUDY["training"]["tune"] or {}
    chosen = {
        choices.file(key, name)
        for key in choices.FOLDERS
        for name in [training[key], *tuned.get(key, [])]
    }
    chosen.update(choices.files_of(training["augmentation"]))
    return [network_file(model), *sorted(chosen)]


@cache
def settings_of(model):
    """A model's network options, and its training settings."""
    options, training = network.settings(model, STUDY)
    return {"network": options, "training": training}


def model_settings(wildcards):
    """The settings of the job's model."""
    return settings_of(wildcards.model)


def training_settings(wildcards):
    """What shapes a run's weights: with `weights: best` also how validation cases are predicted, by which they are chosen."""
    settings = settings_of(wildcards.model)
    if pairs := augmenting.pairs(STUDY, settings["training"]):
        settings = settings | {"mirrored": pairs}
    if settings["training"]["weights"] == "best":
        return settings | {"prediction": PREDICTION}
    return settings


def runs(pattern, models=TRAINED):
    """A path of every training: each trained model, or some of them, and its folds and seeds."""
    return [
        path
        for model in models
        for path in expand(
            pattern,
            model=model,
            fold=range(len(FOLDS)),
            seed=kinds.of(model, STUDY).seeds(STUDY),
        )
    ]


def excluded_cases():
    """The cases that the last check has excluded."""
    table = Path(RESULTS, "tables", "bad_cases.csv")
    if not table.exists():
        return set()
    with table.open(newline="") as rows:
        return {row["case"] for row in csv.DictReader(rows)}


def left_out():
    """The cases that on_bad_case: skip goes on without; known once all cases were checked."""
    if not SKIP_BAD:
        return set()
    checkpoints.leave_out.get()
    return excluded_cases()


def tested(pattern, excluded, seeds=None, models=None):
    """A path of every test case of every run, those of ensembles too, but for those that are excluded."""
    return [
        path
        for fold, roles in enumerate(FOLDS)
        for model in (STUDY["models"] if models is None else models)
        for path in expand(
            pattern,
            model=model,
            fold=fold,
            seed=seeds or kinds.of(model, STUDY).seeds(STUDY),
            case=[case for case in roles["test"] if case not in excluded],
        )
    ]


def of_shares(pattern):
    """A path of every training with fewer patients."""
    return expand(
        pattern,
        share=SHARES,
        model=NETWORKS,
        fold=range(len(FOLDS)),
        seed=STUDY["training"]["seeds"],
        allow_missing=True,
    )


def share_metrics(wildcards):
    """The metrics of all test cases of every training, those with all patients too."""
    excluded = left_out()
    patterns = [SHARE_RUN.replace("{share}", str(share)) for share in SHARES]
    return [
        path
        for pattern in (*patterns, RUN)
        for path in tested(f"{pattern}/metrics/{{case}}.csv", excluded, models=NETWORKS)
    ]


def training_patients(percent):
    """How many patients are trained on in each fold."""
    return [
        len(splits.patients(fold["train"], STUDY["split"]["patient"]))
        for fold in (share_of(number, percent) for number in range(len(FOLDS)))
    ]


def tests(pattern, seeds=None):
    """An input function: what `tested` says, once it is known which cases are left out."""
    return lambda wildcards: tested(pattern, left_out(), seeds)


def shown(pattern):
    """An input function: a path of every case that the viewer shows."""

    def paths(wildcards):
        excluded = left_out()
        cases = [case for case in SHOWN_FOLDS if case not in excluded]
        if pattern in (VOLUME, REFERENCE):
            return [source_of(case, pattern) for case in cases]
        return expand(pattern, case=cases)

    return paths


def first_tested(pattern):
    """An input function: the path of the first test case of the run's fold."""

    def path(wildcards):
        excluded = left_out()
        case = next(c for c in cases_in(wildcards, "test") if c not in excluded)
        return pattern.format(**{"case": case, **wildcards})

    return path


def shown_predictions(wildcards):
    """The predictions of a case that the viewer shows: one of each model."""
    return expand(
        f"{RUN}/predictions/{{case}}.nii.gz",
        model=STUDY["models"],
        fold=SHOWN_FOLDS[wildcards.case],
        seed=STUDY["training"]["seeds"][0],
        case=wildcards.case,
    )


def prediction_pattern(wildcards):
    """Where the overlays' script finds a prediction; a function, because its braces are no wildcards here."""
    return f"{RUN}/predictions/{{case}}.nii.gz"


def whole_study(wildcards):
    """The study's configuration; a function, because its patterns have braces that are no wildcards here."""
    return STUDY


def configuration_text(wildcards):
    """The study's configuration as YAML."""
    return yaml.safe_dump(STUDY, sort_keys=False)


FIGURE_SETTINGS = {
    "models": list(STUDY["models"]),
    "organs": list(ORGANS),
    "observers": kinds.observers(STUDY),
    "tuned": list(STUDY["training"]["tune"] or []),
}


def figure_input(table):
    """Where a table lies that figures are drawn from; of `histories` there are many."""
    if table == "histories":
        return runs(f"{RUN}/history.csv", kinds.with_history(STUDY))
    return (
        f"{RESULTS}/split.csv" if table == "split" else f"{RESULTS}/tables/{table}.csv"
    )


def all_figures():
    """The study's figures: a single model has no differences, two have no ranks."""
    there = {
        "models": len(STUDY["models"]),
        "groups": len(GROUPS),
        "doses": sum(map(bool, DOSES.values())),
        "candidates": len(CANDIDATES),
        "histories": len(kinds.with_history(STUDY)),
        "requests": 0,
    }
    names = [
        figure.name
        for drawn in figures.known(dosed=DOSED).values()
        for figure in drawn
        if all(there[what] >= least for what, least in figure.needs.items())
    ]
    return expand(
        f"{RESULTS}/figures/{{name}}.{{suffix}}",
        name=[*names, "overlays"],
        suffix=["png", "svg"],
    )


ENVIRONMENT = environment()
