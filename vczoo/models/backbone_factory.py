"""Backbones by name, without a recipe."""

from __future__ import annotations

from typing import Any

from vczoo.errors import ContractError
from vczoo.io.problems import Problems
from vczoo.models.part_options import CheckedPart, check_part
from vczoo.models.recipe import Part
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.registry.zoo import the_zoo

__all__ = ["create_backbone"]


def create_backbone(name: str, *, stages: int | None = None, **options: Any) -> Backbone:
    """Create a backbone by its name: a `torch.nn.Module` from a `Waveform` to `Frames`, described by its `spec`.

    Args:
        name: Name of a backbone, as `vczoo.list_parts("backbone")` lists them: `timm/resnet18`.
        stages: Number of stages to keep, counted from the input: the option `out_stage`. None keeps what the backbone
            does by default.
        options: Options of the backbone, as in a recipe: `weights="random"`. `vczoo show timm/resnet18` lists them.

    Returns:
        The backbone, in training mode, as a new module is.

    Raises:
        UnknownNameError, PluginError: There is no such backbone, or its plugin cannot be loaded.
        ContractError: An option is unknown or out of range. The message lists all faults.
        WeightsError: The weights are unavailable or do not fit.
    """
    the_zoo().find("backbone", name)
    if stages is not None:
        options |= {"out_stage": stages}
    problems = Problems()
    part: CheckedPart | None = check_part(problems, name, "backbone", Part(use=name, **options))
    if part is None:
        raise ContractError("; ".join(problems.faults))
    backbone: Backbone = part.make({})
    return backbone
