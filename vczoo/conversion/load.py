"""Resolve a name (recipe, run folder or Hub repository) and load it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from vczoo.conversion.converter import Converter
from vczoo.errors import RunError, UnknownNameError
from vczoo.hub.name import check_path, is_hub_name
from vczoo.io.device import choose_device
from vczoo.io.text import truncated_list
from vczoo.models.build import checked_recipe
from vczoo.registry.zoo import the_zoo
from vczoo.runs.run import CONFIG, Run
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


def read_name(name: str | os.PathLike[str]) -> tuple[Kind, str]:
    """Resolve a name to ("recipe", name or file), ("run", folder) or ("hub", owner/name[@revision]).

    Raises:
        UnknownNameError: The name is not known, or has two meanings.
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
                f"{text!r} may be a folder here or owner/name on the Hub; write ./{text} for the folder, or "
                f"{text}@main for the Hub"
            )
        check_path(text)
        return "hub", text
    if "/" in text or os.sep in text:
        return "run", str(path)
    try:
        the_zoo().recipe(text)
    except UnknownNameError as error:
        if not path.is_dir():
            raise
        raise UnknownNameError(
            f"{text}: this folder is not a run, because it has no {CONFIG}.{_runs_in(path)}"
        ) from error
    return "recipe", text


def _runs_in(folder: Path) -> str:
    """Name the runs in a folder, as the next step of an error."""
    runs = sorted(str(path.parent) for path in folder.glob(f"*/{CONFIG}"))
    return f" Choose one of the runs in it: {', '.join(truncated_list(runs))}" if runs else " Check the path"
