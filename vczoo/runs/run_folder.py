"""Saving and loading of run folders."""

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
LARGEST_MODEL = 2**35  # bytes; twice the size of the largest model in the zoo
REVISION_DIGITS = 12


def save_run(run: Run, path: Path, *, whole: bool = False, half: bool = False) -> Path:
    """Write a run to a folder.

    Every file is first written under a temporary name and then renamed, so a run that was in the folder before stays
    readable if writing fails.

    Args:
        run: The run to write. Its `folder` and `revision` are updated.
        path: The folder.
        whole: Whether to store tensors that equal the pretrained base's too, so that the run loads without the base.
        half: Whether to store float32 tensors as float16, which halves their size and keeps 11 significant bits. They
            are loaded as float32 again. The model in memory does not change.

    Returns:
        `path`.

    Raises:
        RunError: The folder cannot be written, or `half` is set and a tensor has values beyond the range of float16.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in run.model.tensors().items()}
    base = {} if whole else run.model.base
    in_base = {name for name, tensor in tensors.items() if name in base and digest(tensor) == base[name]}
    stored = {name: tensor for name, tensor in tensors.items() if name not in in_base}
    voices = own_voices(run)
    enrolled = voice_tensors(voices)
    if half:
        try:
            stored, enrolled = halved(stored), halved(enrolled)
        except WeightsError as error:
            raise RunError(
                f"{path}: the run cannot be written in half precision: {error}. Save it in full precision"
            ) from error
    files: dict[File, bytes] = {
        METRICS: (json.dumps(run.metrics, indent=2, ensure_ascii=False) + "\n").encode(),
        VOICES: tensor_bytes(enrolled),
        MODEL: tensor_bytes(stored),
    }
    config = RunConfig(
        vczoo=metadata.version("vczoo"),
        plugins=distributions(run.recipe),
        recipe=pinned(run.recipe, run.model, whole=whole).to_plain(),
        base=describe_base(run.model, run.base, in_base),
        speakers=list(run.speakers),
        voices=list(voices),
        labels=list(run.labels),
        licence=run.licence,
        consent=run.consent,
        attribution=list(run.attribution),
        lineage=list(run.lineage),
        data=Data.model_validate(run.data),
        seed=run.recipe.training.seed,
        tensors=len(stored),
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    text = config.to_yaml().encode()
    try:
        # All files are written before the first is renamed, because none is usable without the others. vczoo.yaml marks
        # a finished run: it is entered first and so renamed last.
        with ExitStack() as stack:
            for name, content in [(CONFIG, text), *files.items()]:
                stack.enter_context(write_beside(path / name)).write_bytes(content)
    except OSError as error:
        raise RunError(f"{path}: the run cannot be written ({error}); free some space and save it again") from error
    run.folder, run.revision = path, _revision(text)
    return path


def load_run(path: Path, *, foreign: bool = False) -> Run:
    """Load a run from its folder.

    Loading is strict: every tensor of the model must come from the run or its base, and names, types and shapes are
    checked before any tensor is read.

    Args:
        path: Folder of the run.
        foreign: Whether somebody else made the run. Its recipe may then not name files of this machine.

    Returns:
        The run, with its model in evaluation mode.

    Raises:
        RunError: A file is missing, damaged, of another format version or has unknown fields; a tensor is missing,
            unexpected or of the wrong shape; or the pretrained base is missing or differs from the original one.
        PluginError: The recipe needs a plugin that is not installed or does not load.
        RecipeError: The recipe cannot be built here.
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
        tuple(config.attribution),
        tuple(config.lineage),
    )


def config_of(path: Path, *, foreign: bool = False) -> RunConfig:
    """Read a run's configuration, and check as far as possible without weights that its recipe can be built here.

    Args:
        path: Folder of the run.
        foreign: Whether somebody else made the run. Its recipe may then not name files of this machine.

    Raises:
        RunError, PluginError, RecipeError: As in `load_run`.
    """
    if not is_run(path):
        _check_folder(path)
        raise RunError(
            f"{path}: no run is here ({CONFIG} is missing). Create one with `vczoo train RECIPE --data … --out "
            f"{path}`, or continue an interrupted training with --resume"
        )
    config = read_config(path / CONFIG)
    check_distributions(config.plugins)
    recipe = Recipe.parse(config.recipe)
    if foreign and (faults := foreign_faults(recipe)):
        raise RunError(
            f"{path / CONFIG}: this recipe cannot be loaded from somebody else's run:\n  - " + "\n  - ".join(faults)
        )
    return config


