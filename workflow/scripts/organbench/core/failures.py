"""What to do about the jobs that failed, from Snakemake's log and the last line of theirs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# What Snakemake writes of a process that SIGKILL ended, and what the slurm executor says of a job that it ended.
KILLED = r"SIGKILL|exit status 137|OUT_OF_MEMORY|TIMEOUT|NODE_FAIL|PREEMPTED"
TIMESTAMP = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "


@dataclass(frozen=True)
class Failure:
    """A job that failed.

    Attributes:
        rule: its rule.
        log: its log.
        killed: whether it was ended from outside.
    """

    rule: str
    log: str
    killed: bool


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
    lines = [f"- {failure.rule}, {failure.log}:\n  {remedy(failure)}" for failure in failed]
    after = "Then run the same command again: what is finished is kept, and training goes on from its checkpoint."
    return "\n".join(["What to do about the jobs that failed:", *lines, after])


def failures(text: str) -> list[Failure]:
    """The jobs of a Snakemake log that failed and did not succeed in another attempt."""
    found: dict[str, Failure] = {}
    rule, job, said = "", "", []
    for line in text.splitlines():
        said.append(line)
        if start := re.match(r"(?:Error in| +) ?rule (\w+)", line):
            rule = start[1]
        elif number := re.match(r" +jobid: (\d+)", line):
            job = number[1]
        elif log := re.match(r" +log: (.+) \(check log file\(s\) for error details\)", line):
            found[job] = Failure(rule, log[1], bool(re.search(KILLED, "\n".join(said))))
            said = []  # the exception that is no job's yet stands before the job's own lines
        elif finished := re.match(r"Finished jobid: (\d+)", line):
            found.pop(finished[1], None)
    return list(found.values())


def remedy(failure: Failure) -> str:
    """What its own log says in its last line, or what follows from that it says nothing."""
    try:
        last = Path(failure.log).read_text(errors="replace").strip().rpartition("\n")[2]
    except OSError:
        last = ""
    last = re.sub(TIMESTAMP, "", last).replace("<rule>", failure.rule)
    if last.startswith("stopped: "):
        return f"{last}; for more time: --set-resources {failure.rule}:runtime=<minutes>"
    if last.startswith(("error: ", "failed: ")):
        return last
    if failure.killed:
        return (
            "killed from outside, mostly because memory or time ran out; for more of it: "
            f"--set-resources {failure.rule}:mem_mb=<MB> {failure.rule}:runtime=<minutes>"
        )
    return "ended without a word in its log; see what is above"
