"""Say how much of the memory and time that they asked for a study's jobs took, as a table in Markdown."""

from pathlib import Path

import pandas as pd

from organbench.core import errors, jobs

SAMPLED = 2.0  # s that a job must last for its memory to be known: Snakemake looks twice a second

with jobs.job_log(snakemake.log[0]) as logger:
    jobs = pd.DataFrame(snakemake.params.asked)
    jobs = jobs[[Path(path).is_file() for path in jobs["benchmark"]]]
    if jobs.empty:
        raise errors.InputError("there are no benchmarks of this study; run it first, or name its file by --configfile")
    took = pd.concat([pd.read_csv(path, sep="\t").tail(1) for path in jobs["benchmark"]]).set_index(jobs.index)
    jobs["took_mb"] = took["max_rss"].where(took["s"] > SAMPLED)
    jobs["took_minutes"] = took["s"] / 60
    jobs["share"] = jobs["took_mb"] / jobs["mem_mb"]
    columns = ("rule", "jobs", "MB asked for", "MB taken", "largest share", "minutes asked for", "minutes taken")
    lines = ["", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for rule, group in jobs.groupby("rule", sort=False):
        memory, time = (
            " to ".join(f"{amount:,}" for amount in dict.fromkeys((group[column].min(), group[column].max())))
            for column in ("mem_mb", "runtime")
        )
        known = group["took_mb"].notna().any()
        taken = (f"{group['took_mb'].max():,.0f}", f"{group['share'].max():.0%}") if known else ("too short", "")
        cells = [f"`{rule}`", len(group), memory, *taken, time, f"{group['took_minutes'].max():.1f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    logger.warning("\n".join(lines))  # warnings reach the screen
