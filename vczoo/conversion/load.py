"""Resolve a name (recipe, run folder or Hub repository) and load it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from vczoo.conversion.converter import Converter
from vczoo.conversion.name import Kind, read_name
from vczoo.errors import RunError
from vczoo.io.device import choose_device
from vczoo.io.precision import single_precision
from vczoo.models.build import checked_recipe
from vczoo.runs.run import Run
from vczoo.runs.run_folder import load_run
from vczoo.runs.warm_start import build_initial_model

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
    kind, location = read_name(name)
    if run := read_run(kind, location):
        if overrides:
            raise RunError(
                f"{location}: a trained run cannot take overrides. Load its recipe, or fine-tune the run with them."
            )
        return Converter(run, device)
    recipe = checked_recipe(location, overrides)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        run = build_initial_model(recipe, num_speakers=1)
    return Converter(run, device)


def read_run(kind: Kind, location: str) -> Run | None:
    """Read the run that `read_name` resolved to; return None for a recipe.

    Args:
        kind: What the name means, from `read_name`.
        location: Name of the recipe, folder of the run or Hub repository, from `read_name`.

    Raises:
        HubError, RunError, PluginError, RecipeError, WeightsError: The run cannot be read.
    """
    if kind == "recipe":
        return None
    if kind == "run":
        return load_run(Path(location))
    from vczoo.hub.pull import load_from_hub  # imported here, since it imports the Hub's client

    return load_from_hub(location)
