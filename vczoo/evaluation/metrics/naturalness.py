"""Naturalness by DNSMOS: a network's estimate of listeners' mean opinion scores (MOS)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vczoo.audio.waveform import Waveform
from vczoo.io.optional_imports import require

__all__ = ["Dnsmos", "Opinion"]

RATE_HZ = 16000


@dataclass(frozen=True)
class Opinion:
    """Mean opinion scores of ITU-T P.835, from 1 to 5.

    Attributes:
        overall: Overall quality (OVRL).
        signal: Quality of the speech (SIG); higher means less distortion.
        background: Quality of the background (BAK); higher means less noise.
    """

    overall: float
    signal: float
    background: float


class Dnsmos:
    """DNSMOS P.835 (Reddy et al. 2022), not personalized. The wheel of speechmos includes its networks.

    Raises:
        PluginError: speechmos is not installed.
    """

    name = "dnsmos"

    def __init__(self) -> None:
        self.library = require("speechmos.dnsmos", "DNSMOS", "eval")

    def rate(self, wave: Waveform) -> Opinion:
        """Estimate the scores of a (1, S) waveform of any rate. Recordings shorter than 9.01 s are repeated."""
        samples = wave.resample(RATE_HZ).samples[0].detach().clamp(-1, 1).cpu().numpy().astype(np.float32)
        scores = self.library.run(samples, RATE_HZ)
        return Opinion(float(scores["ovrl_mos"]), float(scores["sig_mos"]), float(scores["bak_mos"]))
