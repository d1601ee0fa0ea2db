"""Finished trainings are kept: which of them are not what the study asks for, and what is done about it."""

import importlib.metadata
from types import SimpleNamespace

from organbench.core.files import sound_json
from organbench.data import origins
from snakemake.logging import logger
from snakemake.settings.enums import RerunTrigger

PHANTOM_MARK = f"{ROOT}/{finding.GENERATED}"
TRAINING_RULES = ("train", "train_share", "tune", "nnunet_train")
REPLACED = """\
{count} finished trainings are not what the study asks for:
{lines}
Undo the change; or train them anew by --config replace_trainings=true, which sets aside the weights that are replaced.{keep}"""
KEPT = " Or go on with them as they are, by --config replace_trainings=false."


class KeepsTrainings(type(workflow)):
    """A workflow that replaces no finished training unasked, and looks for changes of dates and params only.

    Snakemake also takes for outdated what a script of another date has made, or was made in another environment or of files
    in another place. Here all that shapes a result is among the params (code, by what it does), or compared by content.
    """

    @property
    def rerun_triggers(self):
        """What Snakemake looks at beside the dates of inputs."""
        by_place = {RerunTrigger.CODE, RerunTrigger.INPUT, RerunTrigger.SOFTWARE_ENV}
        return frozenset(set(super().rerun_triggers) - by_place)

    def _build_dag(self):
        """Have made again what has to be, though dates do not tell; and ask, before anything is made."""
        self.dag.forcefiles.update(made_again())
        super()._build_dag()
        wanted = {
            folder_of(job.wildcards): job
            for job in self.dag.jobs
            if job.rule.name in TRAINING_RULES
        }
        ask_before_replacing(wanted)
        again = [folder for folder, job in wanted.items() if self.dag.needrun(job)]
        tell_what_is_there(again)


# Not settings, which are not there yet while a workflow is parsed. As a module of another this one leaves that one its own.
if workflow.modifier.is_main_snakefile():
    workflow.__class__ = KeepsTrainings


@cache
def prepared():
    """What the `case.json` of each case holds that was prepared before."""
    found = {case: sound_json(CASE["case"].format(case=case)) for case in CASES}
    return {
        case: info | {"sources": origins.read(f"{RESULTS}/cases/{case}")}
        for case, info in found.items()
        if {"organs", "checksums"} <= info.keys()
    }


@cache
def prepared_anew():
    """Why cases that were prepared before are prepared anew; an empty reason where they are not."""
    # A job that is told to make a file makes it, and what lies elsewhere is Snakemake's to compare.
    if not workflow.is_main_process or ADDRESS:
        return {}
    return {case: why_anew(case, info) for case, info in prepared().items()}


def why_anew(case, info):
    """Why a case is prepared anew, given what its `case.json` holds; nothing where it is not."""
    reason = origins.why_anew(info, tried(case), skip_bad=SKIP_BAD)
    return reason or why_other_files(case)


def why_other_files(case):
    """Why the files that a case was prepared from are not its files now; nothing where they are."""
    drawn = sound_json(PHANTOM_MARK) if STUDY["dataset"]["source"] == "phantom" else {}
    if drawn and drawn != phantoms_drawn():
        return "dataset.phantom, or the code that draws phantoms, is another"
    files = {
        name: pattern.format(case=case)
        for name, pattern in (("volume", VOLUME), ("labels", LABELS))
    }
    if not any(map(os.path.exists, files.values())):
        return ""  # results without the phantoms that they came of
    same = origins.same(Path(RESULTS, "cases", case), files)
    return "" if same else "its files are others than before"


def tried(case):
    """The settings on which it depends whether a case can be used."""
    return {
        "values": list(ORGANS.values()),
        "ignored": STUDY["dataset"]["ignore_labels"],
        "spacing": STUDY["preprocessing"]["spacing"],
        **(
            {"structures": structures_asked()}
            if STRUCTURES
            else {"unannotated": UNANNOTATED.get(case, [])}
        ),
    }


def structures_asked():
    """What is asked of structures with names: those of each organ, and whether an organ without any is absent."""
    return {
        "names": list(STRUCTURES.values()),
        "missing": STUDY["dataset"]["missing_structures"],
    }


