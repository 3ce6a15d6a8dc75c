"""Plain YAML: text in, mappings, lists and scalars out, and back. No tag, no alias, no key twice, bounded size."""

from __future__ import annotations

from typing import Any

import yaml

from vczoo.errors import VczooError

__all__ = ["dump_plain", "merge", "parse_plain", "parse_value"]

LARGEST_TEXT = 4_000_000  # characters; a run with 10,000 voices has a tenth of that

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_plain(text: str, where: str) -> dict[str, Any]:
    """Parse a YAML document that holds one mapping with text for keys.

    Raises:
        VczooError: it is not YAML, holds an alias, tag or duplicate key, is too large, or is not a mapping.
    """
    if len(text) > LARGEST_TEXT:
        raise VczooError(f"{where}: {len(text)} characters, at most {LARGEST_TEXT} are read")
    try:
        node = yaml.compose(text, Loader=_Loader)
        _refuse(node, where, set())
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise VczooError(f"{where}: not YAML ({' '.join(str(error).split())})") from error
    except RecursionError as error:
        raise VczooError(f"{where}: nested too deeply to be a recipe") from error
    if not isinstance(value, dict):
        raise VczooError(f"{where}: a mapping `key: value` was expected, got {type(value).__name__}")
    return value


def parse_value(text: str) -> Any:
    """Parse the right side of `key=value` as YAML does: 3, 0.5, true, [1, 2], or text.

    Raises:
        VczooError: as `parse_plain`.
    """
    return parse_plain(f"value: {text}", f"value {text!r}")["value"]


def dump_plain(value: dict[str, Any]) -> str:
    """Write a mapping as YAML, in its own order."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another, key by key.

    A part that names another `use` replaces the part below it whole: options of the one mean nothing to the
    other. A key that is set to nothing (`key:` or `key: null`) goes away.
    """
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(old, dict) and value.get("use", old.get("use")) == old.get("use"):
            merged[key] = merge(old, value)
        else:
            merged[key] = value
    return merged


def _refuse(node: yaml.Node | None, where: str, seen: set[int]) -> None:
    """Refuse what a plain document does not have: aliases, tags of its own, keys twice or not text."""
    if node is None:
        return
    place = f"{where}, line {node.start_mark.line + 1}"
    if id(node) in seen:
        raise VczooError(f"{place}: an alias (*name); write the value out")
    seen.add(id(node))
    if not node.tag.startswith("tag:yaml.org,2002:"):
        raise VczooError(f"{place}: a tag ({node.tag}); plain values only")
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _refuse(child, where, seen)
    elif isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, child in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise VczooError(f"{where}, line {key.start_mark.line + 1}: key {key.value!r} is not text; quote it")
            if key.value in keys:
                raise VczooError(f"{where}, line {key.start_mark.line + 1}: key {key.value!r} stands twice")
            keys.add(key.value)
            _refuse(key, where, seen)
            _refuse(child, where, seen)
