"""Plain YAML of bounded size: mappings, lists and scalars, without tags, aliases or duplicate keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vczoo.errors import VczooError, shortened
from vczoo.io.files import open_file

__all__ = ["LARGEST_TEXT", "dump_plain", "merge", "parse_plain", "parse_value", "read_recipe_text"]

LARGEST_TEXT = 4_000_000  # characters; a run with 10,000 voices has a tenth of that
MOST_VALUES = 200_000  # keys, values and collections; a run with 10,000 voices has a fifth of that
LARGEST_RECIPE = 1_000_000  # bytes; a recipe has a thousandth of that
DEEPEST = 50  # levels; a recipe has five
LONGEST_KEY = 500  # characters; file names and speaker names are keys, too
LONGEST_NUMBER = 100  # characters; PyYAML takes a minute to parse a megabyte of 1:1:1:…, a base-60 number
PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")}
NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_recipe_text(path: Path) -> str:
    """Read the text of a recipe's file. It is not read further than a recipe may be long.

    Raises:
        OSError: the file cannot be read, or is not a regular file.
        UnicodeDecodeError: it is not UTF-8.
        VczooError: it is too large.
    """
    with open_file(path) as file:
        content = file.read(LARGEST_RECIPE + 1)
    if len(content) > LARGEST_RECIPE:
        raise VczooError(f"{path}: more than {LARGEST_RECIPE} bytes, so it is not a recipe; a recipe is a YAML file")
    return content.decode()


def parse_plain(text: str, where: str) -> dict[str, Any]:
    """Parse a YAML document that holds one mapping with text keys.

    Args:
        text: The YAML text.
        where: Name of the source, for errors.

    Raises:
        VczooError: the text is not YAML or not a mapping, is too large or too deeply nested, or has an alias, a tag, a
            date or a duplicate key.
    """
    if len(text) > LARGEST_TEXT:
        raise VczooError(f"{where}: {len(text)} characters, but the limit is {LARGEST_TEXT}")
    try:
        _check_size(text, where)
        loader = _Loader(text)
        node = loader.get_single_node()
        _check_plain(node, where, set())
        value = loader.construct_document(node) if node else None
    # PyYAML raises ValueError or KeyError for `!!int x`, `!!bool x`, 5,000 digits and lone surrogates.
    except (yaml.YAMLError, ValueError, KeyError) as error:
        raise VczooError(f"{where}: not YAML ({' '.join(str(error)[:1000].split())})") from error
    if not isinstance(value, dict):
        raise VczooError(f"{where}: expected a mapping `key: value`, got {type(value).__name__}")
    return value


def parse_value(text: str) -> Any:
    """Parse the right side of `key=value` as YAML: 3, 0.5, true, [1, 2], or text.

    Raises:
        VczooError: as for `parse_plain`, or the text has more than one value.
    """
    values = parse_plain(f"value: {text}", f"value {text!r}")
    if len(values) > 1:
        raise VczooError(f"value {text!r}: expected one value, got several keys")
    return values["value"]


def dump_plain(value: dict[str, Any]) -> str:
    """Format a mapping as YAML, with its keys in their own order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """A SafeDumper that quotes Unicode line breaks, which SafeDumper writes raw and which are read back as spaces."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if set(text) & set("\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merge two mappings key by key. Values of `above` take precedence.

    A part with a different `use` replaces the part below it entirely, since the options of one part mean nothing to
    another. A key without a value (`key:` or `key: null`) is removed.
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


def _check_size(text: str, where: str) -> None:
    """Raise VczooError if the nesting is too deep or there are too many values.

    This works on parser events, since composing 100,000 levels overflows the C stack and ends the process, and a
    million values take a gigabyte.
    """
    depth = count = 0
    event: Any  # the type stubs lack the C parser's marks
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


def _check_plain(node: yaml.Node | None, where: str, seen: set[int]) -> None:
    """Raise VczooError at an alias, a tag, an overlong number, a duplicate key or a key that is not text."""
    if node is None:
        return

    def line_of(node: yaml.Node) -> str:
        return f"{where}, line {node.start_mark.line + 1}"

    line = line_of(node)
    if id(node) in seen:
        raise VczooError(f"{line}: an alias (*name) is not allowed; write the value out")
    seen.add(id(node))
    if node.tag not in PLAIN_TAGS:
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        raise VczooError(f"{line}: a tag or a date ({_short(kind)}) is not allowed; if the value is text, quote it")
    if node.tag in NUMBERS and len(node.value) > LONGEST_NUMBER:
        raise VczooError(
            f"{line}: a number of {len(node.value)} characters, but the limit is {LONGEST_NUMBER}; "
            "if it is text, quote it"
        )
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _check_plain(child, where, seen)
    elif isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, child in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise VczooError(f"{line_of(key)}: key {_short(key.value)!r} is not text; quote it")
            if len(key.value) > LONGEST_KEY or not key.value.isprintable():
                raise VczooError(
                    f"{line_of(key)}: key {_short(key.value)!r} has unprintable characters or more than {LONGEST_KEY} "
                    "characters"
                )
            if key.value in keys:
                raise VczooError(f"{line_of(key)}: key {_short(key.value)!r} appears twice")
            keys.add(key.value)
            _check_plain(key, where, seen)
            _check_plain(child, where, seen)


def _short(value: object) -> str:
    return shortened(str(value), 80)
