"""Waveforms in, DNSMOS out: what listeners would say of the sound, guessed by a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vczoo.audio.waveform import Waveform
from vczoo.io.optional_imports import require

__all__ = ["Dnsmos", "Opinion"]

RATE_HZ = 16000


@dataclass(frozen=True)
class Opinion:
    """Mean opinion scores, 1 to 5.

    Attributes:
        overall: OVRL of P.835.
        signal: SIG, how little the speech is distorted.
        background: BAK, how little noise there is.
    """

    overall: float
    signal: float
    background: float


class Dnsmos:
    """DNSMOS P.835 (Reddy et al. 2022), not personalised; the networks come in the wheel of speechmos.

    Raises:
        PluginError: speechmos is not installed.
    """

    name = "dnsmos"

    def __init__(self) -> None:
        self.library = require("speechmos.dnsmos", "DNSMOS", "eval")

    def rate(self, wave: Waveform) -> Opinion:
        """(1, S) of any rate; what is shorter than 9.01 s is repeated."""
        samples = wave.resample(RATE_HZ).samples[0].detach().clamp(-1, 1).cpu().numpy().astype(np.float32)
        scores = self.library.run(samples, RATE_HZ)
        return Opinion(float(scores["ovrl_mos"]), float(scores["sig_mos"]), float(scores["bak_mos"]))
