"""The Methods paragraph of a paper, written from the configuration, data and versions of a finished study.

Each function writes one section in plain sentences; a citation is `[@key]`, as Pandoc reads it, of a BibTeX entry.
"""

import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import pandas as pd

from organbench.data import splits
from organbench.evaluation.registry import METRICS
from organbench.learning import choices
from organbench.reporting import methods_of_tuning
from organbench.reporting.methods_statistics import statistics
from organbench.reporting.wording import between, duration, listed, spread, words
from organbench.study import kinds

PACKAGES = ("SimpleITK", "numpy", "scipy", "pandas", "surface-distance")

NETWORKS = {
    "unet": "a U-Net [@ronneberger2015unet]",
    "ghostunet": "a GhostUNet, the U-Net's topology made of ghost bottlenecks [@han2020ghostnet] with "
    "squeeze-and-excitation [@hu2018se]",
}
NORMS = {
    "batch": "batch normalisation [@ioffe2015bn]",
    "instance": "instance normalisation [@ulyanov2016in]",
    "group": "group normalisation [@wu2018gn]",
}
PHRASES = {"norm": NORMS} | {key: choices.phrases(key) for key in choices.FOLDERS}
"""Of settings whose values are no words of a paper: the words."""
CITED = {"deep_supervision": " [@isensee2021nnunet]", "ema": " [@polyak1992]"}
"""Of settings that stand for somebody's method: the citation."""
OPENKBP = "babier2021openkbp"
DATA_SETS = {"rister2020ctorg": "CT-ORG", OPENKBP: "OpenKBP"}
"""The names of data sets, by their citation."""


def text(
    config: Mapping[str, Any],
    settings: Mapping[str, Mapping[str, Any]],
    folds: Sequence[splits.Fold],
    cases: pd.DataFrame,
    excluded: pd.DataFrame,
    costs: Mapping[str, Mapping[str, Any]],
    references: str,
    fixed: str = "",
    converged: str = "",
    warnings: Sequence[str] = (),
    tuned: pd.DataFrame | None = None,
) -> str:
    """A study's methods as Markdown: a paragraph a topic, then the BibTeX entries of what is cited.

    Args:
        config: the study's resolved configuration.
        settings: of each model that was trained its `network` options and its `training`.
        folds: who trains, validates and tests, those too that were left out.
        cases: `tables/cases.csv`.
        excluded: `tables/bad_cases.csv`, the cases that were left out.
        costs: `cost.json` of one run of each model that was trained.
        references: BibTeX entries, of which those that are cited are appended.
        fixed: what was fixed before results were seen, see `protocol.words`.
        converged: whether training had converged, see `convergence.sentence`.
        warnings: what `tables/warnings.csv` says; it stands first.
        tuned: `tables/tuning.csv`, where settings were tuned.
    """
    folds = splits.without(folds, dict(zip(excluded["case"], excluded["reason"], strict=True)))
    sections = {"Warnings": f"Before this is used: {'; '.join(warnings)}."} if warnings else {}
    sections |= {
        "Data": data(config, cases, excluded),
        "Split": division(config["split"], folds),
        "Preprocessing": preprocessing(config["preprocessing"]),
        "Networks": networks(config, settings, costs),
        "Training": training(config["training"], settings)
        + f" {methods_of_tuning.tuning(config, folds, tuned)} {converged}".rstrip(),
        "Prediction": prediction(config["prediction"]),
        "Metrics": metrics(config["evaluation"]),
        "Statistics": statistics(config),
        "Protocol": fixed,
        "Software and hardware": software(costs),
    }
    body = "\n\n".join(f"## {title}\n\n{paragraph}" for title, paragraph in sections.items() if paragraph)
    entries = {re.search(r"{(\w+),", entry)[1]: entry for entry in references.strip().split("\n\n")}  # type: ignore[index]
    cited = "\n\n".join(entries[key] for key in sorted(set(re.findall(r"@(\w+)", body))))
    return f"# Methods of the study {config['study']}\n\n{body}\n\n## References\n\n```bibtex\n{cited}\n```\n"


