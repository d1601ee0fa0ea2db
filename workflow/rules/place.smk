"""Where the workflow's files are. The scripts import a library beside them, so all of it has to be on disk."""

import filecmp
import os
import sys
import tarfile
import tempfile
from pathlib import Path

from snakemake.exceptions import WorkflowError


def workflow_folder(rules):
    """The folder `workflow`, given that of this file; of an unpacked copy where Snakemake takes it from a Git host.

    The copy is in the working folder, where the jobs of a cluster see it, too. Its place does not depend on the commit:
    another version of the workflow remakes only what its changes shape.
    """
    if rules.is_local:
        return Path(str(rules)).parent
    if not hasattr(rules, "hosted_repo"):
        raise WorkflowError(
            f'{rules}: give the workflow as a folder, or as github("owner/name", path=..., tag=...)'
        )
    repository = rules.hosted_repo.repo
    commit = repository.commit(rules.ref).hexsha
    folder = Path(".snakemake", "organbench").absolute()
    mark = folder / "commit"
    if not mark.exists() or mark.read_text() != commit:
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            packed, files = Path(temporary, "packed.tar"), Path(temporary, "files")
            with packed.open("wb") as stream:
                repository.archive(stream, commit)
            with tarfile.open(packed) as archive:
                archive.extractall(files, filter="data")
            (files / mark.name).write_text(commit)
            if folder.exists():
                date_changes(files, folder)
                folder.rename(Path(temporary, "old"))
            files.rename(folder)
    return folder / "workflow"


def date_changes(files, before):
    """Give files the time of those before, and of now where they differ: a commit's own says nothing to Snakemake."""
    for file in files.rglob("*"):
        old = before / file.relative_to(files)
        if file.is_file():
            same = old.is_file() and filecmp.cmp(file, old, shallow=False)
            os.utime(file, (old.stat().st_mtime,) * 2 if same else None)


PLACE = workflow_folder(workflow.current_basedir)
imported = sys.modules.get("organbench")
if imported and Path(imported.__file__).parents[1] != PLACE / "scripts":
    raise WorkflowError(
        f"{PLACE} and {Path(imported.__file__).parents[2]}: a workflow can use one version of OrganBench only"
    )
