"""A packed model: one file with all that segments a new patient, `results/<study>/models/<model>.zip`.

`model.json` says what it is; beside it lie the weights of each training (safetensors), the study's scores and methods,
a card for people, and the source of networks in files of one's own. Nothing of it is pickled, and nothing runs when it
is read: a network that is not of this library is built only for somebody who trusts the file.
"""

import hashlib
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from organbench.core import archives, outside
from organbench.core.errors import InputError, plain
from organbench.core.files import tuples
from organbench.core.version import VERSION
from organbench.data.grids import SPACING_MM
from organbench.data.labels import MAX_LABEL
from organbench.hardware import devices
from organbench.inference import weights
from organbench.inference.prediction import Predictor
from organbench.inference.settings import Prediction
from organbench.inference.weights import Recipe
from organbench.networks import NotThereError

FORMAT, FORMAT_VERSION = "organbench model", 1
MANIFEST, CARD, METHODS, SCORES = "model.json", "card.md", "methods.md", "scores.csv"
LARGEST_PATCH = 1 << 27  # voxels
MORE = 1000  # weights that a network may have beyond those of its file until the first that differs is told
_UNPACKED: list[tempfile.TemporaryDirectory[str]] = []  # sources of networks, there until the process ends


@dataclass(frozen=True, kw_only=True)
class Member:
    """One training of a packed model.

    Attributes:
        recipe: rebuilds its network and says what it is fed.
        training: a hash of the arrays of each case that it was trained on: image, label and points. Cases have no
            names here, because a model leaves the house.
        validation: of each case that it was validated on.
        versions: of what it was trained with.
        code: what a network that is not of this library is known by: a package's version, or hashes of files.
    """

    recipe: Recipe
    training: tuple[str, ...]
    validation: tuple[str, ...]
    versions: Mapping[str, str]
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def weights(self) -> str:
        """The name of its weights in the archive."""
        return f"weights/{self.recipe.run.replace('/', '-')}.safetensors"


@dataclass(frozen=True, kw_only=True)
class Model:
    """What a packed model is.

    Attributes:
        name: in its study.
        study: its name.
        organs: name of each organ and its label values; the first is what is written.
        spacing: mm, x y z, that scans are brought to; None keeps the scanner's.
        prediction: how the study predicts.
        members: the trainings whose probabilities are averaged.
        trained_on: least and greatest value of what is known of the scans that it was trained on, see `data.ranges`.
        sources: names in the archive of the source files of networks.
        version: of the OrganBench that packed it.
    """

    name: str
    study: str
    organs: Mapping[str, Sequence[int]]
    spacing: tuple[float | None, ...]
    prediction: Prediction
    members: tuple[Member, ...]
    trained_on: Mapping[str, Sequence[float]]
    sources: tuple[str, ...] = ()
    version: str = VERSION


@dataclass(frozen=True)
class Packed:
    """A packed model that was read.

    Attributes:
        path: of the file.
        model: what it is.
        files: what the archive holds, by name.
    """

    path: Path
    model: Model
    files: Mapping[str, bytes]


def trained(path: str | Path, network_name: str, organs: Sequence[str]) -> tuple[dict[str, Tensor], Recipe]:
    """The weights of a finished training, and its recipe without the places of files, which mean nothing elsewhere.

    Args:
        path: of its `weights.pt`.
        network_name: of its network, as the study has it now.
        organs: what its organs are called now, in order.

    Raises:
        InputError: as `weights.load`, or they are of the training of another folder.
    """
    built, recipe = weights.load(path, torch.device("cpu"), network_name)
    if not weights.belongs(path, recipe):
        raise InputError(f"{path}: holds the weights of {recipe.run}; put them back, or delete it to train again")
    network = dict(recipe.network)
    if outside.is_outside(network["network"]):
        network["network"] = outside.without_place(network["network"])
    if "pretrained" in network:
        network["pretrained"] = {"sha256": network["pretrained"]["sha256"]}
    run = weights.run_of(path)
    return built.state_dict(), replace(recipe, network=network, organs=tuple(organs), run=run)


def write(
    path: str | Path,
    model: Model,
    states: Sequence[Mapping[str, Tensor]],
    texts: Mapping[str, str],
    sources: Mapping[str, bytes],
) -> None:
    """Write a model; the same content is the same file.

    Args:
        path: the file.
        model: what it is.
        states: the weights of each member's network.
        texts: what else lies in it, by name.
        sources: files of networks, by the names that `model.sources` has.
    """
    held = {name: text.encode() for name, text in texts.items()} | dict(sources)
    for member, state in zip(model.members, states, strict=True):
        whole = {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}
        held[member.weights] = safetensors.torch.save(whole)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in held.items()}
    said = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(model), "files": hashes}
    archives.write({MANIFEST: json.dumps(said, indent=1, allow_nan=False).encode(), **held}, path)


