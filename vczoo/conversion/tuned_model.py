"""Models of tuned voices over one loaded base, with which they share all tensors that tuning did not change.

A model with the changes of a voice is a copy of the base's modules that refers to the same tensors, except for those
that changed. So threads that convert to different voices do not disturb each other.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vczoo.errors import VoiceError, WeightsError
from vczoo.io.tensor_file import some_names
from vczoo.models.build import build_freezing
from vczoo.models.model import Model
from vczoo.models.model_freezing import ModelFreezing
from vczoo.models.recipe import Recipe
from vczoo.modules.freezing.weight_changes import WeightChanges
from vczoo.modules.interfaces.heads import Voice
from vczoo.modules.nn.inserted import Inserted
from vczoo.runs.base_run import ORIGINAL

__all__ = ["TunedVoice", "tuned_model"]

CHANGE = ORIGINAL.removesuffix("original")  # in the names of the tensors of a change of a weight


@dataclass(frozen=True)
class TunedVoice:
    """A voice, and what tuning changed of the model that converts to it.

    Attributes:
        voice: The voice.
        recipe: The recipe of its run, which names the freezing strategies.
        tensors: The tensors that changed, as in `vczoo.runs.run.Delta`, without those of speaker heads.
    """

    voice: Voice
    recipe: Recipe
    tensors: Mapping[str, Tensor]


def tuned_model(model: Model, mix: Sequence[tuple[TunedVoice | None, float]]) -> Model:
    """Return a model with the changes of a voice, or with those of several voices in proportion to their shares.

    It shares all unchanged tensors with `model`, which stays as it is.

    Args:
        model: The model of the base.
        mix: The voices, None for one of the base itself, with their shares.

    Raises:
        VoiceError: Several voices are mixed, and one has modules of its own, such as adapters.
        WeightsError: Tensors do not fit the model.
    """
    base = model.tensors()
    changes = [({} if tuned is None else _ordinary(tuned, base), share) for tuned, share in mix]
    names = sorted({name for change, _ in changes for name in change})
    lasting = {name for name in names if name not in base}
    if lasting and len(mix) > 1:
        raise VoiceError(
            "a voice that was tuned with adapters cannot be mixed, because networks with different adapters have no "
            "mean; convert to one voice, or tune the voices with lora"
        )
    view = _with_own_modules(model, {".".join(name.split(".")[:2]) for name in names})
    if lasting and mix[0][0]:
        with torch.random.fork_rng(devices=[]):
            build_freezing(mix[0][0].recipe).insert_lasting(view)
    slots = view.tensors()
    if unknown := [name for name in names if name not in slots]:
        raise WeightsError(f"not expected {some_names(unknown)}")
    parts = nn.ModuleDict(
        {"backbone": nn.ModuleDict({stage.name: stage.module for stage in view.backbone.stages()}), "heads": view.heads}
    )
    for name in names:
        values = [(change.get(name, base.get(name)), share) for change, share in changes]
        value = _mean(values, base.get(name))
        if value.shape != slots[name].shape:
            raise WeightsError(f"{name} has shape {tuple(value.shape)}, expected {tuple(slots[name].shape)}")
        _replace(parts, name, value.to(slots[name]))
    return view.to(next(iter(base.values())).device).eval()


def _ordinary(tuned: TunedVoice, base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The changed tensors of a voice by their names in an ordinary model: changes are merged into their weights."""
    freezing, merged = build_freezing(tuned.recipe), {}
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tuned.tensors.items():
        layer, change, rest = name.partition(CHANGE)
        if change:
            groups.setdefault(layer, {})[rest] = tensor
        else:
            merged[name] = tensor
    for layer, group in groups.items():
        weight = group.pop("original", base.get(f"{layer}.weight"))
        strategy = _strategy_of(layer, freezing)
        if weight is None or not isinstance(strategy, WeightChanges):
            raise WeightsError(f"not expected {layer}{CHANGE}…")
        with torch.no_grad():
            merged[f"{layer}.weight"] = _filled(strategy.change_of(weight), layer, group)(weight)
    return merged


def _filled(change: Inserted, layer: str, group: Mapping[str, Tensor]) -> Inserted:
    """Give a change its tensors, whose names begin with its number in its layer."""
    try:
        change.load_state_dict({name.removeprefix("0."): tensor for name, tensor in group.items()})
    except RuntimeError as error:
        raise WeightsError(f"the change of {layer} does not fit") from error
    return change


def _strategy_of(name: str, freezing: ModelFreezing) -> object:
    place, _, rest = name.partition(".")
    return freezing.backbone if place == "backbone" else freezing.heads.get(rest.partition(".")[0])


def _mean(values: Sequence[tuple[Tensor | None, float]], base: Tensor | None) -> Tensor:
    """The base with the sum of the differences to it, by their shares; the value itself if there is only one."""
    if len(values) == 1 or base is None or not base.is_floating_point():
        value = values[0][0]
        assert value is not None
        return value
    mean = base.clone()
    for value, share in values:
        if value is not None:
            mean += share * (value.to(base) - base)
    return mean


def _with_own_modules(model: Model, places: set[str]) -> Model:
    """A model whose modules at some places are copies that refer to the same tensors; all others are the same."""
    view = copy.copy(model)
    view._modules = dict(model._modules)
    heads = copy.copy(model.heads)
    heads._modules = dict(model.heads._modules)
    view._modules["heads"] = heads
    for name in {place.partition(".")[2] for place in places if place.startswith("heads.")} & set(heads._modules):
        heads._modules[name] = _with_same_tensors(model.heads[name])
    if any(place.startswith("backbone.") for place in places):
        view._modules["backbone"] = _with_same_tensors(model.backbone)
    return view


def _with_same_tensors(module: nn.Module) -> nn.Module:
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def _replace(module: nn.Module, name: str, value: Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    if leaf in owner._buffers:
        owner._buffers[leaf] = value
    else:
        owner._parameters[leaf] = nn.Parameter(value.detach(), requires_grad=False)
