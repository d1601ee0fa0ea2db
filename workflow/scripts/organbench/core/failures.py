"""What to do about the jobs that failed, from Snakemake's log and the last line of theirs."""

import re
from collections.abc import Iterable
from pathlib import Path

# What Snakemake writes of a process that SIGKILL ended, and what the slurm executor says of a job that it ended.
KILLED = r"SIGKILL|exit status 137|OUT_OF_MEMORY|TIMEOUT|NODE_FAIL|PREEMPTED"
TIMESTAMP = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "


def advice(logs: Iterable[str | Path]) -> str:
    """What to do about the jobs that failed: a line each, in the words of its own log where it has any.

    Args:
        logs: what Snakemake wrote.

    Returns:
        A few lines; nothing where no job has failed.
    """
    failed = [failure for log in logs for failure in failures(Path(log).read_text(errors="replace"))]
    if not failed:
        return ""
    lines = [f"- {rule}, {log}:\n  {remedy(rule, log, killed)}" for rule, log, killed in failed]
    after = "Then run the same command again: what is finished is kept, and training goes on from its checkpoint."
    return "\n".join(["What to do about the jobs that failed:", *lines, after])


def failures(text: str) -> list[tuple[str, str, bool]]:
    """The rule and log of each job of a Snakemake log that failed for good, and whether it was ended from outside."""
    found: dict[str, tuple[str, str, bool]] = {}
    rule, job, said = "", "", []
    for line in text.splitlines():
        said.append(line)
        if start := re.match(r"(?:Error in| +) ?rule (\w+)", line):
            rule = start[1]
        elif number := re.match(r" +jobid: (\d+)", line):
            job = number[1]
        elif log := re.match(r" +log: (.+) \(check log file\(s\) for error details\)", line):
            found[job] = rule, log[1], bool(re.search(KILLED, "\n".join(said)))
            said = []  # the exception that is no job's yet stands before the job's own lines
        elif finished := re.match(r"Finished jobid: (\d+)", line):
            found.pop(finished[1], None)
    return list(found.values())


def remedy(rule: str, log: str, killed: bool) -> str:
    """What its own log says in its last line, or what follows from that it says nothing."""
    try:
        last = Path(log).read_text(errors="replace").strip().rpartition("\n")[2]
    except OSError:
        last = ""
    last = re.sub(TIMESTAMP, "", last).replace("<rule>", rule)
    if last.startswith("stopped: "):
        return f"{last}; for more time: --set-resources {rule}:runtime=<minutes>"
    if last.startswith(("error: ", "failed: ")):
        return last
    if killed:
        return (
            "killed from outside, mostly because memory or time ran out; for more of it: "
            f"--set-resources {rule}:mem_mb=<MB> {rule}:runtime=<minutes>"
        )
    return "ended without a word in its log; see what is above"
