"""Loading of run folders. `run_writer.py` writes them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vczoo.errors import RunError, WeightsError
from vczoo.io.files import open_file, sha256_of
from vczoo.io.plain_yaml import dump_plain
from vczoo.io.tensor_file import layout_faults, layout_of, read_layout, some_names
from vczoo.io.tensors import put_tensors, read_tensors
from vczoo.io.text import bulleted
from vczoo.models.build import UNKNOWN, build, build_freezing, pretrained_places
from vczoo.models.bundled import CONFIG
from vczoo.models.meta_init import init_on_meta, meta_tensors
from vczoo.models.model import Model
from vczoo.models.multi_task import stage_of
from vczoo.models.portability import foreign_faults
from vczoo.runs.base_run import ORIGINAL, find_base, same_parts
from vczoo.runs.config import File, RunConfig, read_config, read_config_and_digest
from vczoo.runs.pretrained_base import PLACES, check_base, stages_taken
from vczoo.runs.run import REVISION_DIGITS, Delta, Run, is_run
from vczoo.runs.run_files import LARGEST_METRICS, LARGEST_MODEL, METRICS, MODEL, VOICES, path_of, read_again
from vczoo.runs.versions import check_distributions
from vczoo.runs.voices_file import read_voices

__all__ = ["build_on_base", "config_of", "describe_run", "fill_model", "load_run", "outline_of"]


def load_run(path: Path, *, foreign: bool = False) -> Run:
    """Load a run from its folder.

    Loading is strict: every tensor of the model must come from the run or its base, and names, types and shapes are
    checked before any tensor is read. If another process saves the run meanwhile, it is the old or the new one, whole.

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
    models: dict[str, tuple[Model, Delta | None]] = {}  # so that a second try has to read only what enrolling changes
    return read_again(path, lambda: _load(path, foreign, models))


def _load(path: Path, foreign: bool, models: dict[str, tuple[Model, Delta | None]]) -> Run:
    config, sha256 = _config_and_digest(path, foreign)
    key = config.model_dump_json(include={"recipe", "base", "base_run", "speakers", "labels", "tensors"}) + str(
        config.files.get(MODEL)
    )
    try:
        if key not in models:
            model, delta = (
                _tuned_model_of(config, path, foreign) if config.base_run else (_model_of(config, path), None)
            )
            _check_files(config, path, [MODEL])
            models[key] = model, delta
        model, delta = models[key]
        metrics = _read_metrics(path_of(path, METRICS, config.files))
        voices = read_voices(path_of(path, VOICES, config.files), config.voices, model)
        _check_files(config, path, [VOICES, METRICS])
    except WeightsError as error:
        raise RunError(f"{path}: this run cannot be loaded: {error}") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: a file of this run is damaged ({error}); copy or pull it again") from error
    return Run(
        config.parsed_recipe,
        model,
        tuple(config.speakers),
        voices,
        metrics,
        config.data.model_dump(),
        config.licence,
        config.consent,
        dict(config.base),
        path,
        sha256[:REVISION_DIGITS],
        tuple(config.labels),
        tuple(config.attribution),
        tuple(config.lineage),
        delta,
    )


def config_of(path: Path, *, foreign: bool = False) -> RunConfig:
    """Read a run's configuration, and check as far as possible without weights that its recipe can be built here.

    Args:
        path: Folder of the run.
        foreign: Whether somebody else made the run. Its recipe may then not name files of this machine.

    Raises:
        RunError, PluginError, RecipeError: As in `load_run`.
    """
    return _config_and_digest(path, foreign)[0]


def _config_and_digest(path: Path, foreign: bool) -> tuple[RunConfig, str]:
    if not is_run(path):
        _check_folder(path)
        raise RunError(
            f"{path}: no run is here ({CONFIG} is missing). Create one with `vczoo train RECIPE --data … --out "
            f"{path}`, or continue an interrupted training with --resume"
        )
    config, sha256 = read_config_and_digest(path / CONFIG)
    check_distributions(config.plugins)
    recipe = config.parsed_recipe
    if foreign and (faults := foreign_faults(recipe)):
        raise RunError(bulleted(f"{path / CONFIG}: this recipe cannot be loaded from somebody else's run", faults))
    return config, sha256


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
    if unbased := set(based) - set(pretrained_places(config.parsed_recipe)):
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

    def describe() -> str:
        config = read_config(path / CONFIG)
        try:
            metrics = _read_metrics(path_of(path, METRICS, config.files))
        except (OSError, ValueError) as error:
            raise RunError(f"{path / METRICS}: cannot be read ({error})") from error
        return dump_plain({**config.model_dump(), "metrics": metrics})

    return read_again(path, describe)


