from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vczoo.errors import VczooError
from vczoo.io.plain_yaml import dump_plain, merge, parse_plain, parse_value


def test_a_mapping_of_plain_values_is_read_and_written_in_its_order() -> None:
    text = "b: 1\na: [true, null, 0.5, text]\nc:\n  d: {e: f}\n"
    values = parse_plain(text, "here")
    assert values == {"b": 1, "a": [True, None, 0.5, "text"], "c": {"d": {"e": "f"}}}
    assert list(values) == ["b", "a", "c"]
    assert parse_plain(dump_plain(values), "there") == values
    assert list(parse_plain(dump_plain(values), "there")) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: &x [1]\nb: *x\n", "line 1: an alias"),
        ("a: !!python/object/apply:os.system [ls]", "a tag"),
        ("a: !vczoo 1", "a tag or a date (!vczoo) is not allowed"),
        ("a: !!set {x}", "a tag or a date (set)"),
        ("a: !!binary aGk=", "(binary)"),
        ("day: 2026-01-02", "(timestamp) is not allowed; if the value is text, quote it"),
        ("day: 2026-13-45", "(timestamp)"),
        ("a: 1\nb: 2\na: 3", "line 3: key 'a' appears twice"),
        ("a: {b: 1, b: 2}", "key 'b' appears twice"),
        ("a: 1\n<<: {b: 2}", "line 2: key '<<' is not text"),
        ("on: 1", "key 'on' is not text; quote it"),
        ("1: 2", "key '1' is not text"),
        ("[a]: 2", "is not text"),
        ("- a\n- b", "expected a mapping `key: value`, got list"),
        ("text", "got str"),
        ("", "got NoneType"),
        ("a: [1, 2", "not YAML"),
        ("a: !!bool x", "not YAML"),
        ("a: !!int x", "not YAML"),
        ("a: " + "1" * 5000, "a number of 5000 characters"),
        ("a: \ud800", "not YAML"),
        ("a: \x00", "not YAML"),
        ("a: 1\n---\nb: 2", "not YAML"),
    ],
)
def test_what_a_plain_document_does_not_have_is_refused(text, part) -> None:
    with pytest.raises(VczooError) as error:
        parse_plain(text, "here.yaml")
    assert str(error.value).startswith("here.yaml")
    assert part in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 1_000_000,  # composing it would end the process: libyaml's Python side recurses in C
        "a: " + "[" * 200 + "]" * 200,
        "a: " + "{b: " * 100_000,
        "a:\n  " + "- " * 100_000 + "1",
        "\n".join(" " * depth + "a:" for depth in range(1000)),
    ],
    ids=["open", "closed", "mappings", "items", "indented"],
)
def test_deep_nesting_is_refused(text) -> None:
    with pytest.raises(VczooError, match=r"nested deeper than 50 levels|exceeded maximum nesting depth"):
        parse_plain(text, "here")


def test_forty_levels_are_read() -> None:
    value = parse_plain("a: " + "[" * 40 + "]" * 40, "here")["a"]
    for _ in range(39):
        (value,) = value
    assert value == []


def test_a_large_document_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(VczooError, match="here: 4000003 characters, but the limit is 4000000"):
        parse_plain("a: " + "x" * 4_000_000, "here")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("null", None),
        ("", None),
        ("[1, 2]", [1, 2]),
        ("{a: 1}", {"a": 1}),
        ("'3'", "3"),
        ("C:\\weights.safetensors", "C:\\weights.safetensors"),
        ("two words", "two words"),
    ],
)
def test_the_right_side_of_an_override(text, value) -> None:
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("text", ["[1, 2", "a: b", "3\nother: 4", "*x", "!x 1", "2026-01-02"])
def test_a_bad_right_side_is_refused_with_the_text(text) -> None:
    with pytest.raises(VczooError) as error:
        parse_value(text)
    assert repr(text) in str(error.value)


def test_merge_goes_key_by_key_and_changes_neither_side() -> None:
    below = {"a": 1, "b": {"c": 2, "d": {"e": 3}}}
    above = {"b": {"d": {"f": 4}}, "g": 5}
    assert merge(below, above) == {"a": 1, "b": {"c": 2, "d": {"e": 3, "f": 4}}, "g": 5}
    assert below == {"a": 1, "b": {"c": 2, "d": {"e": 3}}}
    assert above == {"b": {"d": {"f": 4}}, "g": 5}


def test_another_use_replaces_the_part_whole() -> None:
    below = {"voice": {"use": "mel-decoder", "width": 64}}
    assert merge(below, {"voice": {"use": "knn", "k": 2}}) == {"voice": {"use": "knn", "k": 2}}
    assert merge(below, {"voice": {"use": "mel-decoder", "blocks": 2}}) == {
        "voice": {"use": "mel-decoder", "width": 64, "blocks": 2}
    }
    assert merge(below, {"voice": {"width": 32}}) == {"voice": {"use": "mel-decoder", "width": 32}}


def test_null_takes_a_key_away() -> None:
    below = {"heads": {"speaker": {"use": "a"}, "voice": {"use": "b"}}, "vocoder": {"use": "c"}}
    assert merge(below, {"heads": {"voice": None}, "vocoder": None, "absent": None}) == {
        "heads": {"speaker": {"use": "a"}}
    }


keys = st.text(max_size=6).filter(str.isprintable)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.dictionaries(keys, plain, max_size=4))
def test_whatever_is_written_is_read_again(values) -> None:
    assert parse_plain(dump_plain(values), "here") == values