def data(config: Mapping[str, Any], cases: pd.DataFrame, excluded: pd.DataFrame) -> str:
    """The cohort: what it is, its size, its grids, how many cases show each organ, and which were left out."""
    dataset = config["dataset"]
    if dataset["source"] == "phantom":
        seed = dataset["phantom"]["seed"]
        what = f"{len(cases)} generated patients (procedural phantoms, seed {seed}; not clinical data)"
    else:
        key = dataset["citation"] or (OPENKBP if dataset["source"] == "openkbp" else None)
        name = f" from {DATA_SETS[key]}" if key in DATA_SETS else ""
        what = f"{len(cases)} CT volumes{name}" + (f" [@{key}]" if key else "")
    plane = cases[["spacing_x", "spacing_y"]].mean(axis=1)
    shown = {organ: int((cases[f"{organ}_ml"] > 0).sum()) for organ in dataset["organs"]}
    left_out = (
        f" Of {len(cases) + len(excluded)} cases {len(excluded)} could not be used and were left out: "
        f"{listed(list(excluded['case']))} (`tables/bad_cases.csv` says why)."
        if len(excluded)
        else ""
    )
    return (
        f"We used {what}.{left_out} "
        f"Spacing was {spread(plane)} mm in plane and {spread(cases['spacing_z'])} mm between slices; "
        f"volumes had {spread(cases['size_z'])} slices (median, range). Reference contours were available of "
        f"{listed([f'{words(organ)} ({count} of {len(cases)} cases)' for organ, count in shown.items()])}."
    )


def division(split: Mapping[str, Any], folds: Sequence[splits.Fold]) -> str:
    """Who was trained on and tested on."""
    sizes = [[len(fold[role]) for fold in folds] for role in splits.ROLES]
    train, validation, test = (between(size) for size in sizes)
    how = splits.METHODS[split["method"]].sentence.format(folds=len(folds), seed=split["seed"])
    several = f" in each of {len(folds)} folds" if split["method"] == "file" and len(folds) > 1 else ""
    parts = [f"{train} for training", f"{validation} for validation", f"{test} for testing"]
    if not sum(sizes[1]):
        parts.pop(1)
    rotation = " Each fold had other validation cases." if split["method"] == "kfold" and sum(sizes[1]) else ""
    together = " All scans of a patient had the same role." if split["patient"] else ""
    return (
        f"{how} into {listed(parts)}{several}.{rotation}{together} No test case was seen in training or in choosing "
        "weights."
    )


def preprocessing(settings: Mapping[str, Any]) -> str:
    """Orientation, grid and intensities."""
    spacing, (low, high) = settings["spacing"], settings["window"]
    if all(axis is None for axis in spacing):
        grid = "kept on their own grids"
    else:
        axes = " x ".join("own" if axis is None else f"{axis:g}" for axis in spacing)
        grid = (
            f"resampled to {axes} mm (x y z), volumes linearly with an antialiasing filter and labels by the largest "
            "share of each voxel"
        )
    return (
        f"Volumes were brought to LPS orientation and {grid}. HU were clipped to [{low:g}, {high:g}] and scaled to "
        "[-1, 1]."
    )


def networks(
    config: Mapping[str, Any], settings: Mapping[str, Mapping[str, Any]], costs: Mapping[str, Mapping[str, Any]]
) -> str:
    """The networks, their sizes, and the ensembles."""
    sentences = []
    for name, own in settings.items():
        network = own["network"]
        kind = NETWORKS.get(network["network"], f"the network {network['network']}")
        options = [f"{network.get('dims', 2)}D"]
        if "features" in network:
            options.append("features " + "-".join(map(str, network["features"])))
        options += [
            f"{words(key)} {value}" for key, value in network.items() if key not in ("network", "dims", "features")
        ]
        cost = costs[name]
        sentences.append(
            f"{name} was {kind} ({', '.join(options)}; {cost['parameters'] / 1e6:.3g} million parameters, "
            f"{cost['multiply_adds_per_voxel'] / 1e3:.3g} thousand multiply-adds per voxel)."
        )
    sentences += [told for name in config["models"] if (told := kinds.of(name, config).words(name, config))]
    norms: dict[str, list[str]] = {}
    for name, own in settings.items():
        norms.setdefault(NORMS[own["training"]["norm"]], []).append(name)
    used = [f"{listed(names)} {'used ' * (not k)}{norm}" for k, (norm, names) in enumerate(norms.items())]
    if len(norms) == 1:
        used = [f"All used {next(iter(norms))}"]
    return " ".join([*sentences, f"{listed(used)}."])


