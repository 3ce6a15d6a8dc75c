"""Clips of a new voice in a session: what was added, and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vczoo.conversion.converter import Converter
from vczoo.errors import AudioError
from vczoo.io.names import file_stem
from vczoo.ui.bounds import Bounds, read_clip
from vczoo.ui.clip_worth import ClipWorth, clip_worth, together
from vczoo.ui.sessions import Session

__all__ = ["add_clips", "clear_clips", "clips_of"]


def add_clips(session: Session, converter: Converter, paths: Sequence[Path], bounds: Bounds) -> list[str]:
    """Add recordings to the clips of a session, at the model's rate.

    Args:
        session: The session.
        converter: The model that will learn the voice.
        paths: The recordings.
        bounds: What is accepted.

    Returns:
        What could not be added, in sentences.
    """
    model = converter.model
    # As for `enroll`: an embedding of content cannot tell speakers apart.
    embed = (lambda wave: next(iter(model.embed(wave).values()))) if model.speakers_by_mels else None
    faults: list[str] = []
    with session.lock:
        clips: dict[Path, ClipWorth] = session.values.setdefault("clips", {})
        waves = session.values.setdefault("clip_waves", [])
        for path in paths:
            try:
                if len(clips) >= bounds.clips:
                    raise AudioError(f"{path.name} is left out: a voice has at most {bounds.clips} clips here")
                wave = read_clip(path, bounds.clips_seconds - sum(wave.seconds for wave in waves))
                wave.check(speech=True)
            except AudioError as error:
                faults.append(str(error))
                continue
            wave = wave.resample(model.sample_rate_hz)
            # By a name of its own, since the run's manifest names the recordings.
            copy = session.folder / f"clip-{len(clips) + 1:02}-{file_stem(path.stem)[:40]}.wav"
            wave.save(copy, overwrite=True)
            clips[copy] = clip_worth(path.name, wave, embed)
            waves.append(wave)
        session.values["clip_remarks"] = together(waves, embed) if waves else []
    return faults


def clear_clips(session: Session) -> None:
    """Remove all clips of a session, and their files."""
    with session.lock:
        for path in session.values.pop("clips", {}):
            path.unlink(missing_ok=True)
        for name in ("clip_waves", "clip_remarks"):
            session.values.pop(name, None)


def clips_of(session: Session) -> tuple[list[ClipWorth], list[str]]:
    """What each clip of a session is worth, and all of them together."""
    return list(session.values.get("clips", {}).values()), list(session.values.get("clip_remarks", []))
