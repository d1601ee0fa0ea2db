"""nnU-Net (Isensee et al. 2021) as a contender: its own planning, training and prediction, driven by ours.

`python -m organbench.learning.nnunet TASK JOB` does one task with the interpreter that has nnunetv2; the workflow's own
needs it not. Only what is here shapes its weights, with the version of nnunetv2.
"""
