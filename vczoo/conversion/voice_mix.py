"""Which voice to speak in: a name, `alice:0.7,bob:0.3` or a mapping of shares in; shares by known name out."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from vczoo.errors import VoiceError
from vczoo.io.text import nearest

__all__ = ["read_mix"]

SUM_TOLERANCE = 1e-3  # so that .33, .33 and .34 pass, and .333 three times


def read_mix(voice: str | Mapping[str, float], known: Collection[str]) -> dict[str, float]:
    """Each voice's share of what is to be spoken in; a name that is known counts as it stands, colons and all.

    Raises:
        VoiceError: a voice is not known, is named twice, or the shares are not above 0 or do not add up to 1.
    """
    if isinstance(voice, str):
        shares = {voice: 1.0} if voice in known or ":" not in voice else _parse(voice)
    else:
        shares = dict(voice)
    for name in shares:
        if name not in known:
            few = list(known)[:12]
            there = f" Voices: {', '.join(few)}{' …' * (len(known) > 12)}." if few else " It has no voice yet."
            raise VoiceError(
                f"no voice is called {name!r}{nearest(name, known)}{there} `enroll` adds one from recordings"
            )
    total = sum(shares.values())
    if not all(share > 0 for share in shares.values()) or not abs(total - 1) <= SUM_TOLERANCE:
        given = ", ".join(f"{name}:{share:g}" for name, share in shares.items())
        raise VoiceError(
            f"the shares of a mix are above 0 and add up to 1, got {given or 'no voice'}, which add up to {total:g}"
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
