"""Loading, embedding and detecting watermarks, which plugins provide; vczoo itself has none.

vc.convert("hello.wav", voice="alice", watermark="example/spread").save("hello-alice.wav")
vczoo.detect_watermark(vczoo.load_watermark("example/spread"), vczoo.Waveform.read("hello-alice.wav"))
"""

from __future__ import annotations

import torch

from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.models.part_options import make_part
from vczoo.modules.interfaces.vocoder import Watermark

__all__ = ["detect_watermark", "embed_watermark", "load_watermark"]


def load_watermark(name: str) -> Watermark:
    """Build a watermark with its default options, on the CPU.

    Args:
        name: Registered name of the watermark, or NAME.TAG to choose its weights, too.

    Raises:
        VczooError: Nothing is registered under the name, the watermark needs an option, or its weights are unavailable.
    """
    part = make_part("watermark", name)
    if not isinstance(part, Watermark):
        raise ContractError(
            f"watermark {name!r} built a {type(part).__name__}, expected a Watermark; report it to its author"
        )
    return part.eval()


@torch.inference_mode()
def embed_watermark(watermark: Watermark, wave: Waveform) -> Waveform:
    """Embed a watermark into one recording, (1, S). Its length, sample rate and mark stay the same.

    Raises:
        ContractError: The watermark changed the length or the sample rate.
    """
    if not wave.samples.numel():
        return wave
    marked = watermark.embed(wave)
    if marked.sample_rate_hz != wave.sample_rate_hz or marked.samples.shape != wave.samples.shape:
        raise ContractError(
            f"{type(watermark).__name__}.embed returned {tuple(marked.samples.shape)} samples "
            f"at {marked.sample_rate_hz} Hz, "
            f"expected {tuple(wave.samples.shape)} at {wave.sample_rate_hz} Hz; report it to the plugin's author"
        )
    return Waveform(marked.samples, wave.sample_rate_hz, wave.lengths, wave.mark)


@torch.inference_mode()
def detect_watermark(watermark: Watermark, wave: Waveform) -> float:
    """Probability that a recording, or part of it, is watermarked. For a long one, the largest value of its parts."""
    return max(watermark.detect(part) for part in wave.parts())
