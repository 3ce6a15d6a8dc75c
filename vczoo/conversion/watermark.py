"""A watermark's registered name in, the part ready to embed or detect out; what plugins provide, the core has none.

vc.convert("hello.wav", voice="alice", watermark="example/spread").save("hello-alice.wav")
vczoo.detect_watermark(vczoo.load_watermark("example/spread"), vczoo.Waveform.read("hello-alice.wav"))
"""

from __future__ import annotations

import torch

from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError, VczooError
from vczoo.models.part_options import check_part, run_check
from vczoo.models.recipe import Part
from vczoo.modules.interfaces.vocoder import Watermark

__all__ = ["detect_watermark", "embed_watermark", "load_watermark"]


def load_watermark(name: str) -> Watermark:
    """Build a watermark with its default options, on the CPU; `NAME.TAG` names its weights, too.

    Raises:
        VczooError: nothing is registered under the name, it needs an option, or its weights cannot be had.
    """
    faults: list[str] = []
    ready = check_part(faults, "watermark", "watermark", Part(use=name))
    part = run_check(faults, "watermark", lambda: ready.make({})) if ready else None
    if faults:
        raise VczooError("\n".join(faults))
    if not isinstance(part, Watermark):
        raise ContractError(f"watermark {name!r} made a {type(part).__name__}, expected a Watermark; tell its author")
    return part.eval()


@torch.inference_mode()
def embed_watermark(watermark: Watermark, wave: Waveform) -> Waveform:
    """Embed it into one recording, (1, S); its length, rate and mark stay.

    Raises:
        ContractError: the watermark changed length or rate.
    """
    if not wave.samples.numel():
        return wave
    made = watermark.embed(wave)
    if made.sample_rate_hz != wave.sample_rate_hz or made.samples.shape != wave.samples.shape:
        raise ContractError(
            f"{type(watermark).__name__}.embed gave {tuple(made.samples.shape)} samples at {made.sample_rate_hz} Hz, "
            f"expected {tuple(wave.samples.shape)} at {wave.sample_rate_hz} Hz; tell its plugin's author"
        )
    return Waveform(made.samples, wave.sample_rate_hz, wave.lengths, wave.mark)


@torch.inference_mode()
def detect_watermark(watermark: Watermark, wave: Waveform) -> float:
    """The probability that a recording is watermarked, wholly or in a part: of a long one, the largest of its parts."""
    return max(watermark.detect(part) for part in wave.parts())
