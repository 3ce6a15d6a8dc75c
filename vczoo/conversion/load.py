"""Resolve a name (recipe, run folder or Hub repository) and load it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from vczoo.conversion.converter import Converter
from vczoo.conversion.name import Kind, read_name
from vczoo.conversion.run_by_name import read_any_run, read_run
from vczoo.io.device import choose_device
from vczoo.io.precision import single_precision

__all__ = ["Kind", "load", "read_name", "read_run"]


@single_precision()
def load(
    name: str | os.PathLike[str],
    overrides: Iterable[str] | Mapping[str, Any] = (),
    *,
    device: torch.device | str | None = None,
) -> Converter:
    """Load a recipe (`vgg16-partialfreeze`), a run (`./runs/mine`) or a published run on the Hub (`owner/name@v1`).

    A recipe is loaded with its pretrained backbone, and with untrained heads or the heads of its `start`. To convert
    with it, `enroll` a voice or `finetune` the recipe.

    Args:
        name: Name of a recipe, path of a recipe's .yaml file, path of a run folder, or Hub repository with an optional
            revision.
        overrides: Overrides of a recipe's settings: `["backbone.weights=random"]`, or a mapping of the same.
        device: Torch device to compute on. By default a GPU, if there is one.

    Returns:
        A converter, ready to convert.

    Raises:
        UnknownNameError: The name is not known, or has two meanings.
        RecipeError: The recipe or its overrides have faults.
        RunError: The run cannot be read, or overrides were passed with a run.
        WeightsError: The weights are unavailable or do not fit.
        VczooError: The device does not work on this machine.
    """
    device = choose_device(device)  # first, so that a wrong device is reported before weights are loaded
    return Converter(read_any_run(name, overrides), device)
