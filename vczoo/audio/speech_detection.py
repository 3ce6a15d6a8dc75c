"""Share of a recording that is speech, by Silero VAD (the extra `prepare`)."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import torch

from vczoo.audio.waveform import Waveform

__all__ = ["load_speech_detector"]

RATE_HZ = 16000  # of the network


def load_speech_detector() -> Callable[[Waveform], float] | None:
    """Load Silero VAD (https://github.com/snakers4/silero-vad, MIT), whose weights are in its wheel.

    Returns:
        A function from a recording (1, S) to the share of it that is speech, 0 to 1; None if the package `silero-vad`
        is not installed.
    """
    if find_spec("silero_vad") is None:
        return None
    threads = torch.get_num_threads()
    from silero_vad import get_speech_timestamps, load_silero_vad

    model = load_silero_vad()
    torch.set_num_threads(threads)  # importing the package sets it to 1

    def share(wave: Waveform) -> float:
        samples = wave.resample(RATE_HZ).samples[0].float()
        spans = get_speech_timestamps(samples, model, sampling_rate=RATE_HZ)
        return float(sum(span["end"] - span["start"] for span in spans)) / max(1, len(samples))

    return share