def phantoms_drawn():
    """What the folder of phantoms says of those in it."""
    wanted = STUDY["dataset"]["phantom"]
    return {
        "seed": wanted["seed"],
        "size": wanted["size"],
        "code": fingerprint("phantom.py"),
    }


def made_again():
    """The files that are made again if they are wanted: cases, and trainings that may be replaced."""
    if not workflow.is_main_process:
        return []
    found = [
        CASE["case"].format(case=case)
        for case, reason in prepared_anew().items()
        if reason
    ]
    found += expand(f"{RESULTS}/examined/{{case}}.json", case=CASES)
    if REPLACE:
        found += [f"{folder}/checked" for folder in replaced()]
    return found


def source(pattern):
    """An input function: a case's volume or labels."""
    return lambda wildcards: source_of(wildcards.case, pattern)


def source_of(case, pattern):
    """A case's volume or labels, or what was drawn of it. While they are those that it was prepared from, their date says nothing."""
    path = pattern.format(case=case)
    if pattern in DRAWN.values():  # made here
        return path
    return ancient(path) if prepared_anew().get(case) == "" else original(path)


def trainings():
    """All trainings that there can be, with their folders: the study's runs, its learning curve's and its candidates'."""
    run = "{model} {fold} {seed}"
    for names, paths in (
        (run, runs(run)),
        (f"{run} {{share}}", of_shares(f"{run} {{share}}")),
        (f"{run} {{candidate}}", tuning_runs(f"{run} {{candidate}}")),
    ):
        keys = re.findall(r"\w+", names)
        for words in paths:
            training = SimpleNamespace(**dict(zip(keys, words.split())))
            yield folder_of(training), training


def is_finished(folder, training):
    """Whether a training has ended; a candidate that diverged has no weights."""
    last = "cost.json" if hasattr(training, "candidate") else "weights.pt"
    return Path(folder, last).exists()


def shaping(wildcards):
    """What shapes a training's weights but for the arrays of its cases: arguments of `identity.of`, with cases' names.

    None where it is not known yet which settings tuning chooses.
    """
    settings, is_network = settings_that_shape(wildcards), wildcards.model in NETWORKS
    if is_network and CANDIDATES and not hasattr(wildcards, "candidate"):
        choice = sound_json(chosen_file(wildcards))
        if not choice:
            return None
        settings = settings | {"training": settings["training"] | choice["settings"]}
    excluded = excluded_cases()
    return {
        "code": code_that_shapes(wildcards.model),
        "settings": settings,
        "window": window_that_shapes(wildcards.model),
        "organs": list(ORGANS),
        "seed": int(wildcards.seed),
        "training": [c for c in cases_in(wildcards, "train") if c not in excluded],
        "validation": [
            c for c in cases_in(wildcards, "validation") if c not in excluded
        ],
    }


def window_that_shapes(model):
    """The window that a model sees scans in; nnU-Net finds its own."""
    return STUDY["preprocessing"]["window"] if model in NETWORKS else []


def settings_that_shape(wildcards):
    """A training's settings: of a candidate its own, and otherwise without what tuning chooses."""
    if wildcards.model not in NETWORKS:
        labels = list((STRUCTURES or ORGANS).values())
        return nnunet.shaping(STUDY["models"][wildcards.model], labels)
    has_own = hasattr(wildcards, "candidate")
    return candidate_settings(wildcards) if has_own else training_settings(wildcards)


@cache
def code_that_shapes(model):
    """A hash of each library file that shapes a model's weights."""
    if model not in NETWORKS:
        driver = sorted((SCRIPTS / "organbench/learning/nnunet").glob("*.py"))
        return identity.code_of(driver, SCRIPTS, chosen=False)
    names = library_files("train.py", *named_files(model))
    best = settings_of(model)["training"]["weights"] == "best"
    return identity.code_of(names, SCRIPTS, chosen=best) | outside_code(model)


