"""A name in; what it means, and the `Converter` that it names, out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from vczoo.conversion.converter import Converter
from vczoo.errors import RunError, UnknownNameError
from vczoo.hub.name import is_hub_name
from vczoo.models.build import checked_recipe
from vczoo.registry.zoo import the_zoo
from vczoo.runs.run import Run
from vczoo.runs.run_folder import load_run
from vczoo.runs.warm_start import build_initial_model

__all__ = ["Kind", "load", "read_name", "read_run"]

Kind = Literal["recipe", "run", "hub"]


def load(
    name: str | os.PathLike[str],
    overrides: Iterable[str] | Mapping[str, Any] = (),
    *,
    device: torch.device | str | None = None,
) -> Converter:
    """Load a recipe (`vgg16-partialfreeze`), a run (`./runs/mine`) or a speaker from the Hub (`owner/name@v1`).

    A recipe comes with its pretrained backbone and fresh heads, or with those of its `start`: `enroll` a voice, or
    `finetune` it.

    Args:
        name: as above; a recipe's .yaml file, too.
        overrides: of a recipe, `["backbone.weights=random"]` or a mapping of the same.
        device: where it computes; a GPU where there is one.

    Raises:
        UnknownNameError, RecipeError, RunError, WeightsError: it cannot be loaded, and why.
    """
    kind, place = read_name(name)
    if run := read_run(kind, place):
        if overrides:
            raise RunError(f"{place}: overrides are for recipes; a run is what it was trained as")
        return Converter(run, device)
    recipe = checked_recipe(place, overrides)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        run = build_initial_model(recipe, num_speakers=1)
    return Converter(run, device)


def read_run(kind: Kind, place: str) -> Run | None:
    """The run that `read_name` found, None where it found a recipe.

    Raises:
        HubError, RunError, PluginError, RecipeError, WeightsError: it cannot be read.
    """
    if kind == "recipe":
        return None
    if kind == "run":
        return load_run(Path(place))
    from vczoo.hub.pull import load_from_hub  # imports the Hub's client, which nothing else needs

    return load_from_hub(place)


def read_name(name: str | os.PathLike[str]) -> tuple[Kind, str]:
    """Tell what a name means: ("recipe", name or file), ("run", folder) or ("hub", owner/name[@revision]).

    Raises:
        UnknownNameError: it means nothing here, or two things.
    """
    text = os.fspath(name)
    path = Path(text).expanduser()
    if path.suffix in {".yaml", ".yml"}:
        return "recipe", str(path)
    explicit = isinstance(name, os.PathLike) or path.is_absolute() or text.startswith((".", "~"))
    if explicit:
        return "run", str(path)
    if is_hub_name(text):
        if path.is_dir():
            raise UnknownNameError(
                f"{text!r} may be a folder here or owner/name on the Hub; write ./{text} for the folder, "
                f"{text}@main for the Hub"
            )
        return "hub", text
    if "/" in text or os.sep in text:
        return "run", str(path)
    the_zoo().recipe(text)
    return "recipe", text
