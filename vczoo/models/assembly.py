"""Assembly of a model from the checked parts of a recipe, one by one, with the contracts between them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from vczoo.audio.pitch import PitchTracker
from vczoo.audio.specs import FrameSpec, MelSpec, check_contract
from vczoo.errors import ContractError, VczooError, WeightsError
from vczoo.io.problems import Problems
from vczoo.models.model import Model
from vczoo.models.part_options import CheckedPart
from vczoo.models.recipe import HeadPart, Recipe
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.modules.interfaces.head import Head, check_declaration
from vczoo.modules.interfaces.heads import KINDS, SpeakerHead, VoiceHead
from vczoo.modules.interfaces.vocoder import Vocoder

__all__ = ["assemble", "make_network", "make_tracker"]


def assemble(
    recipe: Recipe,
    parts: Mapping[str, CheckedPart],
    data_context: Mapping[str, Any],
    problems: Problems,
    random: Collection[str],
) -> Model | None:
    """Build the checked parts one by one. The context of each is the data's, extended by the parts built before it.

    Args:
        recipe: The recipe.
        parts: Its valid parts, by their key in the recipe.
        data_context: What the training data say: `num_speakers` and `labels`.
        problems: Collects the faults of parts that cannot be built.
        random: Parts that are built without their pretrained weights.

    Returns:
        The model; None if a part cannot be built.
    """
    vocoder: Vocoder | None = None
    backbone: Backbone | None = None
    context = dict(data_context)
    if "vocoder" in parts:
        with problems.at("vocoder", passing=_failed_downloads("vocoder", random)):
            vocoder = make_network(parts, "vocoder", context, random)
            context["acoustic"] = vocoder.accepts
    if "backbone" in parts:
        with problems.at("backbone", passing=_failed_downloads("backbone", random)):
            backbone = make_network(parts, "backbone", context, random)
            context["frames"] = backbone.spec
    if backbone and vocoder:
        with problems.at("vocoder"):
            _check_vocoder(recipe, backbone, vocoder)
    tracker: PitchTracker | None = None
    if "pitch" in parts:
        with problems.at("pitch"):
            tracker = make_tracker(parts["pitch"])
    # Heads depend on the other parts, so their faults would only repeat those of a broken one.
    if backbone is None or (recipe.vocoder and vocoder is None) or (recipe.pitch and tracker is None):
        return None
    heads = _make_heads(recipe, parts, context, problems)
    if len(heads) < len(recipe.heads):
        return None
    shares = {name: head.weight for name, head in recipe.heads.items()}
    acoustic_heads = [name for name, head in recipe.heads.items() if head.reads == "acoustic"]
    return Model(backbone, heads, shares, vocoder, acoustic_heads, tracker)


def _make_heads(
    recipe: Recipe, parts: Mapping[str, CheckedPart], context: dict[str, Any], problems: Problems
) -> dict[str, Head]:
    """Build the heads. Those that have faults are missing."""
    heads: dict[str, Head] = {}
    incomplete = False  # whether an earlier head, perhaps the speaker head, could not be built
    empty_module = nn.ModuleDict()
    for name in recipe.heads:
        if hasattr(empty_module, name):
            problems.faults.append(
                f"heads.{name}: torch modules already have an attribute {name!r}; give the head another name"
            )
            continue
        part = parts.get(f"heads.{name}")
        if part is None or (incomplete and part.asks_for("embedding_width") and "embedding_width" not in context):
            incomplete = True  # its fault is reported already, or follows from that of the speaker head
            continue
        head_context = context
        if recipe.heads[name].reads == "acoustic":
            head_context = context | {"frames": _as_frames(context.get("acoustic"))}
        with problems.at(f"heads.{name}"):
            heads[name] = head = _make_head(part, head_context, recipe.heads[name])
            if isinstance(head, SpeakerHead):
                context.setdefault("embedding_width", head.embedding_width)
        incomplete = incomplete or name not in heads
    return heads


def make_tracker(part: CheckedPart) -> PitchTracker:
    """Make a pitch tracker.

    Raises:
        ContractError: It cannot be made, or is something else.
    """
    tracker = part.make({})
    if not isinstance(tracker, PitchTracker):
        raise ContractError(
            f"pitch {part.entry.name!r} made a {type(tracker).__name__}, expected a vczoo.PitchTracker; report this to "
            "the author of the plugin"
        )
    return tracker


def _as_frames(acoustic: MelSpec | FrameSpec | None) -> FrameSpec | None:
    """Frame format of a vocoder's mels; None if the vocoder does not read mels."""
    if not isinstance(acoustic, MelSpec):
        return None
    return FrameSpec(acoustic.sample_rate_hz, acoustic.hop_length, acoustic.num_mels)


def _make_head(checked: CheckedPart, context: Mapping[str, Any], part: HeadPart) -> Head:
    """Build a head, and check that its kind allows its `reads` and `reverse`."""
    if part.reads == "acoustic" and context["frames"] is None:
        raise ContractError("reads: acoustic needs a vocoder that reads mels; remove reads, or choose such a vocoder")
    if part.reads == "acoustic" and part.reverse:
        raise ContractError(
            "reverse is only for heads that read content, but this one reads mels; remove reverse or reads"
        )
    head: Head = checked.make(context)
    check_declaration(head, KINDS)
    if part.reverse and isinstance(head, VoiceHead):
        raise ContractError(
            "reverse (gradient reversal) is only for speaker, label, text and frame heads; "
            f"{part.use} is a voice head. Remove reverse"
        )
    if part.reads == "acoustic" and not isinstance(head, SpeakerHead):
        raise ContractError(f"reads: acoustic is only for speaker heads; {part.use} reads content. Remove reads")
    return head


def make_network(
    parts: Mapping[str, CheckedPart], place: str, context: Mapping[str, Any], random: Collection[str]
) -> Any:
    """Build a backbone or vocoder, without its pretrained weights if its place is in `random`."""
    part = parts[place]
    if place in random and "weights" in part.options:
        part = CheckedPart(part.entry, part.factory, part.options | {"weights": "random"})
    return part.make(context)


def _failed_downloads(place: str, random: Collection[str]) -> tuple[type[VczooError], ...]:
    """The errors of a part that are not faults of the recipe."""
    return () if place in random else (WeightsError,)


def _check_vocoder(recipe: Recipe, backbone: Backbone, vocoder: Vocoder) -> None:
    if isinstance(vocoder.accepts, FrameSpec):
        check_contract(recipe.backbone.use, backbone.spec, str(recipe.vocoder and recipe.vocoder.use), vocoder.accepts)
