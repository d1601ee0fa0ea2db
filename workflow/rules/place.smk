"""Where the workflow's files are. The scripts import a library beside them, so all of it has to be on disk."""

import tarfile
import tempfile
from pathlib import Path

from snakemake.exceptions import WorkflowError


def workflow_folder(rules):
    """The folder `workflow`, given that of this file; of an unpacked copy where Snakemake takes it from a Git host.

    The copy is made once a commit, in the working folder, where the jobs of a cluster see it, too.
    """
    if rules.is_local:
        return Path(str(rules)).parent
    if not hasattr(rules, "hosted_repo"):
        raise WorkflowError(
            f'{rules}: give the workflow as a folder, or as github("owner/name", path=..., tag=...)'
        )
    repository = rules.hosted_repo.repo
    commit = repository.commit(rules.ref).hexsha
    folder = Path(".snakemake", "organbench", commit).absolute()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            packed = Path(temporary, "packed.tar")
            with packed.open("wb") as stream:
                repository.archive(stream, commit)
            with tarfile.open(packed) as archive:
                archive.extractall(Path(temporary, "files"), filter="data")
            try:
                Path(temporary, "files").rename(folder)
            except OSError:
                if not folder.exists():  # by another process
                    raise
    return folder / "workflow"


PLACE = workflow_folder(workflow.current_basedir)
