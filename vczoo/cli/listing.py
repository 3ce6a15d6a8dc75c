"""Tables of recipes, parts and plugins.

The functions return rows of text to print, or plain values for JSON. This module does not import torch.
"""

from __future__ import annotations

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
from vczoo.registry.zoo import Zoo, the_zoo

__all__ = ["part_rows", "plugin_facts", "plugin_row", "recipe_rows"]


def recipe_rows(pattern: str = "*") -> list[dict[str, str]]:
    """One row per recipe: name, parts, license, distribution, and the other plugins that it needs.

    Args:
        pattern: Shell pattern of recipe names.
    """
    zoo = the_zoo()
    tell_faults(zoo.plugins)
    rows = []
    for file in zoo.recipes(pattern):
        try:
            values = resolve(file.name)
            parts, licence = _parts_of(values), str(values.get("licence", "Apache-2.0"))
            needs = ", ".join(
                f"{name} ({need.word})" if need.word else name
                for name, need in needed(values).items()
                if name != file.distribution
            )
        except VczooError as error:  # one broken recipe must not hide the others
            parts, licence, needs = f"broken: {error}", "?", ""
        rows.append(
            {"recipe": file.name, "made of": parts, "licence": licence, "from": file.distribution, "needs": needs}
        )
    return rows


def part_rows(kind: str, pattern: str = "*") -> list[dict[str, str]]:
    """One row per part: name, kind, summary, weights, license and distribution.

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
        }
        for entry, distribution in zoo.entries(pattern=pattern)
        if kind in ("all", entry.kind)
    ]


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


def _remarks(offer: Offer | None) -> tuple[str, ...]:
    return offer.remarks if offer else ()


def _parts_of(values: dict[str, Any]) -> str:
    heads = values.get("heads")
    uses = [
        _use(values.get("backbone")),
        _use(values.get("freezing")),
        " + ".join(_use(head) for head in heads.values()) if isinstance(heads, dict) else "",
        _use(values.get("vocoder")),
        f"taught by {teacher}" if (teacher := _use(values.get("teacher"))) else "",
    ]
    return ", ".join(use for use in uses if use)


def _use(part: Any) -> str:
    return str(part.get("use", "?")) if isinstance(part, dict) else ""
