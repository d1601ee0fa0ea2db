"""Predictions as planning systems read them, beside the NIfTI that is measured: `prediction.formats`."""


rule draw:
    input:
        prediction=f"{RUN}/predictions/{{case}}.nii.gz",
        image=source(VOLUME),
    output:
        f"{RUN}/predictions/{{case}}.{{kind}}.dcm",
    log:
        f"{RESULTS}/logs/draw/{{model}}-fold{{fold}}-seed{{seed}}/{{case}}.{{kind}}.log",
    wildcard_constraints:
        kind=one_of(FORMATS),
    conda:
        f"../../envs/{DRAWING}.yaml"
    resources:
        **growing(mem_mb=4000, runtime=15),
    params:
        code=code("draw.py"),
        organs=ORGANS,
        image=lambda wildcards: VOLUME.format(case=wildcards.case),
    script:
        "../scripts/draw.py"
