include: "workflow/Snakefile"


# an include resets the default target
workflow.default_target = "all"
