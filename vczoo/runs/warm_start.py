"""Warm start: the initial model of a recipe, with the tensors of the run that its `start` names, if any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from vczoo.errors import RecipeError
from vczoo.io.files import sha256_of
from vczoo.io.tensor_file import layout_faults, layout_of
from vczoo.models.build import UNKNOWN, build
from vczoo.models.bundled import CONFIG, find_start
from vczoo.models.model import Model
from vczoo.models.recipe import Part, Recipe
from vczoo.registry.weights import is_weights_file
from vczoo.runs.base_run import same_parts
from vczoo.runs.lineage import lineage_from
from vczoo.runs.pretrained_base import Place
from vczoo.runs.run import Run
from vczoo.runs.run_folder import load_run
from vczoo.runs.run_model import fill_model

__all__ = ["build_initial_model", "fingerprint_of_start", "vocoder_of_start"]


def build_initial_model(recipe: Recipe, num_speakers: int, labels: Sequence[str] = ()) -> Run:
    """Build the model of a recipe, and copy the tensors of its `start` into it.

    The start provides the whole backbone, each head that both recipes name, and the vocoder if both use the same one
    and the recipe has no weights file for it. Speaker heads are then reset, and label heads are relabeled. Weights that
    the start provides are not downloaded. Everything else is initialized from the caller's random state.

    Args:
        recipe: The recipe, already checked.
        num_speakers: Number of speakers in the training data, at least 1.
        labels: Labels of the training data, in the order of the logits. If empty, the start's labels are used, provided
            that all label heads come from the start.

    Returns:
        A run with the license of the start, which is the first in its lineage. It also has the start's voices, marked
        as `lent`, if backbone, heads and vocoder are the same in both recipes. Its recipe has no `start`, and names the
        weights that the start's tensors came from, because a saved run stores each tensor or takes it from that base.

    Raises:
        RecipeError: The recipe has faults, or the start's tensors do not fit; the message lists all of them.
        UnknownNameError, RunError: The start does not exist or cannot be loaded.
        WeightsError: Pretrained weights are unavailable or do not fit.
    """
    if not recipe.start:
        fresh = build(recipe, num_speakers, labels)
        return Run(recipe, fresh, (), {}, labels=tuple(labels) if fresh.label_heads else ())
    start = load_run(find_start(recipe.start))
    inherited: list[Place] = ["backbone", "vocoder"] if _inherits_vocoder(recipe, start) else ["backbone"]
    resolved = _with_weights_of_start(recipe, start, inherited)
    model = build(resolved, max(1, len(start.speakers)), start.labels, random=inherited)
    shared = [name for name in model.heads if name in start.model.heads]
    places = [*inherited, *(f"heads.{name}" for name in shared)]
    fill_model(model, _fitting_tensors(recipe, model, start, places))
    for head in model.speaker_heads.values():
        head.restart(num_speakers)
    model_labels: tuple[str, ...] = ()
    if model.label_heads:
        # The start's labels are not used if there is a fresh label head too, which was not trained on them.
        model_labels = tuple(labels) or (start.labels if set(model.label_heads) <= set(shared) else ())
    for label_head in model.label_heads.values():
        label_head.relabel(model_labels or UNKNOWN)
    based = tuple(f"{place}." for place in inherited if getattr(resolved, place) == getattr(start.recipe, place))
    model.base |= {name: digest for name, digest in start.model.base.items() if name.startswith(based)}
    base = {place: part for place, part in start.base.items() if place in inherited}
    same = same_parts(resolved, start.recipe)
    voices = {name: replace(voice, lent=True) for name, voice in start.voices.items()} if same else {}
    lineage = lineage_from(start, places)
    return Run(resolved, model, (), voices, licence=start.licence, base=base, labels=model_labels, lineage=lineage)


def fingerprint_of_start(recipe: Recipe) -> str:
    """Return the SHA-256 of the vczoo.yaml of a recipe's start, which contains the checksums of the run's files.

    It is "" if the recipe has no start.

    Raises:
        UnknownNameError, RunError: The start does not exist.
    """
    if not recipe.start:
        return ""
    return sha256_of(find_start(recipe.start) / CONFIG)


def vocoder_of_start(recipe: Recipe) -> dict[str, Tensor]:
    """Return the tensors that `build_initial_model` copies into a recipe's vocoder, by their names in its state dict.

    The result is empty if the vocoder does not come from the start.

    Raises:
        UnknownNameError, RunError: The start does not exist or cannot be loaded.
    """
    start = load_run(find_start(recipe.start)) if recipe.start and recipe.vocoder else None
    if start is None or not _inherits_vocoder(recipe, start) or start.model.vocoder is None:
        return {}
    return dict(start.model.vocoder.state_dict())


def _inherits_vocoder(recipe: Recipe, start: Run) -> bool:
    """Whether a recipe's vocoder comes from its start. A weights file in the recipe takes precedence over the start."""
    own, theirs = recipe.vocoder, start.recipe.vocoder
    if own is None or theirs is None or own.use != theirs.use or start.model.vocoder is None:
        return False
    return bool(start.model.vocoder.state_dict()) and not is_weights_file(str(own.options.get("weights", "")))


def _fitting_tensors(recipe: Recipe, model: Model, start: Run, places: Sequence[str]) -> dict[str, Tensor]:
    """Return the start's tensors for some places of the model, by their names in `Model.tensors`, if they fit.

    Raises:
        RecipeError: Tensors are missing, unexpected or misshapen, or a text head has another alphabet.
    """
    slots, tensors, faults = layout_of(model.tensors()), start.model.tensors(), []
    fitting: dict[str, Tensor] = {}
    for place in places:
        expected = {name: slot for name, slot in slots.items() if name.startswith(f"{place}.")}
        actual = {name: tensor for name, tensor in tensors.items() if name.startswith(f"{place}.")}
        if misfits := layout_faults(layout_of(actual), expected):
            faults.append(f"start: the {place} of {recipe.start} does not fit: {'; '.join(misfits)}")
        fitting |= actual
    for name, head in model.text_heads.items():
        other = start.model.text_heads.get(name)
        if other and other.alphabet != head.alphabet:
            faults.append(
                f"start: heads.{name} of {recipe.start} has the alphabet {other.alphabet[:60]!r}, but this recipe's "
                f"has {head.alphabet[:60]!r}"
            )
    if faults:
        raise RecipeError(
            recipe.name,
            [f"{fault}. Set the options of this part to the start's, or choose another start" for fault in faults],
        )
    return fitting


def _with_weights_of_start(recipe: Recipe, start: Run, places: Sequence[Place]) -> Recipe:
    """Return the recipe without its `start`; the parts at `places` get the `weights` of the start's parts."""
    parts: dict[str, Part] = {
        place: _with_weights_of_part(getattr(recipe, place), getattr(start.recipe, place)) for place in places
    }
    return recipe.model_copy(update=parts | {"start": ""})


def _with_weights_of_part(part: Part, source: Part) -> Part:
    """Return `part` with the `weights` that the tensors copied from `source` came from."""
    options = {name: value for name, value in part.options.items() if name != "weights"}
    if part.use == source.use and "weights" in source.options:
        options["weights"] = source.options["weights"]
    elif part.use != source.use and "weights" in part.options:
        options["weights"] = "random"  # its own pretrained weights are overwritten by the start's tensors
    return Part(use=part.use, **options)
