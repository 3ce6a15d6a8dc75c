"""Voice mixes: parsing `alice:0.7,bob:0.3` or a mapping, and checking the names and shares."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from vczoo.errors import VoiceError
from vczoo.io.text import nearest

__all__ = ["read_mix"]

SUM_TOLERANCE = 1e-3  # so that 0.33, 0.33 and 0.34 pass, and 0.333 three times


def read_mix(voice: str | Mapping[str, float], voices: Collection[str]) -> dict[str, float]:
    """Parse a voice or a mix into the share of each voice.

    Args:
        voice: Name of a voice, a mix as text ("alice:0.7,bob:0.3") or a mapping of names to shares. Text that is the
            name of a voice is taken as that name, even if it has colons.
        voices: Names of the existing voices.

    Raises:
        VoiceError: A voice does not exist or is named twice, or the shares are not above 0 or do not add up to 1.
    """
    if isinstance(voice, str):
        shares = {voice: 1.0} if voice in voices or ":" not in voice else _parse(voice)
    else:
        shares = dict(voice)
    for name in shares:
        if name not in voices:
            few = list(voices)[:12]
            choices = f" Voices: {', '.join(few)}{' …' * (len(voices) > 12)}." if few else " It has no voice yet."
            raise VoiceError(
                f"no voice is called {name!r}{nearest(name, voices)}{choices} `enroll` adds one from recordings"
            )
    total = sum(shares.values())
    if not all(share > 0 for share in shares.values()) or not abs(total - 1) <= SUM_TOLERANCE:
        mix = ", ".join(f"{name}:{share:g}" for name, share in shares.items())
        raise VoiceError(
            f"the shares of a mix must be above 0 and add up to 1, got {mix or 'no voice'}, which add up to {total:g}"
        )
    return shares


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
