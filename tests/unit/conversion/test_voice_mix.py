"""Mixes: what is written in, shares by name out, and every way to write one wrongly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from vczoo.conversion.voice_mix import read_mix, read_references
from vczoo.errors import AudioError, VoiceError

KNOWN = ("alice", "bob", "take:2", "a, b", "carol:0.5")


@pytest.mark.parametrize(
    ("voice", "shares"),
    [
        ("alice", {"alice": 1.0}),
        ("alice:1", {"alice": 1.0}),
        ("alice:0.7,bob:0.3", {"alice": 0.7, "bob": 0.3}),
        (" bob : 0.25 , alice : .75 ", None),  # spaces inside a pair belong to the name
        ("bob:0.25, alice:.75", {"bob": 0.25, "alice": 0.75}),
        ("alice:7e-1,bob:0.3", {"alice": 0.7, "bob": 0.3}),
        ("take:2", {"take:2": 1.0}),  # a voice of that name, not a mix of twice "take"
        ("take:2:0.5,alice:0.5", {"take:2": 0.5, "alice": 0.5}),
        ("carol:0.5", {"carol:0.5": 1.0}),
        ({"alice": 0.5, "a, b": 0.5}, {"alice": 0.5, "a, b": 0.5}),
        ({"bob": 1}, {"bob": 1}),
        ("alice:.333,bob:.333,take:2:.333", {"alice": 0.333, "bob": 0.333, "take:2": 0.333}),
    ],
)
def test_what_is_written_is_what_is_meant(voice: str | Mapping[str, float], shares: Mapping[str, float] | None) -> None:
    if shares is None:
        with pytest.raises(VoiceError, match="no voice is called 'bob '; did you mean 'bob'"):
            read_mix(voice, KNOWN)
    else:
        assert read_mix(voice, KNOWN) == shares


@pytest.mark.parametrize(
    ("voice", "part"),
    [
        ("alicia", "no voice is called 'alicia'; did you mean 'alice'"),
        ("alice:0.5,bop:0.5", "no voice is called 'bop'; did you mean 'bob'"),
        ({"alice": 0.5, "bop": 0.5}, "no voice is called 'bop'; did you mean 'bob'"),
        ("alice:0.7,bob:0.2", "add up to 1, got alice:0.7, bob:0.2, which add up to 0.9"),
        ("alice:0.7,bob:0.4", "which add up to 1.1"),
        ({"alice": 2, "bob": -1}, "above 0 and add up to 1, got alice:2, bob:-1, which add up to 1"),
        ({"alice": 1, "bob": 0}, "above 0"),
        ({"alice": math.nan, "bob": 1}, "which add up to nan"),
        ({"alice": math.inf}, "which add up to inf"),
        ({}, "got no voice"),
        ("alice:0.5,alice:0.5", "voice 'alice' is named twice"),
        ("alice:0.5,bob", "'bob' is not NAME:SHARE"),
        ("alice:much", "'alice:much' is not NAME:SHARE"),
        (":1", "':1' is not NAME:SHARE"),
        ("alice:0.5,", "'' is not NAME:SHARE"),
        ("alice,bob", "no voice is called 'alice,bob'"),
    ],
)
def test_what_is_written_wrongly_is_told(voice: str | Mapping[str, float], part: str) -> None:
    with pytest.raises(VoiceError) as error:
        read_mix(voice, KNOWN)
    assert part in str(error.value)


def test_without_a_voice_enrolment_is_named() -> None:
    with pytest.raises(VoiceError, match=r"no voice is called 'alice'\. It has no voice yet\. `enroll` adds one"):
        read_mix("alice", ())


def test_of_many_voices_some_are_listed() -> None:
    with pytest.raises(VoiceError, match=r"v0, v1, .*v11 …\. `enroll`"):
        read_mix("nobody", [f"v{index}" for index in range(30)])


def test_without_a_choice_the_only_voice_is_taken() -> None:
    assert read_mix(None, ["alice"]) == {"alice": 1.0}
    with pytest.raises(VoiceError, match=r"name the voice to convert to, .*\. Voices: alice, bob\."):
        read_mix(None, ["alice", "bob"])
    with pytest.raises(VoiceError, match="It has no voice yet"):
        read_mix(None, ())


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("me.wav", "alice/1.wav", "alice/2.FLAC", "alice/notes.txt", "alice/.3.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("voice", "shares", "references"),
    [
        ("alice", {"alice": 1.0}, {}),  # the voice, though a folder has its name
        ("me.wav", {"me.wav": 1.0}, {"me.wav": Path("me.wav")}),
        (Path("me.wav"), {"me.wav": 1.0}, {"me.wav": Path("me.wav")}),
        ("./alice", {"alice (recording)": 1.0}, {"alice (recording)": Path("alice")}),
        (Path("alice"), {"alice (recording)": 1.0}, {"alice (recording)": Path("alice")}),
        ("bob:0.5,me.wav:0.5", {"bob": 0.5, "me.wav": 0.5}, {"me.wav": Path("me.wav")}),
        ({"bob": 0.5, "./me.wav": 0.5}, {"bob": 0.5, "me.wav": 0.5}, {"me.wav": Path("me.wav")}),
        (None, {"alice": 1.0}, {}),
    ],
)
def test_recordings_stand_in_for_voices(  # type: ignore[no-untyped-def]
    desk: Path, voice, shares: dict[str, float], references: dict[str, Path]
) -> None:
    assert read_references(voice, ["alice"] if voice is None else KNOWN) == (shares, references)


def test_a_recording_that_is_missing_is_told_with_the_voices(desk: Path) -> None:
    for voice in ("you.wav", "who/you", Path("you")):
        with pytest.raises(
            AudioError, match=r"no such recording or folder, and no voice has that name\. Voices: alice,"
        ):
            read_references(voice, KNOWN)
    with pytest.raises(VoiceError, match=r"add up to 1, got me\.wav:0\.7"):
        read_references("me.wav:0.7", KNOWN)


def test_composed_and_decomposed_names_are_one() -> None:
    composed, decomposed = "Jos\u00e9", "Jose\u0301"
    assert read_mix(decomposed, [composed]) == {composed: 1.0}
    assert read_mix(f"{composed}:0.5,bob:0.5", [decomposed, "bob"]) == {decomposed: 0.5, "bob": 0.5}