def outline_of(config: RunConfig) -> Model:
    """Build a run's model on PyTorch's meta device: names, types and shapes without values.

    Raises:
        RecipeError: The recipe cannot be built here.
        WeightsError: The tensors are larger than `LARGEST_MODEL`.
    """
    return _build(config, PLACES)


def build_on_base(config: RunConfig) -> Model:
    """Build a run's model with the weights of its pretrained base; all other tensors are on the meta device.

    Raises:
        RecipeError: The recipe cannot be built here.
        WeightsError: The pretrained weights are unavailable or do not fit, or the tensors are larger than
            `LARGEST_MODEL`.
    """
    taken = stages_taken(config.base)
    based = [place for place in PLACES if place in config.base and config.base[place].stages]
    random = [place for place in PLACES if place not in based]
    if unbased := set(based) - set(pretrained_places(Recipe.parse(config.recipe))):
        raise WeightsError(
            f"the run takes tensors from the pretrained base of its {' and '.join(unbased)}, but the recipe names no "
            "pretrained weights there"
        )
    model = _build(config, random, taken)
    if taken and any(tensor.is_meta and stage_of(name) in taken for name, tensor in model.tensors().items()):
        model = _build(config, random, taken, outline=False)  # a plugin's own loader may not support meta tensors
    return model


def describe_run(path: Path) -> str:
    """Return a run's configuration and metrics as YAML, without building its model.

    Raises:
        RunError: vczoo.yaml or metrics.json is missing, damaged or invalid.
    """
    if not is_run(path):
        _check_folder(path)
        raise RunError(f"{path}: no run is here ({CONFIG} is missing)")
    config = read_config(path / CONFIG)
    try:
        metrics = _read_metrics(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{path / METRICS}: cannot be read ({error})") from error
    return dump_plain({**config.model_dump(), "metrics": metrics})


def _check_folder(path: Path) -> None:
    """Raise RunError unless `path` is a folder."""
    if not path.exists():
        raise RunError(f"{path}: no such folder; check the path (it is relative to {Path.cwd()})")
    if not path.is_dir():
        raise RunError(f"{path} is a file; a run is a folder that contains {CONFIG}")


def _model_of(config: RunConfig, path: Path) -> Model:
    """Build the model on its base, then load the tensors that the run stores."""
    model, taken = build_on_base(config), stages_taken(config.base)
    slots, layout = layout_of(model.tensors()), read_layout(path / MODEL)
    optional = [name for name in slots if stage_of(name) in taken]
    if faults := layout_faults(layout, slots, optional, halved=True):
        raise WeightsError(f"{path / MODEL} does not fit: " + "; ".join(faults) + ". Is it from another model?")
    if len(layout) != config.tensors:
        raise WeightsError(f"{path / MODEL} holds {len(layout)} tensors, but {CONFIG} says {config.tensors}")
    check_base(config.base, model)
    fill_model(model, read_tensors(path / MODEL, layout))
    if unset := meta_tensors(model):
        raise WeightsError(
            f"neither the run nor its base has values for {some_names(unset)}; report this to the author of the plugin"
        )
    return model.eval()


def _build(config: RunConfig, random: Collection[str], stages: Collection[str] = (), *, outline: bool = True) -> Model:
    with torch.random.fork_rng(devices=[]), init_on_meta() if outline else nullcontext():
        recipe, speakers = Recipe.parse(config.recipe), max(1, len(config.speakers))
        model = build(recipe, speakers, config.labels, random=random, stages=stages)
    if (size := sum(slot.size_bytes for slot in layout_of(model.tensors()).values())) > LARGEST_MODEL:
        raise WeightsError(f"its tensors take {size >> 30} GiB; vczoo loads at most {LARGEST_MODEL >> 30} GiB")
    return model


def fill_model(model: Model, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into a model by their names in `Model.tensors`. The caller has checked that they fit."""
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
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if actual != (expected := config.files.get(name)):
            raise WeightsError(
                f"{name} does not match its checksum in {CONFIG}: SHA-256 {actual}, expected {expected}. The file was "
                "changed or damaged; copy or pull the run again"
            )


def _read_metrics(path: Path) -> dict[str, Any]:
    with open_file(path / METRICS) as file:
        content = file.read(LARGEST_METRICS + 1)
    if len(content) > LARGEST_METRICS:
        raise ValueError(f"{METRICS} is larger than {LARGEST_METRICS} bytes")
    try:
        metrics = json.loads(content.decode())
    except RecursionError:
        raise ValueError(f"{METRICS} is too deeply nested") from None
    if not isinstance(metrics, dict):
        raise ValueError(f"{METRICS} contains a {type(metrics).__name__}, expected a mapping")
    return metrics


def _revision(config: bytes) -> str:
    return hashlib.sha256(config).hexdigest()[:REVISION_DIGITS]