def torch_now():
    """The version of PyTorch that trains here, without what it was built for; None where that is not known."""
    if uses_conda():
        pins = (WORKFLOW.parent / "envs" / "torch.yaml").read_text()
        return re.search(r"torch==([\d.]+)", pins)[1]
    try:
        return importlib.metadata.version("torch").partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def why_replaced(folder, training):
    """Why a finished training is not what the study asks for; nothing where it is, or where that is not known yet."""
    wanted = shaping(training)
    if wanted is None:
        return []
    anew, is_network = {}, training.model in NETWORKS
    for case in cases_in(training, "train", "validation"):  # excluded ones too
        reason = prepared_anew().get(case)
        if reason and not is_network and reason != origins.UNUSABLE:
            # nnU-Net reads the files themselves, and not what was prepared of them
            reason = why_other_files(case)
        if reason:
            anew.setdefault(reason, []).append(case)
    if anew:
        return [
            f"case {identity.listed(names)} is prepared anew: {reason}"
            for reason, names in anew.items()
        ]
    then = identity.read_cost(folder)
    found = identity.differences(
        identity.recorded(then), identity.expected(wanted, prepared(), then)
    )
    torch_then = then.get("versions", {}).get("torch", "").partition("+")[0]
    if (
        is_network
        and not found
        and torch_then
        and torch_now() not in (None, torch_then)
    ):
        found = [f"{identity.TORCH} was {torch_then} and is {torch_now()}"]
    stays = REPLACE is False and found and found[0].startswith(identity.MAY_STAY)
    return [] if stays else found


@cache
def replaced():
    """Why finished trainings are not what the study asks for, by their folders."""
    if not workflow.is_main_process:
        return {}
    found = {
        folder: why_replaced(folder, training)
        for folder, training in trainings()
        if is_finished(folder, training)
    }
    return {folder: reasons for folder, reasons in found.items() if reasons}


@cache
def untrained():
    """The folders of trainings that have not ended yet, or are replaced; all of them where a job is told to begin."""
    return {
        folder
        for folder, training in trainings()
        if not workflow.is_main_process
        or folder in replaced()
        or not is_finished(folder, training)
    }


def ask_before_replacing(wanted):
    """Say which finished trainings would be replaced of those that are wanted, and stop until it is said that they may be.

    Raises:
        WorkflowError: some would be.
    """
    found = {folder: replaced()[folder] for folder in replaced() if folder in wanted}
    if not found or REPLACE or workflow.dag_settings.until:
        return
    lines = [f"- {folder}: {'; '.join(reasons)}" for folder, reasons in found.items()]
    stay = any(reasons[0].startswith(identity.MAY_STAY) for reasons in found.values())
    raise WorkflowError(
        REPLACED.format(
            count=len(lines), lines="\n".join(lines), keep=KEPT if stay else ""
        )
    )


def tell_what_is_there(again):
    """Say which trainings Snakemake asks for again, as by --forcerun, although they are there; their jobs do nothing."""
    there = [folder for folder in again if folder not in untrained()]
    if there:
        logger.warning(
            f"{len(there)} trainings have ended and are what the study asks for, so they are not done again: "
            f"{', '.join(there)}. To train one anew, move its weights.pt away."
        )


def checked(wildcards):
    """The file that says that all cases and networks were checked before a training; none for one that has ended."""
    folder = folder_of(wildcards)
    return f"{folder}/checked" if folder in untrained() else []


def folder_of(wildcards):
    """The folder of a training."""
    if hasattr(wildcards, "share"):
        pattern = SHARE_RUN
    else:
        pattern = f"{TUNING}/{{candidate}}" if hasattr(wildcards, "candidate") else RUN
    return pattern.format(
        **vars(wildcards) if isinstance(wildcards, SimpleNamespace) else wildcards
    )


def training_job(wildcards, input):
    """What a training is, for its script. Snakemake does not record params that are made from `input`."""
    return {
        "code": code_that_shapes(wildcards.model),
        "settings": settings_that_shape(wildcards),
        "prediction": PREDICTION,
        "window": window_that_shapes(wildcards.model),
        "organs": list(ORGANS),
        "seed": int(wildcards.seed),
        **{
            role: [f"{RESULTS}/cases/{case}" for case in cases_in(wildcards, name)]
            for role, name in (("training", "train"), ("validation", "validation"))
        },
        "skip_bad": SKIP_BAD,
        "folder": folder_of(wildcards),
        "candidate": hasattr(wildcards, "candidate"),
        "replace": REPLACE,
    }


def finished_trainings(wildcards, input):
    """The trainings that have ended, with what they should be named by; a param that Snakemake does not record."""
    return [
        (folder, wanted)
        for folder, training in trainings()
        if is_finished(folder, training) and (wanted := shaping(training))
    ]
