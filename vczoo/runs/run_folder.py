"""Run folders: saving and loading a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from contextlib import ExitStack, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vczoo.errors import RunError, WeightsError
from vczoo.io.files import open_file, write_beside
from vczoo.io.plain_yaml import dump_plain
from vczoo.io.tensor_file import halved, layout_faults, layout_of, read_layout, some_names, tensor_bytes
from vczoo.io.tensors import digest, put_tensors, read_tensors
from vczoo.models.build import build, pretrained_places
from vczoo.models.bundled import CONFIG
from vczoo.models.meta_init import init_on_meta, meta_tensors
from vczoo.models.model import Model, stage_of
from vczoo.models.portability import foreign_faults, pinned
from vczoo.models.recipe import Recipe
from vczoo.runs.config import Data, File, RunConfig, read_config
from vczoo.runs.pretrained_base import PLACES, check_base, describe_base, stages_taken
from vczoo.runs.run import METRICS, MODEL, VOICES, Run, is_run, own_voices
from vczoo.runs.versions import check_distributions, distributions
from vczoo.runs.voices_file import read_voices, voice_tensors

__all__ = [
    "LARGEST_METRICS",
    "build_on_base",
    "config_of",
    "describe_run",
    "fill_model",
    "load_run",
    "outline_of",
    "save_run",
]

LARGEST_METRICS = 16_000_000  # bytes
LARGEST_MODEL = 2**35  # bytes; the largest of the zoo takes half of that
REVISION_DIGITS = 12


def save_run(run: Run, path: Path, *, whole: bool = False, half: bool = False) -> Path:
    """Write a run into a folder; each file appears whole, `vczoo.yaml` last: without it there is no run.

    Args:
        whole: whether what is the base's is kept, too, so that nobody needs the base to load it.
        half: whether what is float32 is written as float16, in half the bytes, with 11 significant bits; it is loaded
            as float32 again. The model in memory stays as it is.

    Raises:
        RunError: the disk refuses, or `half` and a tensor has values beyond float16's; files of a run that was there
            before stay readable.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in run.model.tensors().items()}
    base = {} if whole else run.model.base
    left = {name for name, tensor in tensors.items() if name in base and digest(tensor) == base[name]}
    stored = {name: tensor for name, tensor in tensors.items() if name not in left}
    voices = own_voices(run)
    spoken = voice_tensors(voices)
    if half:
        try:
            stored, spoken = halved(stored), halved(spoken)
        except WeightsError as error:
            raise RunError(f"{path}: the run cannot be written in half precision: {error}; save it in full") from error
    files: dict[File, bytes] = {
        METRICS: (json.dumps(run.metrics, indent=2, ensure_ascii=False) + "\n").encode(),
        VOICES: tensor_bytes(spoken),
        MODEL: tensor_bytes(stored),
    }
    config = RunConfig(
        vczoo=metadata.version("vczoo"),
        plugins=distributions(run.recipe),
        recipe=pinned(run.recipe, run.model, whole=whole).to_plain(),
        base=describe_base(run.model, run.base, left),
        speakers=list(run.speakers),
        voices=list(voices),
        labels=list(run.labels),
        licence=run.licence,
        consent=run.consent,
        data=Data.model_validate(run.data),
        seed=run.recipe.training.seed,
        tensors=len(stored),
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    text = config.to_yaml().encode()
    try:
        # All are written before the first is renamed, since each is nothing without the others; vczoo.yaml comes last.
        with ExitStack() as stack:
            for name, content in [(CONFIG, text), *files.items()]:
                stack.enter_context(write_beside(path / name)).write_bytes(content)
    except OSError as error:
        raise RunError(f"{path}: the run cannot be written ({error}); free some space and save it again") from error
    run.folder, run.revision = path, _revision(text)
    return path


def load_run(path: Path, *, foreign: bool = False) -> Run:
    """Read a run folder; every tensor of the model is accounted for, and no tensor is read before its shape is known.

    Args:
        foreign: whether somebody else made it: its recipe may then name no file of this machine.

    Raises:
        RunError: a file is missing or damaged, was written by a newer vczoo, or has unknown fields; a tensor is
            missing, not expected or of the wrong shape; the base is not what it was.
        PluginError: the recipe needs a plugin that is not installed.
        RecipeError, WeightsError: the recipe cannot be built here.
    """
    config = config_of(path, foreign=foreign)
    try:
        model = _model_of(config, path)
        metrics = _read_metrics(path)
        voices = read_voices(path / VOICES, config.voices, model)
        _check_files(config, path)
    except WeightsError as error:
        raise RunError(f"{path}: this run cannot be loaded: {error}") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: a file of this run is damaged ({error}); copy or pull it again") from error
    return Run(
        Recipe.parse(config.recipe),
        model,
        tuple(config.speakers),
        voices,
        metrics,
        config.data.model_dump(),
        config.licence,
        config.consent,
        dict(config.base),
        path,
        _revision((path / CONFIG).read_bytes()),
        tuple(config.labels),
    )


def config_of(path: Path, *, foreign: bool = False) -> RunConfig:
    """Read a run's configuration and see that its recipe can be built here, as far as that shows without weights.

    Raises:
        RunError, PluginError, RecipeError: as `load_run`.
    """
    if not is_run(path):
        raise RunError(
            f"{path}: no run is here ({CONFIG} is missing). A run is what `vczoo train RECIPE --data … --out {path}` "
            "makes; an interrupted one continues with --resume"
        )
    config = read_config(path / CONFIG)
    check_distributions(config.plugins)
    recipe = Recipe.parse(config.recipe)
    if foreign and (faults := foreign_faults(recipe)):
        raise RunError(f"{path / CONFIG}: its recipe is not for other machines:\n  - " + "\n  - ".join(faults))
    return config


def outline_of(config: RunConfig) -> Model:
    """The model of a run without its weights.

    Raises:
        RecipeError: it cannot be built.
    """
    return _build(config, PLACES)


def build_on_base(config: RunConfig) -> Model:
    """The model of a run with what its pretrained base gives it; the rest is an outline.

    Raises:
        RecipeError: it cannot be built.
        WeightsError: the pretrained weights cannot be had, or do not fit.
    """
    taken = stages_taken(config.base)
    based = [place for place in PLACES if place in config.base and config.base[place].stages]
    random = [place for place in PLACES if place not in based]
    if unbased := set(based) - set(pretrained_places(Recipe.parse(config.recipe))):
        raise WeightsError(f"the run leaves tensors to the base of its {' and '.join(unbased)}, which has none")
    model = _build(config, random, taken)
    if taken and any(tensor.is_meta and stage_of(name) in taken for name, tensor in model.tensors().items()):
        model = _build(config, random, taken, outline=False)  # a plugin's own way of loading weights knows no outlines
    return model


def describe_run(path: Path) -> str:
    """A run's configuration and figures as YAML, without building its model.

    Raises:
        RunError: as `load_run`, as far as these files go.
    """
    if not is_run(path):
        raise RunError(f"{path}: no run is here ({CONFIG} is missing)")
    config = read_config(path / CONFIG)
    try:
        metrics = _read_metrics(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{path / METRICS}: cannot be read ({error})") from error
    return dump_plain({**config.model_dump(), "metrics": metrics})


def _model_of(config: RunConfig, path: Path) -> Model:
    """Build the model and fill it with what the run holds, and with the base's where it holds nothing."""
    model, taken = build_on_base(config), stages_taken(config.base)
    slots, layout = layout_of(model.tensors()), read_layout(path / MODEL)
    may_miss = [name for name in slots if stage_of(name) in taken]
    if faults := layout_faults(layout, slots, may_miss, halved=True):
        raise WeightsError(f"{path / MODEL} does not fit: " + "; ".join(faults) + ". Is it from another model?")
    if len(layout) != config.tensors:
        raise WeightsError(f"{path / MODEL} holds {len(layout)} tensors, {CONFIG} says {config.tensors}")
    check_base(config.base, model)
    fill_model(model, read_tensors(path / MODEL, layout))
    if rest := meta_tensors(model):
        raise WeightsError(f"nothing gives values to {some_names(rest)}; report it to the author of the plugin")
    return model.eval()


def _build(config: RunConfig, random: Collection[str], stages: Collection[str] = (), *, outline: bool = True) -> Model:
    with torch.random.fork_rng(devices=[]), init_on_meta() if outline else nullcontext():
        recipe, speakers = Recipe.parse(config.recipe), max(1, len(config.speakers))
        model = build(recipe, speakers, config.labels, random=random, stages=stages)
    if (size := sum(slot.size_bytes for slot in layout_of(model.tensors()).values())) > LARGEST_MODEL:
        raise WeightsError(f"its tensors take {size >> 30} GiB, at most {LARGEST_MODEL >> 30} GiB are loaded")
    return model


def fill_model(model: Model, tensors: Mapping[str, Tensor]) -> None:
    """Give a model values by their names in `Model.tensors`; they were checked before."""
    parts: dict[str, nn.Module] = {
        "backbone": nn.ModuleDict({stage.name: stage.module for stage in model.backbone.stages()}),
        "heads": model.heads,
    }
    if model.vocoder:
        parts["vocoder"] = model.vocoder
    put_tensors(nn.ModuleDict(parts), tensors)


def _check_files(config: RunConfig, path: Path) -> None:
    for name in (MODEL, VOICES, METRICS):
        with open_file(path / name) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != config.files.get(name):
            raise WeightsError(
                f"{name} is not the file that {CONFIG} was written with: its SHA-256 is {found}, expected "
                f"{config.files.get(name)}. It was changed or damaged; copy or pull the run again"
            )


def _read_metrics(path: Path) -> dict[str, Any]:
    with open_file(path / METRICS) as file:
        content = file.read(LARGEST_METRICS + 1)
    if len(content) > LARGEST_METRICS:
        raise ValueError(f"{METRICS} has more than {LARGEST_METRICS} bytes")
    try:
        metrics = json.loads(content.decode())
    except RecursionError:
        raise ValueError(f"{METRICS} is nested too deep") from None
    if not isinstance(metrics, dict):
        raise ValueError(f"{METRICS} holds a {type(metrics).__name__}, expected a mapping")
    return metrics


def _revision(config: bytes) -> str:
    return hashlib.sha256(config).hexdigest()[:REVISION_DIGITS]