def read(path: str | Path) -> Packed:
    """Read a model and check all that is in it but the weights' shapes, which `predictors` checks.

    Raises:
        InputError: it is none, is damaged, was packed by a newer OrganBench, or says what cannot be.
        OSError: it cannot be read now.
    """
    path, files = Path(path), archives.read(path)
    if MANIFEST not in files:
        raise InputError(f"{path}: has no {MANIFEST}; give a file that was packed by snakemake model")
    try:
        said = json.loads(files[MANIFEST])
        found, version = said.pop("format"), said.pop("format_version")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: its {MANIFEST} is damaged ({type(error).__name__}); take the file anew") from None
    if (found, version) != (FORMAT, FORMAT_VERSION):
        raise InputError(
            f"{path}: is {plain(found)}, version {plain(version)}; this OrganBench reads {FORMAT}, version "
            f"{FORMAT_VERSION}, so install the one that packed it"
        )
    try:
        hashes = dict(said.pop("files"))
        model = _model(said)
    except (ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: its {MANIFEST} says what cannot be ({plain(reason)}); take the file anew") from None
    wanted = {MANIFEST, CARD, METHODS, SCORES, *model.sources, *(member.weights for member in model.members)}
    if wanted != files.keys() or hashes.keys() != wanted - {MANIFEST}:
        raise InputError(f"{path}: does not hold the files that its {MANIFEST} names; take the file anew")
    for name, content in files.items():
        if name != MANIFEST and hashlib.sha256(content).hexdigest() != hashes[name]:
            raise InputError(f"{path}: {name} in it was changed after it was packed; take the file anew")
    return Packed(path, model, files)


def _model(said: Mapping[str, Any]) -> Model:
    """What a manifest says, as a model; raises what Python does, or a `ValueError`, where it cannot be."""
    members = tuple(
        Member(**{**tuples(member), "recipe": Recipe(**tuples(_pairs(member["recipe"])))}) for member in said["members"]
    )
    prediction = Prediction(**tuples(said["prediction"]))
    known = {**tuples(said), "trained_on": tuples(said["trained_on"])}
    model = Model(**{**known, "members": members, "prediction": prediction})
    low, high = SPACING_MM
    values = [value for merged in model.organs.values() for value in merged]
    settings = model.prediction
    words = (model.name, model.study, model.version, *model.organs)
    _need("names", all(isinstance(word, str) and word.isprintable() for word in words))
    _need("name", "/" not in model.name and archives.NAME.fullmatch(model.name) is not None)
    _need("sources", all(name.startswith("source/") and archives.NAME.fullmatch(name) for name in model.sources))
    _need("organs", bool(model.organs) and all(model.organs.values()) and len(model.organs) < 256)
    _need("label values", all(type(value) is int and 0 < value <= MAX_LABEL for value in values))
    _need("label values of one organ each", len(set(values)) == len(values))
    _need("spacing", len(model.spacing) == 3 and all(mm is None or low <= mm <= high for mm in model.spacing))
    _need("overlap", 0 <= settings.overlap <= 0.9)
    _need("smallest_part", 0 <= settings.smallest_part <= 1)
    _need("mirror", type(settings.mirror) is bool)
    _need("keep_largest", set(settings.keep_largest) <= model.organs.keys())
    _need("trained_on", all(_numbers(pair, 2) and pair[0] <= pair[1] for pair in model.trained_on.values()))
    _need("members", bool(members) and len({member.weights for member in members}) == len(members))
    for member in members:
        _check(member.recipe, len(model.organs))
        told = (*member.training, *member.validation, *member.code, *member.code.values())
        _need("hashes", all(isinstance(word, str) for word in told))
    return model


def _pairs(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a recipe with its pairs of organs as pairs."""
    return {**recipe, "mirrored": tuple(map(tuple, recipe["mirrored"]))}


def _check(recipe: Recipe, organs: int) -> None:
    """Check that a recipe, whoever wrote it, is one of a network for so many organs."""
    dims, context = len(recipe.patch), recipe.context
    _need("network", isinstance(recipe.network, Mapping) and isinstance(recipe.network["network"], str))
    _need("patch", dims in (2, 3) and all(type(size) is int and size > 0 for size in recipe.patch))
    _need("patch", math.prod(recipe.patch) <= LARGEST_PATCH)
    _need("context", type(context) is int and 0 <= context <= 16)
    _need("channels", recipe.in_channels == 1 + 2 * context and (dims == 2 or context == 0))
    _need("classes", recipe.classes == organs + 1 and len(recipe.organs) == organs)
    _need("window", _numbers(recipe.window, 2) and recipe.window[0] < recipe.window[1])
    _need("volumes of organs", _numbers(recipe.organ_ml, organs) and min(recipe.organ_ml) >= 0)
    _need("precision", recipe.precision in devices.DTYPES)
    _need("mirrored", all(len(pair) == 2 and all(0 < k <= organs for k in pair) for pair in recipe.mirrored))
    _need("flips", set(recipe.flips) <= set("xyz"))
    _need("run", isinstance(recipe.run, str) and archives.NAME.fullmatch(recipe.run) is not None)


def _numbers(values: Sequence[Any], count: int) -> bool:
    """Whether these are so many numbers."""
    return len(values) == count and all(type(value) in (int, float) and math.isfinite(value) for value in values)


def _need(what: str, true: bool) -> None:
    """Refuse what is not true."""
    if not true:
        raise ValueError(what)


def predictors(packed: Packed, device: torch.device, *, trust: bool = False) -> list[Predictor]:
    """The predictor of each training of a model.

    Args:
        packed: what `read` gave.
        device: where to compute.
        trust: whether networks that are not of this library may run, those of other packages and those in the file.

    Raises:
        InputError: they may not, one is not there, or weights are not of the shapes of their network.
    """
    foreign = [m for m in packed.model.members if outside.is_outside(m.recipe.network["network"])]
    if foreign and not trust:
        code = sorted(foreign[0].code.items())
        known = ", ".join(value if "==" in value else f"{name} {value[:40]}" for name, value in code)
        raise InputError(
            f"{packed.path}: its network {plain(foreign[0].recipe.network['network'])} ({known}) is not of OrganBench, "
            "and would run with all your rights; if you trust who made the file, say --trust"
        )
    folder = _unpacked(packed) if packed.model.sources else None
    found = []
    for member in packed.model.members:
        network = _network(packed, member, folder)
        placed = devices.place(network, device, len(member.recipe.patch))
        found.append(Predictor(placed, member.recipe, packed.model.prediction, device))
    return found


def _unpacked(packed: Packed) -> Path:
    """A folder with the source files of a model's networks, from which they can be imported."""
    place = tempfile.TemporaryDirectory(prefix="organbench-")
    _UNPACKED.append(place)
    root = Path(place.name)
    for name in packed.model.sources:
        file = root / Path(name).relative_to("source")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(packed.files[name])
    sys.path.insert(0, str(root))
    return root


def _network(packed: Packed, member: Member, folder: Path | None) -> nn.Module:
    """A member's network with its weights."""
    name, recipe = member.recipe.network["network"], member.recipe
    is_outside = outside.is_outside(name)
    if is_outside and outside.is_file(name) and folder:
        recipe = replace(recipe, network={**recipe.network, "network": f"{folder}/{name}"})
    try:
        state = safetensors.torch.load(packed.files[member.weights])
        if not is_outside:  # of no size yet, so that a file cannot ask for more memory than its weights have
            with torch.device("meta"), _at_most(len(state) + MORE):
                _same_shapes(recipe.build().state_dict(), state)
        network = recipe.build()
        _same_shapes(network.state_dict(), state)
        network.load_state_dict(state)
    except (NotThereError, InputError) as error:
        raise InputError(f"{packed.path}: its network cannot be built: {error}") from None
    except (OSError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(f"{packed.path}: its weights fit no network ({reason}); take the file anew") from None
    return network


@contextmanager
def _at_most(count: int) -> Iterator[None]:
    """Refuse a network of more weights than so many while it is built: of thousands of levels that takes minutes."""
    left = count

    def counted(module: nn.Module, name: str, weight: nn.Parameter) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError("it has more weights than the file")

    handle = register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        handle.remove()


def _same_shapes(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Check that weights are those of a network."""
    for name in [*wanted, *found]:
        shapes = [tuple(state[name].shape) if name in state else "not there" for state in (wanted, found)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"{plain(name)} should be {shapes[0]} and is {shapes[1]}")


def notes(model: Model) -> list[str]:
    """What is other here than where a model was made, and may change its predictions: a line each."""
    found = []
    if model.version != VERSION:
        found.append(f"packed by organbench {plain(model.version)}, this is {VERSION}")
    for package, pin in {pin for member in model.members for pin in member.code.items() if "==" in pin[1]}:
        version, here = pin.partition("==")[2], outside.installed(package)
        if here != version:
            found.append(f"trained with {plain(package)} {plain(version)}, here is {here or 'none'}")
    return found
