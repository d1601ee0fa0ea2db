"""What is asked of predictions in the formats of planning systems, beside the NIfTI that is measured."""

FORMATS = [kind for kind in STUDY["prediction"]["formats"] if kind != "nifti"]
# SEG needs a package more.
DRAWING = "seg" if "seg" in FORMATS else "imaging"


def check_formats():
    """Check that there are DICOM series to refer to.

    Raises:
        WorkflowError: a case's image is no folder.
    """
    for case in CASES if FORMATS else []:
        if not os.path.isdir(VOLUME.format(case=case)):
            raise WorkflowError(
                f"config, prediction.formats: {FORMATS[0]} refers to a DICOM series, but {VOLUME.format(case=case)} is "
                "no folder with one; remove it, or set dataset.image to folders"
            )


check_formats()


def in_formats(wildcards):
    """Every test case's predictions in the formats that are asked for, NIfTI apart."""
    return [
        path
        for kind in FORMATS
        for path in tests(f"{RUN}/predictions/{{case}}.{kind}.dcm")(wildcards)
    ]
