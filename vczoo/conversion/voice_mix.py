"""Voice mixes: parsing `alice:0.7,me.wav:0.3` or a mapping, and checking the names, recordings and shares."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Mapping
from pathlib import Path

from vczoo.audio.reader import AUDIO_SUFFIXES
from vczoo.errors import AudioError, VoiceError
from vczoo.io.names import LONGEST_NAME, as_name
from vczoo.io.text import nearest

__all__ = ["VoiceChoice", "read_mix", "read_references"]

VoiceChoice = str | os.PathLike[str] | Mapping[str, float] | None

SUM_TOLERANCE = 1e-3  # so that 0.33, 0.33 and 0.34 pass, and 0.333 three times
SHOWN = 12  # voices in a message


def read_mix(voice: str | Mapping[str, float] | None, voices: Collection[str]) -> dict[str, float]:
    """Parse a voice or a mix into the share of each voice.

    Args:
        voice: Name of a voice, a mix as text ("alice:0.7,bob:0.3") or a mapping of names to shares. Text that is the
            name of a voice is taken as that name, even if it has colons. None is the only voice.
        voices: Names of the existing voices.

    Raises:
        VoiceError: A voice does not exist or is named twice, the shares are not above 0 or do not add up to 1, or
            `voice` is None and there is not exactly one voice.
    """
    shares = _written_shares(voice, voices)
    spelled = {_nfc(name): name for name in voices}
    shares = {spelled.get(_nfc(name), name) if name not in voices else name: share for name, share in shares.items()}
    for name in shares:
        if name not in voices:
            folder = f"; for the folder of that name, write ./{name}" if os.path.isdir(name) else ""
            raise VoiceError(
                f"no voice is called {name!r}{nearest(name, voices)} {_choices(voices)} `enroll` adds one from "
                f"recordings, and a recording of somebody can be the voice itself{folder}"
            )
    total = sum(shares.values())
    if not all(share > 0 for share in shares.values()) or not abs(total - 1) <= SUM_TOLERANCE:
        mix = ", ".join(f"{name}:{share:g}" for name, share in shares.items())
        raise VoiceError(
            f"the shares of a mix must be above 0 and add up to 1, got {mix or 'no voice'}, which add up to {total:g}"
        )
    return shares


def read_references(voice: VoiceChoice, voices: Collection[str]) -> tuple[dict[str, float], dict[str, Path]]:
    """Parse a voice or a mix that may name recordings instead of voices.

    A path is always a recording, or a folder of recordings of one person. Text is one if no voice has that name, and it
    has a slash or the suffix of a sound file, or a file of that name exists. A folder here is therefore ./NAME.

    Args:
        voice: A voice as for `read_mix`, in which recordings may take the place of names; or a path.
        voices: Names of the existing voices.

    Returns:
        The share of each voice, and the recording or folder of those voices that are yet to be enrolled, by the name of
        the file or folder.

    Raises:
        VoiceError: As for `read_mix`.
        AudioError: There is no such recording or folder.
    """
    by_path = isinstance(voice, os.PathLike)
    written = {os.fspath(voice): 1.0} if isinstance(voice, os.PathLike) else _written_shares(voice, voices)
    shares: dict[str, float] = {}
    references: dict[str, Path] = {}
    for name, share in written.items():
        if by_path or (_nfc(name) not in {_nfc(known) for known in voices} and _is_path(name)):
            path = Path(name).expanduser()
            if not path.exists():
                raise AudioError(f"{name}: no such recording or folder, and no voice has that name. {_choices(voices)}")
            name = _label(path, {*voices, *references})
            references[name] = path
        shares[name] = share
    return read_mix(shares, [*voices, *references]), references


def _written_shares(voice: str | Mapping[str, float] | None, voices: Collection[str]) -> dict[str, float]:
    if voice is None:
        if len(voices) != 1:
            raise VoiceError(f"name the voice to convert to, or a recording of it. {_choices(voices)}")
        return dict.fromkeys(voices, 1.0)
    if not isinstance(voice, str):
        return dict(voice)
    if _nfc(voice) in map(_nfc, voices) or ":" not in voice or os.path.exists(voice):  # a path may have colons
        return {voice: 1.0}
    return _parse(voice)


def _choices(voices: Collection[str]) -> str:
    few = list(voices)[:SHOWN]
    return f"Voices: {', '.join(few)}{' …' * (len(voices) > SHOWN)}." if few else "It has no voice yet."


def _is_path(name: str) -> bool:
    # Not Path.is_file, which raises for names that are too long.
    return os.path.isfile(name) or "/" in name or os.sep in name or Path(name).suffix.lower() in AUDIO_SUFFIXES


def _label(path: Path, taken: Collection[str]) -> str:
    """Name of the voice of a recording: that of the file, without its folders, which are nobody's business."""
    name = label = as_name(path.resolve().name or "recording")
    again = 1
    while label in taken:
        label = f"{name[: LONGEST_NAME - 30]} (recording{f' {again}' if again > 1 else ''})"
        again += 1
    return label


def _parse(text: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.strip().rpartition(":")
        try:
            share = float(number)
        except ValueError:
            name = ""
        if not name:
            raise VoiceError(f"{text!r}: a mix is written alice:0.7,bob:0.3; {part.strip()!r} is not NAME:SHARE")
        if name in shares:
            raise VoiceError(f"{text!r}: voice {name!r} is named twice; give its whole share once")
        shares[name] = share
    return shares


def _nfc(name: str) -> str:
    """The composed form of a name, since file systems and keyboards may decompose it."""
    return unicodedata.normalize("NFC", name)
