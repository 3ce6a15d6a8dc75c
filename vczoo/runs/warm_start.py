"""A recipe in; the model that its training or use begins with out: fresh, or with the tensors of its `start`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from vczoo.errors import RecipeError
from vczoo.io.tensor_file import layout_faults, layout_of
from vczoo.models.build import UNKNOWN, build
from vczoo.models.bundled import CONFIG, find_start
from vczoo.models.model import Model
from vczoo.models.recipe import Part, Recipe
from vczoo.registry.weights import is_weights_file
from vczoo.runs.pretrained_base import Place
from vczoo.runs.run import Run
from vczoo.runs.run_folder import fill_model, load_run

__all__ = ["build_initial_model", "fingerprint_of_start", "vocoder_of_start"]


def build_initial_model(recipe: Recipe, num_speakers: int, labels: Sequence[str] = ()) -> Run:
    """Build a recipe's model, and put the tensors of its `start` into it.

    The start gives the backbone whole, each head that has the same name in both, and the vocoder where both use the
    same one and the recipe names no file of weights for it. Speaker heads then restart, and label heads are relabelled.
    What the start gives is not downloaded first; what is fresh is decided by the caller's random state.

    Args:
        recipe: checked.
        num_speakers: of the training data, at least 1.
        labels: of the training data, in the order of the logits; without any, those that the start knows.

    Returns:
        A run, with the start's voices, lent, where all that knows them is the start's. Its recipe has no `start`, and
        as weights those that the start's tensors came from, since a run of it holds every tensor itself or leaves it to
        that base; it has the terms of the start, too.

    Raises:
        RecipeError: with every fault of the recipe, and of the tensors that do not fit.
        UnknownNameError, RunError: the start is not there, or cannot be loaded.
        WeightsError: pretrained weights cannot be had or do not fit.
    """
    if not recipe.start:
        fresh = build(recipe, num_speakers, labels)
        return Run(recipe, fresh, (), {}, labels=tuple(labels) if fresh.label_heads else ())
    start = load_run(find_start(recipe.start))
    taken: list[Place] = ["backbone", "vocoder"] if _gives_vocoder(recipe, start) else ["backbone"]
    own = _adopted(recipe, start, taken)
    model = build(own, max(1, len(start.speakers)), start.labels, random=taken)
    shared = [name for name in model.heads if name in start.model.heads]
    fill_model(model, _fitting(recipe, model, start, [*taken, *(f"heads.{name}" for name in shared)]))
    for head in model.speaker_heads.values():
        head.restart(num_speakers)
    known: tuple[str, ...] = ()  # of which a fresh head beside would know nothing
    if model.label_heads:
        known = tuple(labels) or (start.labels if set(model.label_heads) <= set(shared) else ())
    for label_head in model.label_heads.values():
        label_head.relabel(known or UNKNOWN)
    based = tuple(f"{place}." for place in taken if getattr(own, place) == getattr(start.recipe, place))
    model.base |= {name: digest for name, digest in start.model.base.items() if name.startswith(based)}
    base = {place: part for place, part in start.base.items() if place in taken}
    same = _same_parts(own, start.recipe)
    voices = {name: replace(voice, lent=True) for name, voice in start.voices.items()} if same else {}
    return Run(own, model, (), voices, licence=start.licence, base=base, labels=known)


def fingerprint_of_start(recipe: Recipe) -> str:
    """SHA-256 of the configuration of a recipe's start, which has the checksums of its files; "" where it has none.

    Raises:
        UnknownNameError, RunError: the start is not there.
    """
    if not recipe.start:
        return ""
    return hashlib.sha256((find_start(recipe.start) / CONFIG).read_bytes()).hexdigest()


def vocoder_of_start(recipe: Recipe) -> dict[str, Tensor]:
    """What `begin` would put into a recipe's vocoder, by the vocoder's own names; nothing where that is its own affair.

    Raises:
        UnknownNameError, RunError: the start is not there, or cannot be loaded.
    """
    start = load_run(find_start(recipe.start)) if recipe.start and recipe.vocoder else None
    if start is None or not _gives_vocoder(recipe, start) or start.model.vocoder is None:
        return {}
    return dict(start.model.vocoder.state_dict())


def _gives_vocoder(recipe: Recipe, start: Run) -> bool:
    """Whether a recipe's vocoder is the start's; a file of weights is chosen by whoever names it."""
    own, theirs = recipe.vocoder, start.recipe.vocoder
    if own is None or theirs is None or own.use != theirs.use or start.model.vocoder is None:
        return False
    return bool(start.model.vocoder.state_dict()) and not is_weights_file(str(own.options.get("weights", "")))


def _same_parts(recipe: Recipe, other: Recipe) -> bool:
    """Whether what hears, keeps and makes a voice is the same in both."""
    return (recipe.backbone, recipe.heads, recipe.vocoder) == (other.backbone, other.heads, other.vocoder)


def _fitting(recipe: Recipe, model: Model, start: Run, places: Sequence[str]) -> dict[str, Tensor]:
    """The start's tensors of these places, which are those of the model, by their names in `Model.tensors`."""
    slots, tensors, faults = layout_of(model.tensors()), start.model.tensors(), []
    found: dict[str, Tensor] = {}
    for place in places:
        wanted = {name: slot for name, slot in slots.items() if name.startswith(f"{place}.")}
        given = {name: tensor for name, tensor in tensors.items() if name.startswith(f"{place}.")}
        if misfits := layout_faults(layout_of(given), wanted):
            faults.append(f"start: the {place} of {recipe.start} does not fit: {'; '.join(misfits)}")
        found |= given
    for name, head in model.text_heads.items():
        other = start.model.text_heads.get(name)
        if other and other.alphabet != head.alphabet:
            faults.append(
                f"start: the heads.{name} of {recipe.start} writes {other.alphabet[:60]!r}, not {head.alphabet[:60]!r}"
            )
    if faults:
        raise RecipeError(
            recipe.name, [f"{fault}. Give its parts the start's options, or another start" for fault in faults]
        )
    return found


def _adopted(recipe: Recipe, start: Run, places: Sequence[Place]) -> Recipe:
    """The recipe without its start, and the parts at these places with the start's weights."""
    parts: dict[str, Part] = {
        place: _with_weights_of(getattr(recipe, place), getattr(start.recipe, place)) for place in places
    }
    return recipe.model_copy(update=parts | {"start": ""})


def _with_weights_of(part: Part, giver: Part) -> Part:
    """A part that begins with a giver's tensors, with the weights that these came from."""
    options = {name: value for name, value in part.options.items() if name != "weights"}
    if part.use == giver.use and "weights" in giver.options:
        options["weights"] = giver.options["weights"]
    elif part.use != giver.use and "weights" in part.options:
        options["weights"] = "random"  # what it would have begun with is nowhere in it
    return Part(use=part.use, **options)
