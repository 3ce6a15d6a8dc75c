"""Short recordings as data URIs, to be played in a page."""

from __future__ import annotations

import base64
from dataclasses import replace

from vczoo.audio.waveform import Waveform
from vczoo.io.temporary import temporary_folder
from vczoo.reporting.blocks import Player

__all__ = ["SECONDS", "excerpt", "player"]

SECONDS = 5.0  # of each recording: enough to know a voice, 20 to 30 kB
RATE_HZ = 24_000  # MP3 has only some rates


def excerpt(wave: Waveform) -> Waveform:
    """The first seconds of a recording, (1, S)."""
    return Waveform.of(wave.samples[:, : round(SECONDS * wave.sample_rate_hz)], wave.sample_rate_hz)


def player(label: str, wave: Waveform) -> Player:
    """A player of a recording (1, S) as MP3, which every browser plays. The file keeps the provenance mark."""
    sound = replace(wave.to("cpu").resample(RATE_HZ), mark=wave.mark)
    with temporary_folder("sound") as folder:
        content = sound.save(folder / "sound.mp3").read_bytes()
    return Player(label, f"data:audio/mpeg;base64,{base64.b64encode(content).decode()}", wave.seconds)
