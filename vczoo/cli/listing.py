"""Tables of recipes, parts and plugins.

The functions return rows of text to print, or plain values for JSON. This module does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from vczoo.errors import VczooError
from vczoo.io.text import nearest
from vczoo.models.resolve import resolve
from vczoo.registry.discovery import CORE
from vczoo.registry.entry import Kind
from vczoo.registry.registration import Offer, tell_faults
from vczoo.registry.requirements import needed
from vczoo.registry.validation import flaws
from vczoo.registry.weights import choose_weights, is_weights_file
from vczoo.registry.zoo import Zoo, the_zoo

__all__ = ["download_of", "kind_rows", "part_rows", "plugin_facts", "plugin_row", "recipe_rows", "size_text"]

GROUPS = (
    "Ready to use: the model is inside the package",
    "Voice conversion: fine-tune first; recipes with kNN need only a voice",
    "Recognition of speakers, speech or labels",
    "Steps of making a model such as base",
)
STEPS = ("content-distil", "base-pretrain", "base-joint")
KINDS: dict[str, str] = {
    "backbone": "networks that turn a recording into content frames",
    "freezing": "strategies that decide what of the backbone or of another part trains",
    "head": "networks on top of the backbone: speakers, voices, text, labels",
    "vocoder": "networks that turn acoustic frames into a waveform",
    "pitch": "pitch trackers, which find the fundamental frequency of a voice",
    "metric": "figures of `vczoo evaluate`; its option --metric adds those of plugins",
    "watermark": "inaudible watermarks for converted files",
}


def recipe_rows(pattern: str = "*") -> list[dict[str, str]]:
    """One row per recipe: name, parts, license, distribution, missing plugins, group, download and summary.

    The recipes that are ready to use come first, and steps of making a model last.

    Args:
        pattern: Shell pattern of recipe names.
    """
    zoo = the_zoo()
    tell_faults(zoo.plugins)
    rows = []
    for file in zoo.recipes(pattern):
        group, download, summary = GROUPS[1], "?", ""
        try:
            values = resolve(file.name)
            group, download = _group(file.name, values), download_of(values)
            summary = " ".join(str(values.get("summary", "")).split())
            parts, licence = _parts_of(values), str(values.get("licence", "Apache-2.0"))
            needs = ", ".join(
                f"{name} ({need.word})" if need.word else name
                for name, need in needed(values).items()
                if name != file.distribution
            )
        except VczooError as error:  # one broken recipe must not hide the others
            parts, licence, needs = f"broken: {error}", "?", ""
        rows.append(
            {
                "recipe": file.name,
                "made of": parts,
                "licence": licence,
                "from": file.distribution,
                "needs": needs,
                "group": group,
                "download": download,
                "summary": summary,
            }
        )
    return sorted(rows, key=lambda row: GROUPS.index(row["group"]))


def part_rows(kind: str, pattern: str = "*") -> list[dict[str, str]]:
    """One row per part: name, kind, summary, weights, license, distribution, and the download of its first weights.

    Args:
        kind: Kind of parts to list, or "all".
        pattern: Shell pattern of part names.

    Raises:
        VczooError: There is no such kind.
    """
    kinds = get_args(Kind)
    if kind != "all" and kind not in kinds:
        valid = (*kinds, "all")
        raise VczooError(f"{kind!r} is not a kind of part{nearest(kind, valid)} Kinds: {', '.join(valid)}")
    zoo = the_zoo()
    tell_faults(zoo.plugins)
    return [
        {
            "part": zoo.use_of(entry, distribution),
            "kind": entry.kind,
            "what": entry.summary + (f" (replaced by {entry.replaced_by})" if entry.replaced_by else ""),
            "weights": ", ".join(weights.name for weights in entry.weights),
            "licence": entry.licence,
            "from": distribution,
            "download": size_text(entry.weights[0].size_bytes) if entry.weights else "offline",
        }
        for entry, distribution in zoo.entries(pattern=pattern)
        if kind in ("all", entry.kind)
    ]


def kind_rows() -> list[dict[str, str]]:
    """One row per kind of parts: what it does, and how many are installed."""
    zoo = the_zoo()
    return [
        {"kind": kind, "parts": str(len(zoo.entries(kind))), "what": KINDS[kind]}
        for kind in get_args(Kind)
        if zoo.entries(kind) or kind != "watermark"
    ]


def download_of(values: Mapping[str, Any]) -> str:
    """The size of the weights that a recipe downloads at first use: "offline" for nothing, "?" if it is not known.

    Args:
        values: The resolved recipe, as a mapping.
    """
    if values.get("start"):
        return "offline"
    sizes: list[int] = []
    for place in ("backbone", "teacher", "vocoder"):
        part = values.get(place)
        if not isinstance(part, Mapping):
            continue
        try:
            entry, tag = the_zoo().find("vocoder" if place == "vocoder" else "backbone", _use(part))
            weights = str(part.get("weights", tag or "pretrained"))
            if entry.weights and weights != "random" and not is_weights_file(weights):
                sizes.append(choose_weights(entry.name, weights, entry.weights).size_bytes)
        except VczooError:
            return "?"
    return size_text(sum(sizes)) if all(sizes) and sizes else "?" if sizes else "offline"


def size_text(size_bytes: int) -> str:
    """A size of a download as text; "?" if it is 0, which is unknown."""
    if not size_bytes:
        return "?"
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{max(1, round(size_bytes / 1e6))} MB"


def plugin_facts(zoo: Zoo) -> list[dict[str, Any]]:
    """Plain values for each plugin: where it comes from, what it registers, its state and the reasons for that."""
    rows = []
    for plugin in zoo.plugins:
        offer = plugin.offer
        path, editable = plugin.candidate.place() if plugin.candidate else ("", False)
        reasons = [plugin.fault] if plugin.fault else [*flaws(offer), *zoo.clashes(plugin), *_remarks(offer)]
        rows.append(
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "path": path or (str(Path(__file__).parents[2]) if plugin.distribution == CORE else ""),
                "editable": editable,
                "api": offer.api if offer else "",
                "entries": len(offer.entries) if offer else 0,
                "recipes": len(offer.recipes) if offer else 0,
                "seconds": round(offer.seconds, 4) if offer else 0.0,
                "state": "loaded, but" if plugin.state == "loaded" and reasons else plugin.state,
                "reasons": reasons,
            }
        )
    return rows


def plugin_row(facts: dict[str, Any]) -> dict[str, str]:
    """The facts of one plugin, from `plugin_facts`, as a row of text."""
    return {
        "plugin": facts["name"],
        "distribution": facts["distribution"],
        "version": facts["version"],
        "api": facts["api"] or "?",
        "parts": str(facts["entries"]),
        "recipes": str(facts["recipes"]),
        "state": facts["state"],
        "reason": "; ".join(facts["reasons"]),
        "where": facts["path"] + (" (editable)" if facts["editable"] else ""),
    }


def _group(name: str, values: Mapping[str, Any]) -> str:
    if name in STEPS:
        return GROUPS[3]
    if values.get("start"):
        return GROUPS[0]
    return GROUPS[1] if values.get("vocoder") else GROUPS[2]


def _remarks(offer: Offer | None) -> tuple[str, ...]:
    return offer.remarks if offer else ()


def _parts_of(values: dict[str, Any]) -> str:
    heads = values.get("heads")
    uses = [
        _use(values.get("backbone")),
        _freezing_of(values.get("freezing")),
        " + ".join(_use(head) for head in heads.values()) if isinstance(heads, dict) else "",
        _use(values.get("vocoder")),
        f"taught by {teacher}" if (teacher := _use(values.get("teacher"))) else "",
    ]
    return ", ".join(use for use in uses if use)


def _freezing_of(freezing: Any) -> str:
    """The strategy of the backbone, or all strategies by part: "backbone full, voice lora"."""
    values = freezing if isinstance(freezing, dict) else {}
    parts = {name: part for name, part in values.items() if name != "use" and isinstance(part, str | dict)}
    if not parts:
        return _use(freezing)
    if "backbone" not in parts:
        parts = {"backbone": str(values.get("use", "full")), **parts}
    return ", ".join(f"{name} {part if isinstance(part, str) else _use(part)}" for name, part in parts.items())


def _use(part: Any) -> str:
    return str(part.get("use", "?")) if isinstance(part, dict) else ""
