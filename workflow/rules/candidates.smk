"""Input functions of what is tuned: the candidates' trainings, and what was chosen; see tune.smk for the rules."""


def tuned_runs(pattern):
    """A path of every choice that tuning makes: for each network and fold, by the first seed."""
    seed = STUDY["training"]["seeds"][0]
    return expand(
        pattern,
        model=NETWORKS if CANDIDATES else [],
        fold=range(len(FOLDS)),
        seed=seed,
        allow_missing=True,
    )


def tuning_runs(pattern):
    """A path of every training of tuning: each candidate of each choice."""
    return expand(tuned_runs(pattern), candidate=CANDIDATES)


def candidate_settings(wildcards):
    """The settings of the job's model with those of its candidate."""
    settings = training_settings(wildcards)
    candidate = CANDIDATES[wildcards.candidate]
    return {**settings, "training": settings["training"] | candidate}


def chosen(wildcards):
    """The file that says what tuning chose for the run, once it is there; nothing where nothing is tuned."""
    if not CANDIDATES:
        return []
    seed = STUDY["training"]["seeds"][0]
    return checkpoints.choose.get(
        model=wildcards.model, fold=wildcards.fold, seed=seed
    ).output[0]


def chosen_file(wildcards):
    """The file that will say, or says, what tuning chose for the run."""
    seed = STUDY["training"]["seeds"][0]
    return f"{TUNING}/chosen.json".format(
        model=wildcards.model, fold=wildcards.fold, seed=seed
    )
