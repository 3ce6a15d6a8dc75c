"""Plain YAML: text in, mappings, lists and scalars out, and back. No tag, no alias, no key twice, bounded size."""

from __future__ import annotations

from typing import Any

import yaml

from vczoo.errors import VczooError

__all__ = ["LARGEST_TEXT", "dump_plain", "merge", "parse_plain", "parse_value"]

LARGEST_TEXT = 4_000_000  # characters; a run with 10,000 voices has a tenth of that
MOST_VALUES = 200_000  # keys, values and collections; a run with 10,000 voices has a fifth of that
DEEPEST = 50  # levels; a recipe has five
LONGEST_KEY = 500  # characters; names of files and of speakers are keys, too
LONGEST_NUMBER = 100  # characters; PyYAML takes a minute for a megabyte of 1:1:1:…, a number of base 60
PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")}
NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_plain(text: str, where: str) -> dict[str, Any]:
    """Parse a YAML document that holds one mapping with text for keys.

    Raises:
        VczooError: it is not YAML, holds an alias, tag, date or duplicate key, is too large or too deep, or is not
            a mapping.
    """
    if len(text) > LARGEST_TEXT:
        raise VczooError(f"{where}: {len(text)} characters, at most {LARGEST_TEXT} are read")
    try:
        _refuse_size(text, where)
        loader = _Loader(text)
        node = loader.get_single_node()
        _refuse(node, where, set())
        value = loader.construct_document(node) if node else None
    # PyYAML lets ValueError and KeyError pass for `!!int x`, `!!bool x`, 5,000 digits and lone surrogates.
    except (yaml.YAMLError, ValueError, KeyError) as error:
        raise VczooError(f"{where}: not YAML ({' '.join(str(error)[:1000].split())})") from error
    if not isinstance(value, dict):
        raise VczooError(f"{where}: a mapping `key: value` was expected, got {type(value).__name__}")
    return value


def parse_value(text: str) -> Any:
    """Parse the right side of `key=value` as YAML does: 3, 0.5, true, [1, 2], or text.

    Raises:
        VczooError: as `parse_plain`.
    """
    found = parse_plain(f"value: {text}", f"value {text!r}")
    if len(found) > 1:
        raise VczooError(f"value {text!r}: several lines; one value was expected")
    return found["value"]


def dump_plain(value: dict[str, Any]) -> str:
    """Write a mapping as YAML, in its own order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """SafeDumper, but for Unicode's own line breaks: it would write them raw, and they are read as spaces."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if set(text) & set("\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


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


def _refuse_size(text: str, where: str) -> None:
    """Refuse deep nesting and too many values event by event: composing 100,000 levels overflows the C stack and ends
    the process, and a million values take a gigabyte.
    """
    depth = count = 0
    event: Any  # the stubs know no mark of the C parser's
    for event in yaml.parse(text, Loader=_Loader):
        count += isinstance(event, yaml.NodeEvent)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise VczooError(f"{where}, line {event.start_mark.line + 1}: nested deeper than {DEEPEST} levels")
        if count > MOST_VALUES:
            raise VczooError(f"{where}, line {event.start_mark.line + 1}: more than {MOST_VALUES} values")


def _refuse(node: yaml.Node | None, where: str, seen: set[int]) -> None:
    """Refuse what a plain document does not have: aliases, tags of its own, keys twice or not text."""
    if node is None:
        return

    def place_of(node: yaml.Node) -> str:
        return f"{where}, line {node.start_mark.line + 1}"

    place = place_of(node)
    if id(node) in seen:
        raise VczooError(f"{place}: an alias (*name); write the value out")
    seen.add(id(node))
    if node.tag not in PLAIN_TAGS:
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        raise VczooError(f"{place}: a tag or a date ({_short(kind)}); plain values only, in quotes where they are text")
    if node.tag in NUMBERS and len(node.value) > LONGEST_NUMBER:
        raise VczooError(f"{place}: a number of {len(node.value)} characters; quote it where it is text")
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _refuse(child, where, seen)
    elif isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, child in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise VczooError(f"{place_of(key)}: key {_short(key.value)!r} is not text; quote it")
            if len(key.value) > LONGEST_KEY or not key.value.isprintable():
                raise VczooError(
                    f"{place_of(key)}: key {_short(key.value)!r} does not print, or has over {LONGEST_KEY} characters"
                )
            if key.value in keys:
                raise VczooError(f"{place_of(key)}: key {_short(key.value)!r} stands twice")
            keys.add(key.value)
            _refuse(key, where, seen)
            _refuse(child, where, seen)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
