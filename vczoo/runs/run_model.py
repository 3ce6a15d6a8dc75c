"""Models of runs: built from a run's recipe, on its pretrained base or its base run, and filled with its tensors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from vczoo.errors import WeightsError
from vczoo.io.tensor_file import Slot, layout_faults, layout_of, read_layout, some_names
from vczoo.io.tensors import put_tensors, read_tensors
from vczoo.models.build import UNKNOWN, build, build_freezing, pretrained_places
from vczoo.models.bundled import CONFIG
from vczoo.models.meta_init import init_on_meta, meta_tensors
from vczoo.models.model import Model
from vczoo.models.multi_task import stage_of
from vczoo.runs.base_run import ORIGINAL, same_parts
from vczoo.runs.config import BaseRun, RunConfig
from vczoo.runs.pretrained_base import PLACES, check_base, stages_taken
from vczoo.runs.run import Delta, Run
from vczoo.runs.run_files import LARGEST_MODEL

__all__ = ["build_on_base", "fill_model", "outline_of", "stored_model", "tuned_model"]


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


def stored_model(config: RunConfig, file: Path) -> Model:
    """Build the model on its pretrained base, then load the tensors that the run stores in `file`.

    Raises:
        RecipeError: The recipe cannot be built here.
        WeightsError: The tensors do not fit, or the pretrained base is missing or differs from the original one.
    """
    model, taken = build_on_base(config), stages_taken(config.base)
    slots = layout_of(model.tensors())
    layout = _fitting_layout(file, config, slots, [name for name in slots if stage_of(name) in taken])
    check_base(config.base, model)
    fill_model(model, read_tensors(file, layout))
    if unset := meta_tensors(model):
        raise WeightsError(
            f"neither the run nor its base has values for {some_names(unset)}; report this to the author of the plugin"
        )
    return model.eval()


def tuned_model(config: RunConfig, file: Path, base: Run, reference: BaseRun) -> tuple[Model, Delta]:
    """Change the model of the base of a small tuned run as the tuning did.

    Args:
        config: The configuration of the tuned run.
        file: The tensors that the tuning changed.
        base: The loaded base run, whose model is changed in place.
        reference: Where the base is.

    Returns:
        The model, and what changed of it.

    Raises:
        WeightsError: The run has other parts than its base, or the tensors do not fit.
    """
    recipe = config.parsed_recipe
    if not same_parts(recipe, base.recipe):
        raise WeightsError(f"its parts differ from those of its base, {config.base_run}")
    model, freezing = base.model, build_freezing(recipe)
    shapes = {name: tensor.shape for name, tensor in model.tensors().items()}
    with torch.random.fork_rng(devices=[]):
        for head in model.speaker_heads.values():
            head.restart(max(1, len(config.speakers)))
        for label_head in model.label_heads.values():
            label_head.relabel(tuple(config.labels) or UNKNOWN)
        freezing.prepare(model)
    slots = layout_of(model.tensors())
    optional = [name for name, slot in slots.items() if shapes.get(name.replace(ORIGINAL, ".weight")) == slot.shape]
    layout = _fitting_layout(file, config, slots, optional)
    tensors = {name: value.to(slots[name].dtype) for name, value in read_tensors(file, layout).items()}
    fill_model(model, tensors)
    freezing.finish(model)
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


def _fitting_layout(
    file: Path, config: RunConfig, slots: Mapping[str, Slot], optional: Collection[str]
) -> dict[str, Slot]:
    """The layout of a file of tensors that fit into these slots; those of `optional` may be missing."""
    layout = read_layout(file)
    if faults := layout_faults(layout, slots, optional, halved=True):
        raise WeightsError(f"{file} does not fit: " + "; ".join(faults) + ". Is it from another model?")
    if len(layout) != config.tensors:
        raise WeightsError(f"{file} holds {len(layout)} tensors, but {CONFIG} says {config.tensors}")
    return layout
