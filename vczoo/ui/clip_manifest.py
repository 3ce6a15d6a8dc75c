"""Manifest of the clips that a page tunes on: cut at pauses, with the last pieces held out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from vczoo.audio.waveform import Waveform
from vczoo.data.pauses import cut_at_pauses
from vczoo.errors import CorpusError
from vczoo.io.files import write_text
from vczoo.io.text import counted

__all__ = ["write_manifest"]

HELD_OUT = 0.15  # of the pieces: enough to judge by, and speech is scarce. None is for a test, which nobody would read
FEWEST = 3


def write_manifest(clips: Sequence[Path], speaker: str, out: Path) -> Path:
    """Write a manifest of clips of one speaker.

    Args:
        clips: The clips.
        speaker: The speaker.
        out: The .jsonl file to write.

    Returns:
        The path of the file.

    Raises:
        CorpusError: There are fewer than three pieces.
        AudioError: A clip cannot be read.
    """
    pieces = [(clip, start, end) for clip in clips for start, end in cut_at_pauses(Waveform.read(clip))]
    if len(pieces) < FEWEST:
        raise CorpusError(
            f"too little speech to tune on: {counted(len(pieces), 'piece')} between pauses, {FEWEST} are the least. "
            "Add clips; half a minute is a beginning, and more than a minute is better"
        )
    held_out = max(1, round(HELD_OUT * len(pieces)))
    rows = [
        {
            "path": str(clip.absolute()),
            "speaker": speaker,
            "split": "train" if number < len(pieces) - held_out else "validation",
            "start": start,
            "end": end,
        }
        for number, (clip, start, end) in enumerate(pieces)
    ]
    write_text(out, "".join(json.dumps(row) + "\n" for row in rows))
    return out
