"""Runs by name: a recipe with its pretrained parts, a run folder, or a run on the Hub."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from vczoo.conversion.name import Kind, read_name
from vczoo.errors import RunError
from vczoo.io.log import logger
from vczoo.io.precision import single_precision
from vczoo.models.build import checked_recipe
from vczoo.runs.run import Run
from vczoo.runs.run_folder import load_run
from vczoo.runs.warm_start import build_initial_model

__all__ = ["read_any_run", "read_run"]


@single_precision()
def read_any_run(name: str | os.PathLike[str], overrides: Iterable[str] | Mapping[str, Any] = ()) -> Run:
    """Read what `vczoo.load` loads; its docstring describes names, overrides and errors."""
    kind, location = read_name(name)
    if run := read_run(kind, location):
        if overrides:
            raise RunError(
                f"{location}: a trained run cannot take overrides. Load its recipe, or fine-tune the run with them."
            )
        logger.info("loaded run %s (%s), voices: %s", location, run.revision, ", ".join(run.voices) or "none")
        return run
    recipe = checked_recipe(location, overrides)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        run = build_initial_model(recipe, num_speakers=1)
    logger.info("loaded recipe %s", recipe.name)
    return run


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
