"""Coverage-guided fuzzing of what reads files that users bring: volumes, label maps, studies and splits.

Needs atheris (see README.md), so the tests do without it. Any exception but `InputError` with its one line is a find.
"""

import gzip
import shutil
import sys
import tempfile
from pathlib import Path

import atheris
import yaml

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "workflow" / "scripts")]

with atheris.instrument_imports(include=["organbench"]):
    from organbench.core.errors import InputError
    from organbench.data import splits
    from organbench.data.images import read_labels, read_volume
    from organbench.study import configuration
    from organbench.study.schema import load

ORGANS = {"liver": [1], "brain": [2]}
NAMES = ["a.nii", "a.nii.gz", "a.mha", "a.nrrd"]  # the first byte chooses one
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))
DEFAULTS = yaml.safe_load((TESTS.parent / "config.yaml").read_text())
SCHEMA = load(TESTS.parent / "workflow/schemas/config.schema.yaml")


def one_line(error: InputError) -> None:
    """See that a refusal is what a user can read."""
    assert "\n" not in str(error), str(error)


def fuzz_volume(data: bytes) -> None:
    """Read a file as a volume and as a label map."""
    path = FOLDER / NAMES[data[0] % len(NAMES) if data else 0]
    content = data[1:]
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" and content[:2] != b"\x1f\x8b" else content)
    for read in (read_volume, lambda file: read_labels(file, ORGANS)):
        try:
            read(path)
        except InputError as error:
            one_line(error)
    path.unlink()


def fuzz_study(data: bytes) -> None:
    """Look a study file through, resolve it, and divide cases as it says."""
    try:
        given = yaml.load(data, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, TypeError):  # Snakemake reads the file
        return
    if not isinstance(given, dict):
        return
    path = FOLDER / "study.yaml"
    path.write_bytes(data)
    try:
        configuration.check_keys(path)
        config = configuration.resolve(given, DEFAULTS, SCHEMA)
        splits.split([str(case) for case in range(30)], **config["split"] | {"file": None})
        configuration.check_folder(FOLDER / "results" / config["study"])
    except InputError as error:
        one_line(error)


def fuzz_split(data: bytes) -> None:
    """Read a table that divides cases."""
    path = FOLDER / "split.csv"
    path.write_bytes(data)
    try:
        splits.read(path, ["a", "b", "c"])
    except InputError as error:
        one_line(error)


def write_corpus(kind: str, folder: Path) -> None:
    """Write the tests' own files as a first corpus."""
    import test_hostile as rows

    contents = {"split": [content for content, *_ in rows.SPLITS.values()] + [b"case,fold,role\na,0,train\nb,0,test\n"]}
    contents["study"] = [text.encode() for text, *_ in rows.STUDIES.values()] + [
        (TESTS.parent / "config.yaml").read_bytes()
    ]
    volumes_of = [
        (row[0] if isinstance(row[0], str) else "a.nii", next(part for part in row if isinstance(part, bytes)))
        for row in (*rows.VOLUMES.values(), *rows.LABEL_MAPS.values())
    ]
    volumes_of += [("a.nii", content) for content in (*rows.SOUND.values(), *rows.SOUND_LABELS.values())]
    suffixes = [Path(name).suffix for name in NAMES]
    contents["volume"] = [
        bytes([1 if content[:2] == b"\x1f\x8b" else suffixes.index(Path(name).suffix)]) + content
        for name, content in volumes_of
        if len(content) < 100_000 and Path(name).suffix in suffixes  # other formats are refused by their names
    ]
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(contents[kind]):
        (folder / f"seed-{number}").write_bytes(content)


def main() -> None:
    """Run `fuzz.py volume|study|split CORPUS [libFuzzer's options]`."""
    kind, corpus, *options = sys.argv[1:]
    if not Path(corpus).exists():
        write_corpus(kind, Path(corpus))
    atheris.Setup(
        [sys.argv[0], corpus, *options], {"volume": fuzz_volume, "study": fuzz_study, "split": fuzz_split}[kind]
    )
    try:
        atheris.Fuzz()
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    main()