def _check_folder(path: Path) -> None:
    """Raise RunError unless `path` is a folder."""
    if not path.exists():
        raise RunError(f"{path}: no such folder; check the path (it is relative to {Path.cwd()})")
    if not path.is_dir():
        raise RunError(f"{path} is a file; a run is a folder that contains {CONFIG}")


def _model_of(config: RunConfig, path: Path) -> Model:
    """Build the model on its base, then load the tensors that the run stores."""
    model, taken, file = build_on_base(config), stages_taken(config.base), path_of(path, MODEL, config.files)
    slots, layout = layout_of(model.tensors()), read_layout(file)
    optional = [name for name in slots if stage_of(name) in taken]
    if faults := layout_faults(layout, slots, optional, halved=True):
        raise WeightsError(f"{file} does not fit: " + "; ".join(faults) + ". Is it from another model?")
    if len(layout) != config.tensors:
        raise WeightsError(f"{file} holds {len(layout)} tensors, but {CONFIG} says {config.tensors}")
    check_base(config.base, model)
    fill_model(model, read_tensors(file, layout))
    if unset := meta_tensors(model):
        raise WeightsError(
            f"neither the run nor its base has values for {some_names(unset)}; report this to the author of the plugin"
        )
    return model.eval()


def _tuned_model_of(config: RunConfig, path: Path, foreign: bool) -> tuple[Model, Delta]:
    """Load the base run of a small tuned run, and change its model as the tuning did."""
    assert config.base_run is not None
    folder = find_base(config.base_run, path, foreign=foreign)
    base, recipe, file = load_run(folder), config.parsed_recipe, path_of(path, MODEL, config.files)
    if not same_parts(recipe, base.recipe):
        raise WeightsError(f"its parts differ from those of its base, {config.base_run}")
    model, freezing = base.model, build_freezing(recipe)
    known = {name: tensor.shape for name, tensor in model.tensors().items()}
    with torch.random.fork_rng(devices=[]):
        for head in model.speaker_heads.values():
            head.restart(max(1, len(config.speakers)))
        for label_head in model.label_heads.values():
            label_head.relabel(tuple(config.labels) or UNKNOWN)
        freezing.prepare(model)
    slots, layout = layout_of(model.tensors()), read_layout(file)
    optional = [name for name, slot in slots.items() if known.get(name.replace(ORIGINAL, ".weight")) == slot.shape]
    if faults := layout_faults(layout, slots, optional, halved=True):
        raise WeightsError(f"{file} does not fit: " + "; ".join(faults) + ". Is it from another model?")
    if len(layout) != config.tensors:
        raise WeightsError(f"{file} holds {len(layout)} tensors, but {CONFIG} says {config.tensors}")
    tensors = {name: value.to(slots[name].dtype) for name, value in read_tensors(file, layout).items()}
    fill_model(model, tensors)
    freezing.finish(model)
    reference = config.base_run
    if reference.kind == "local":
        reference = reference.model_copy(update={"name": str(folder.resolve())})
    return model.eval(), Delta(reference, tensors)


def _build(config: RunConfig, random: Collection[str], stages: Collection[str] = (), *, outline: bool = True) -> Model:
    with torch.random.fork_rng(devices=[]), init_on_meta() if outline else nullcontext():
        speakers = max(1, len(config.speakers))
        model = build(config.parsed_recipe, speakers, config.labels, random=random, stages=stages)
        build_freezing(config.parsed_recipe).insert_lasting(model)
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


def _check_files(config: RunConfig, path: Path, names: Collection[File]) -> None:
    for name in names:
        actual = sha256_of(path_of(path, name, config.files))
        if actual != (expected := config.files.get(name)):
            raise WeightsError(
                f"{name} does not match its checksum in {CONFIG}: SHA-256 {actual}, expected {expected}. The file was "
                "changed or damaged; copy or pull the run again"
            )


def _read_metrics(path: Path) -> dict[str, Any]:
    with open_file(path) as file:
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
