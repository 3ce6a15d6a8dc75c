"""Naturalness by DNSMOS: a network's estimate of listeners' mean opinion scores (MOS)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from vczoo.audio.waveform import Waveform
from vczoo.io.optional_imports import require
from vczoo.modules.interfaces.metric import Case, Column, Metric

__all__ = ["Dnsmos", "Naturalness", "Opinion", "Rater"]

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


class Rater(Protocol):
    """A model that estimates listeners' mean opinion scores."""

    name: str

    def rate(self, wave: Waveform) -> Opinion:
        """Estimate the scores of a waveform (1, S) of any rate."""


class Naturalness(Metric):
    """Mean opinion scores of a recording, estimated by DNSMOS."""

    columns = (
        Column("dnsmos_overall", "DNSMOS", higher_is_better=True),
        Column("dnsmos_signal", "DNSMOS signal", higher_is_better=True),
        Column("dnsmos_background", "DNSMOS background", higher_is_better=True),
    )

    @cached_property
    def rater(self) -> Rater:
        """DNSMOS, loaded on first use."""
        return Dnsmos()

    def measure(self, case: Case) -> Mapping[str, float]:
        """Measure any recording.

        Raises:
            PluginError: speechmos is not installed.
        """
        return {f"dnsmos_{name}": value for name, value in vars(self.rater.rate(case.wave)).items()}
