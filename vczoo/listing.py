"""What the zoo holds, as rows of text for people. Imports no torch."""

from __future__ import annotations

from typing import Any, get_args

from vczoo.entry import Kind
from vczoo.errors import VczooError, nearest
from vczoo.recipe_text import resolve
from vczoo.zoo import Zoo, the_zoo

__all__ = ["part_rows", "plugin_rows", "recipe_rows"]


def recipe_rows(pattern: str = "*") -> list[dict[str, str]]:
    """A row a recipe: name, what it is made of, licence, where it comes from, and what it needs that is absent."""
    zoo = the_zoo()
    rows = []
    for file in zoo.recipes(pattern):
        try:
            values = resolve(file.name)
            made, licence = _made_of(values), str(values.get("licence", "Apache-2.0"))
            origin = file.distribution + _lacking(zoo, values)
        except VczooError as error:  # one broken recipe must not hide the others
            made, licence, origin = f"broken: {error}", "?", file.distribution
        rows.append({"recipe": file.name, "made of": made, "licence": licence, "from": origin})
    return rows


def part_rows(kind: str, pattern: str = "*") -> list[dict[str, str]]:
    """A row a part of one kind, or of "all": name, kind, summary, its weights, licence, where it comes from.

    Raises:
        VczooError: there is no such kind.
    """
    kinds = get_args(Kind)
    if kind != "all" and kind not in kinds:
        valid = (*kinds, "all")
        raise VczooError(f"{kind!r} is no kind of part{nearest(kind, valid)} Kinds: {', '.join(valid)}")
    return [
        {
            "part": entry.name,
            "kind": entry.kind,
            "what": entry.summary,
            "weights": ", ".join(weights.name for weights in entry.weights),
            "licence": entry.licence,
            "from": distribution,
        }
        for entry, distribution in the_zoo().entries(pattern=pattern)
        if kind in ("all", entry.kind)
    ]


def plugin_rows() -> list[dict[str, str]]:
    """A row a plugin: name, distribution, version, and whether it loads."""
    return [
        {
            "plugin": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "state": plugin.fault or "loaded",
        }
        for plugin in the_zoo().plugins
    ]


def _made_of(values: dict[str, Any]) -> str:
    heads = values.get("heads") or {}
    uses = [
        _use(values.get("backbone")),
        _use(values.get("freezing")),
        " + ".join(_use(head) for head in heads.values()),
        _use(values.get("vocoder")),
    ]
    return ", ".join(use for use in uses if use)


def _use(part: Any) -> str:
    return str(part.get("use", "?")) if isinstance(part, dict) else ""


def _lacking(zoo: Zoo, values: dict[str, Any]) -> str:
    """The plugin that a recipe's backbone needs and that is not installed, in brackets."""
    try:
        zoo.find("backbone", _use(values.get("backbone")))
    except VczooError:
        prefix = _use(values.get("backbone")).partition("/")[0]
        return f" (needs vczoo-{prefix})"
    return ""
