"""Input functions of what is packed: which trainings a file holds, and the cases that these learned from."""

MODELS = kinds.predicted_by("predict", STUDY)
PACKED = f"{RESULTS}/models/{{packed}}"


def trainings_of(model):
    """The runs that a model predicts with: its own, or those of its members."""
    return [
        Run(member, fold, seed)
        for member in kinds.of(model, STUDY).members(model, STUDY)
        for fold in range(len(FOLDS))
        for seed in STUDY["training"]["seeds"]
    ]


# What can be packed: a model, by its name, or one of its trainings.
PACKABLE = {model: (model, trainings_of(model)) for model in MODELS} | {
    f"{run.model}-fold{run.fold}-seed{run.seed}": (run.model, [run])
    for model in NETWORKS
    for run in trainings_of(model)
}


def packed_runs(file):
    """An input function: a file of each training that is packed."""
    return lambda wildcards: [
        f"{RUN}/{file}".format(**vars(run)) for run in PACKABLE[wildcards.packed][1]
    ]


def packed_cases(wildcards):
    """What is known of the cases that these trainings learned from; their dates say nothing."""
    cases = {
        case: None
        for run in PACKABLE[wildcards.packed][1]
        for case in cases_in(run, "train", "validation")
    }
    return [ancient(CASE["case"].format(case=case)) for case in cases]


def packed_trainings(wildcards, input):
    """What is packed, for `packing.Training`; Snakemake does not record it, as weights tell."""
    return [
        [
            RUN.format(**vars(run)),
            STUDY["models"][run.model]["network"],
            cases_in(run, "train"),
            cases_in(run, "validation"),
        ]
        for run in PACKABLE[wildcards.packed][1]
    ]
