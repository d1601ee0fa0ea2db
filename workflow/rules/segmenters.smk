"""Input functions of the segmenters that our own rules do not train: made elsewhere, programs, and nnU-Net."""

from organbench.study import elsewhere
from organbench.study.kinds import command

MADE = kinds.predicted_by("collect", STUDY)
COMMANDS = kinds.predicted_by("segment", STUDY)


def made_files(model, case):
    """The files or folders of a case that was segmented elsewhere, there or not, with what is in them."""
    pattern = STUDY["models"][model]["predictions"]
    return elsewhere.files(model, STUDY, pattern, case=case)


def made_files_there(wildcards):
    """Those files that are there, of a folder all in it: a case without any is a failure, and scored as one."""
    made = made_files(wildcards.model, wildcards.case)
    return [file for path in made for file in finding.files_at(Path(path))]


def made_as_drawn(wildcards):
    """Of a model made elsewhere, the masks of a prediction that its label map does not show whole; none of others."""
    made = wildcards.model in MADE + COMMANDS
    return f"{RUN}/predictions/{{case}}.drawn.npz".format(**wildcards) if made else []


def check_made():
    """Check that a path is not just mistyped: then all cases would be failures.

    Raises:
        WorkflowError: of a model no case is there.
    """
    cases = sorted({case for roles in FOLDS for case in roles["test"]})
    for model in MADE:
        wanted = [file for case in cases for file in made_files(model, case)]
        if wanted and not any(finding.files_at(Path(file)) for file in wanted):
            raise WorkflowError(
                f"config, models.{model}.predictions: of {len(cases)} test cases none is there, the first would be "
                f"{wanted[0]}; correct the path"
            )


check_made()


# Of each fold, and removed once its trainings have ended: what nnU-Net reads, and what it has made of it.
NNUNET_FOLD = f"{RESULTS}/nnunet/{{model}}/fold{{fold}}"
NNUNET = kinds.trained_by("nnunet_train", STUDY)


def nnunet_files(pattern):
    """An input function: a path of each case that a fold trains and validates on, and of no other."""
    made = pattern in (CASE["case"], *DRAWN.values())
    return lambda wildcards: [
        ancient(pattern.format(case=case)) if made else source_of(case, pattern)
        for case in cases_in(wildcards, "train", "validation")
    ]


def nnunet_job(wildcards, input):
    """What nnU-Net is told of a run or its fold; a param that Snakemake does not record."""
    return {
        "entry": nnunet.settings(STUDY["models"][wildcards.model]),
        "organs": list(ORGANS),
        "training": cases_in(wildcards, "train"),
        "validation": cases_in(wildcards, "validation"),
    }


def nnunet_prepared(wildcards):
    """What was prepared of a run's fold; nothing for a training that has ended, or whose job is told so by another."""
    folder = NNUNET_FOLD.format(**wildcards)
    wanted = folder_of(wildcards) in untrained()
    there = workflow.is_main_process or os.path.isdir(folder)
    return folder if wanted and there else []


def nnunet_training_request(wildcards):
    """Memory in MB and minutes of a training: a step takes a second on a slow GPU, and 10 s without one."""
    steps = nnunet.schedule(STUDY["models"][wildcards.model]).steps
    minutes = 60 + steps // (60 if has_gpu() else 6)
    return {"mem_mb": 24000, "runtime": minutes}