def shared(given: Mapping[str, Any], settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What can be said of the networks in common: each setting as at least one of them has it.

    Args:
        given: the study's common settings, each of which may be that of no network, as entries override them.
        settings: those of each network.

    Returns:
        The common value of each key of `given` where a network has it, and that of the first network otherwise.
    """
    found = {}
    for key, value in given.items():
        own = [each[key] for each in settings if key in each]
        if isinstance(value, Mapping):
            found[key] = shared(value, own)
        else:
            found[key] = value if value in own or not own else own[0]
    return found


def training(common: Mapping[str, Any], settings: Mapping[str, Mapping[str, Any]]) -> str:
    """The schedule, what is common and what a model had otherwise."""
    common = shared(common, [own["training"] for own in settings.values()])
    crops = " x ".join(map(str, common["patch"]))
    neighbours = common["context"]
    slices = f"{neighbours} neighbouring slice{'s' * (neighbours > 1)} on each side as channels"
    context = f" with {slices}" if neighbours else ""
    share = said(common, "foreground", f"{common['foreground']:.0%}", "a tuned share")
    near = f"{share} of them near an organ, each organ as often" if common["foreground"] else "anywhere"
    decay = said(common, "weight_decay", f"weight decay {common['weight_decay']:g}", "a tuned weight decay")
    clip = said(common, "gradient_clip", f"a norm of {common['gradient_clip']:g}", "a tuned norm")
    average = said(common, "ema", f"decay {common['ema']:g}", "a tuned decay, where 0 is none")
    weight = f"with half the weight per level{CITED['deep_supervision']}"
    seeds = f"with {len(common['seeds'])} seeds" if len(common["seeds"]) > 1 else "once"
    sentences = [
        f"Networks were trained for {common['steps']} steps on batches of {common['batch_size']} crops of {crops} "
        f"voxels{context}, {near}, all models of these settings on the same crops in the same order.",
        "Crops were taken from the middle axial slice of each scan only." * (common["slices"] == "middle"),
        f"We minimised {said(common, 'loss', shown('loss', common['loss']), 'a tuned loss')} with "
        f"{said(common, 'optimizer', shown('optimizer', common['optimizer']), 'a tuned optimizer')} ({decay}, "
        f"gradients clipped to {clip}).",
        learning_rate(common),
        augmentation(common["augmentation"]),
        f"Coarser levels of the networks were supervised too, {weight}." if common["deep_supervision"] else "",
        f"An exponential moving average of the weights ({average}) was kept{CITED['ema']}."
        if average != "decay 0"
        else "",
        "The weights after the last step were kept."
        if common["weights"] == "last"
        else "The weights with the highest mean Dice on the validation cases, predicted like test cases, were kept.",
        f"Every network was trained {seeds} per fold.",
    ]
    for name, own in settings.items():
        if other := differences(own["training"], common):
            sentences.append(f"For {name} it was {listed(other)}.")
    return " ".join(sentence for sentence in sentences if sentence)


def said(common: Mapping[str, Any], key: str, phrase: str, tuned: str) -> str:
    """A common setting as a phrase, or as another where it was tuned."""
    return tuned if key in (common.get("tune") or {}) else phrase


def learning_rate(common: Mapping[str, Any]) -> str:
    """The course of the learning rate."""
    highest = said(common, "learning_rate", f"{common['learning_rate']:g}", "a tuned value")
    course = said(common, "schedule", shown("schedule", common["schedule"]), "then followed a tuned schedule")
    warmup = said(common, "warmup", str(common["warmup"]), "a tuned number of")
    if warmup == "0":
        return f"The learning rate started at {highest} and {course}."
    return f"The learning rate rose over {warmup} steps to {highest} and {course}."


def differences(own: Mapping[str, Any], common: Mapping[str, Any], above: str = "") -> list[str]:
    """The settings of a model that are not the common ones, each as words."""
    found = []
    for key, value in own.items():
        if isinstance(value, Mapping):
            found += differences(value, common[key], f"{words(key)} ")
        elif value != common[key] and key != "norm":  # which is told with the networks
            found.append(f"{above}{words(key)} {shown(key, value)}{CITED.get(key, '') if value else ''}")
    return found


def shown(key: str, value: Any) -> str:
    """A setting's value in words."""
    if isinstance(value, list):
        return listed(value) or "none" if key == "flip" else " x ".join(map(str, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(PHRASES.get(key, {}).get(value, value))


def augmentation(ranges: Mapping[str, Any]) -> str:
    """What crops were changed by."""
    parts = {key: phrase for key, phrase in choices.augmentations().items() if ranges[key]}
    used = [phrase.format(listed(ranges[key]) if key == "flip" else ranges[key]) for key, phrase in parts.items()]
    return f"Crops were augmented by random {listed(used)}." if used else "Crops were not augmented."


def prediction(settings: Mapping[str, Any]) -> str:
    """From windows to labels on the scanner's grid."""
    sentences = [
        "Windows of the training crop's size were moved over each scan with an overlap of at least "
        f"{settings['overlap']:.0%} and averaged with Gaussian weights [@isensee2021nnunet].",
        "Predictions were averaged over all flips." if settings["mirror"] else "",
        "Probabilities were resampled linearly to the scanner's grid, where the most probable class was taken.",
        f"Connected parts smaller than {settings['smallest_part']:g} of the organ's median volume in training were "
        "removed."
        if settings["smallest_part"]
        else "",
        f"Of {listed([words(organ) for organ in settings['keep_largest']])} only the largest connected part was kept."
        if settings["keep_largest"]
        else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def metrics(settings: Mapping[str, Any]) -> str:
    """What was measured, and the rule for empty masks."""
    tolerance = settings["tolerance_mm"]
    if isinstance(tolerance, Mapping):
        limit = "a tolerance of " + listed([f"{mm:g} mm ({words(organ)})" for organ, mm in tolerance.items()])
    else:
        limit = f"a tolerance of {tolerance:g} mm"
    measured = [metric.name + (f" [@{metric.citation}]" if metric.citation else "") for metric in METRICS.values()]
    return (
        f"All metrics were computed on the scanner's grid against the original labels: {listed(measured)}. Elements of "
        f"a surface were weighted by their area [@nikolov2021]; surface Dice and added path length had {limit}. An "
        "organ absent from reference and prediction was left out; one that was predicted but not there scored a Dice "
        "of 0. Distances need both surfaces and were left out where one was empty."
    )


def software(costs: Mapping[str, Mapping[str, Any]]) -> str:
    """Versions and devices."""
    found = {name: metadata.version(name) for name in PACKAGES}
    cite = {"SimpleITK": " [@lowekamp2013simpleitk]"}
    listing = [f"{name} {version}{cite.get(name, '')}" for name, version in found.items()]
    torch, cuda, python = (
        listed(sorted({cost["versions"][part] for cost in costs.values() if cost["versions"].get(part)}))
        for part in ("torch", "cuda", "python")
    )
    torch = f"PyTorch {torch} [@paszke2019pytorch]" + (f" with CUDA {cuda}" if cuda else "")
    devices = sorted({cost["device"] for cost in costs.values()})
    precisions = sorted({cost["precision"] for cost in costs.values()})
    hours = "; ".join(f"{name} {duration(cost['training_seconds'])}" for name, cost in costs.items())
    return (
        f"The study was run with OrganBench, a Snakemake workflow [@molder2021snakemake], on Python "
        f"{python}, {torch}, {listed(listing)}. "
        f"Networks were trained on {listed(devices)} in {listed(precisions)}; one training took: {hours}. The same "
        "batches and, on the same kind of device with the same number of threads, the same weights come out of every "
        "run."
    )


def versions(costs: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """What every training and this job ran on: columns used_by, software, version; devices are among them."""
    rows = [("tables", name, metadata.version(name)) for name in PACKAGES]
    for name, cost in costs.items():
        rows += [(f"training of {name}", part, version) for part, version in cost["versions"].items() if version]
        rows += [(f"training of {name}", part, cost[part]) for part in ("device", "threads", "precision")]
    return pd.DataFrame(rows, columns=["used_by", "software", "version"])
