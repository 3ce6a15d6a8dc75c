"""Names: real ones are allowed, those that a file, a terminal or a reader would mistake are not."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest

from vczoo.io.names import as_name, composed, file_stem, name_fault, name_key

REAL = [
    "alice",
    "O'Neill-Smith, Jr.",
    "Jean\u00a0Luc",
    "\u7530\u4e2d\u3000\u592a\u90ce",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\u0915\u094d\u200d\u0937",
    "\U0001f3a4",
    "me.wav (recording)",
    "a:b",
    "x" * 200,
]
FAULTY = {
    "": "the name is empty",
    " \u3000": "the name is empty",
    "..": "has only dots, spaces and joiners",
    ".\u200d": "has only dots, spaces and joiners",
    "../../escaped/x": "holds a slash",
    "a\\b": "holds a backslash",
    "a\nb": "holds a control character U+000A",
    "a\0b": "holds a control character U+0000",
    "a\x1b[2J": "holds a control character U+001B",
    "a\u202eb": r"holds the invisible or unassigned character U+202E (RIGHT-TO-LEFT OVERRIDE)",
    "a\u2066b": "U+2066 (LEFT-TO-RIGHT ISOLATE)",
    "a\u200fb": "U+200F (RIGHT-TO-LEFT MARK)",
    "a\u00adb": "U+00AD (SOFT HYPHEN)",
    "a\u2028b": "U+2028 (LINE SEPARATOR)",
    "a\ue000b": "U+E000",
    "a\ud800b": "half a surrogate pair U+D800",
    f"a{chr(0xDCFF)}b": "holds a byte that is not UTF-8",
    "x" * 201: "has 201 characters, and at most 200 are allowed",
}


@pytest.mark.parametrize("name", REAL)
def test_real_names(name: str) -> None:
    assert name_fault(name) == ""
    assert as_name(name) == name


@pytest.mark.parametrize("name", FAULTY)
def test_what_is_no_name_is_described(name: str) -> None:
    fault = name_fault(name)
    assert FAULTY[name] in fault
    assert fault.isprintable()
    assert name_fault(as_name(name)) == ""


def test_names_that_look_alike() -> None:
    keys = {name_key(name) for name in ("Jos\u00e9 A", "jose\u0301\u00a0a", " JOS\u00c9\u3000 A ", "jos\u200c\u00e9 a")}
    assert len(keys) == 1
    assert name_key("jose a") not in keys
    assert composed("Jose\u0301 ") == "Jos\u00e9"


@pytest.mark.parametrize("text", [*REAL, *FAULTY, ".hidden", "C:\\x", "x" * 5000, "\U0001f3a4" * 300, "-rf", "a/../b"])
def test_a_file_name_is_one_part_of_a_path_and_not_too_long(text: str) -> None:
    stem = file_stem(text)
    for flavor in (PurePosixPath, PureWindowsPath):
        path = flavor("out") / f"{stem}.wav"
        assert path.parent == flavor("out")
        assert path.name == f"{stem}.wav"
    assert 0 < len(f"{stem}.wav".encode()) <= 204
    assert not stem.startswith(".")


def test_a_file_name_keeps_what_is_harmless() -> None:
    assert file_stem("Jos\u00e9-0-as-woman-1") == "Jos\u00e9-0-as-woman-1"
    assert file_stem("../../escaped/x-0-as-p226") == "_._.._escaped_x-0-as-p226"
