"""Frame formats: `FrameSpec` for a backbone's content frames, `MelSpec` for log-mels, and the check that two agree.

This module does not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Literal, get_args, get_type_hints

from vczoo.errors import ContractError

__all__ = ["FrameSpec", "MelSpec", "check_contract", "mismatches"]

# Generous for any vocoder, and a filter bank still takes at most a few seconds to compute.
LARGEST = {
    "sample_rate_hz": 768_000,
    "num_mels": 512,
    "fft_length": 16_384,
    "hop_length": 768_000,
    "channels": 2**20,
}
MOST_FRAMES_A_SECOND = 4000


@dataclass(frozen=True)
class FrameSpec:
    """Format of a backbone's frames.

    Attributes:
        sample_rate_hz: Sample rate of the waveform that the frames are computed from.
        hop_length: Number of samples from one frame to the next.
        channels: Number of channels of a frame.
    """

    sample_rate_hz: int
    hop_length: int
    channels: int
    first_frame: ClassVar[float] = 0.0  # position of the first frame, in frames from the recording's start

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_size(field.name, getattr(self, field.name))
        _check_rate(self.sample_rate_hz, self.hop_length)

    @property
    def frame_rate_hz(self) -> float:
        """Number of frames per second."""
        return self.sample_rate_hz / self.hop_length

    def num_frames(self, num_samples: int) -> int:
        """Number of frames of a waveform of `num_samples` samples, at least 1."""
        return max(1, -(-num_samples // self.hop_length))


@dataclass(frozen=True)
class MelSpec:
    """Format of a log-mel spectrogram.

    The defaults are the format of the models in this zoo; the other values are for vocoders trained elsewhere.

    Attributes:
        sample_rate_hz: Sample rate of the waveform.
        num_mels: Number of mel bands.
        fft_length: Length of the FFT and of its Hann window, in samples.
        hop_length: Number of samples from one frame to the next.
        min_hz: Lower edge of the lowest band.
        max_hz: Upper edge of the highest band.
        floor: Smallest mel magnitude; lower ones are raised to it before the logarithm.
        filter_scale: Mel scale on which the bands are equally spaced.
        filter_norm: Normalization of the filters. "slaney" gives every band the same area, "none" a peak of 1.
        log_base: Base of the logarithm.
        padding: Padding before and after a recording: zeros, or its mirror image.
        centred: Whether frame t is centered on sample t * hop_length. Otherwise it is centered half a hop later, and
            there is one frame less: HiFi-GAN's convention.
        epsilon: Value that is added to the squared magnitudes before the square root.
    """

    sample_rate_hz: int = 16000
    num_mels: int = 80
    fft_length: int = 1024
    hop_length: int = 160
    min_hz: float = 0.0
    max_hz: float = 8000.0
    floor: float = 1e-5
    filter_scale: Literal["slaney", "htk"] = "slaney"
    filter_norm: Literal["slaney", "none"] = "slaney"
    log_base: Literal["e", "10"] = "e"
    padding: Literal["zeros", "reflect"] = "zeros"
    centred: bool = True
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        for name, valid in {name: get_args(hint) for name, hint in get_type_hints(type(self)).items()}.items():
            if valid and getattr(self, name) not in valid:
                raise ContractError(f"{name} must be one of {', '.join(valid)}; got {getattr(self, name)!r}")
        for name in ("sample_rate_hz", "num_mels", "fft_length", "hop_length"):
            _check_size(name, getattr(self, name))
        _check_rate(self.sample_rate_hz, self.hop_length)
        if not 0 <= self.min_hz < self.max_hz <= self.sample_rate_hz / 2:
            raise ContractError(
                f"0 <= min_hz < max_hz <= {self.sample_rate_hz / 2:g} Hz (half the sample rate) must hold, "
                f"got min_hz={self.min_hz:g}, max_hz={self.max_hz:g}"
            )
        if self.hop_length > self.fft_length:
            raise ContractError(
                f"hop_length {self.hop_length} exceeds fft_length {self.fft_length}: samples would be lost"
            )
        if not self.floor > 0:
            raise ContractError(f"floor must be above 0, got {self.floor!r}")
        if not self.epsilon >= 0:
            raise ContractError(f"epsilon must be 0 or more, got {self.epsilon!r}")

    def num_frames(self, num_samples: int) -> int:
        """Number of frames of a waveform of `num_samples` samples, at least 1."""
        return 1 + num_samples // self.hop_length if self.centred else max(1, num_samples // self.hop_length)

    @property
    def frame_rate_hz(self) -> float:
        """Number of frames per second."""
        return self.sample_rate_hz / self.hop_length

    @property
    def channels(self) -> int:
        """Number of channels of a frame: the number of mel bands."""
        return self.num_mels

    @property
    def first_frame(self) -> float:
        """Center of the first frame, in frames from the recording's start."""
        return 0.0 if self.centred else 0.5


def mismatches(actual: MelSpec | FrameSpec, expected: MelSpec | FrameSpec) -> list[str]:
    """Describe every field in which the frames that a part produces differ from those that the next part expects."""
    if type(actual) is not type(expected):
        return [f"the producer's spec is a {type(actual).__name__}, expected a {type(expected).__name__}"]
    return [
        f"{field.name} is {getattr(actual, field.name)!r}, expected {getattr(expected, field.name)!r}"
        for field in fields(actual)
        if getattr(actual, field.name) != getattr(expected, field.name)
    ]


def check_contract(producer: str, actual: MelSpec | FrameSpec, consumer: str, expected: MelSpec | FrameSpec) -> None:
    """Check that a part produces the frames that the next part expects.

    Args:
        producer: Name of the part that produces the frames.
        actual: Format of the frames that it produces.
        consumer: Name of the part that reads the frames.
        expected: Format of the frames that it expects.

    Raises:
        ContractError: The formats differ. The message names both parts and every field that differs.
    """
    faults = mismatches(actual, expected)
    if faults:
        raise ContractError(
            f"{producer} does not fit {consumer}: "
            + "; ".join(faults)
            + f". Give both the same {type(expected).__name__}."
        )


def _check_size(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ContractError(f"{name} must be a positive whole number, got {value!r}")
    if value > LARGEST[name]:
        raise ContractError(f"{name} must be at most {LARGEST[name]}, got {value}")


def _check_rate(sample_rate_hz: int, hop_length: int) -> None:
    if not hop_length <= sample_rate_hz <= MOST_FRAMES_A_SECOND * hop_length:
        raise ContractError(
            f"hop_length {hop_length} at {sample_rate_hz} Hz makes {sample_rate_hz / hop_length:.4g} frames per second "
            f"(expected 1 to {MOST_FRAMES_A_SECOND})"
        )
