"""What must agree between two parts: `FrameSpec` for any frames, `MelSpec` for log-mels. No torch here.

A producer's spec goes in, a consumer's spec goes in, and every disagreement comes out as a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Literal, get_args, get_type_hints

from vczoo.errors import ContractError

__all__ = ["FrameSpec", "MelSpec", "check_contract", "mismatches"]

# What some vocoder might need, and a filter bank of a few seconds at most to compute.
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
    """What a backbone's frames are.

    Attributes:
        sample_rate_hz: rate of the waveform that the frames were made from.
        hop_length: samples from one frame to the next.
        channels: width of a frame.
    """

    sample_rate_hz: int
    hop_length: int
    channels: int
    first_frame: ClassVar[float] = 0.0  # where the first frame stands, in frames from the recording's start

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_size(field.name, getattr(self, field.name))
        _check_rate(self.sample_rate_hz, self.hop_length)

    @property
    def frame_rate_hz(self) -> float:
        """Frames a second."""
        return self.sample_rate_hz / self.hop_length

    def num_frames(self, num_samples: int) -> int:
        """Frames of a waveform of `num_samples` samples, at least 1."""
        return max(1, -(-num_samples // self.hop_length))


@dataclass(frozen=True)
class MelSpec:
    """What a log-mel spectrogram is. The default is that of this zoo; the rest is what other vocoders were trained on.

    Attributes:
        sample_rate_hz: rate of the waveform.
        num_mels: bands.
        fft_length: samples of the FFT and of its Hann window.
        hop_length: samples from one frame to the next.
        min_hz: lower edge of the lowest band.
        max_hz: upper edge of the highest band.
        floor: mel magnitudes below it are raised to it before the logarithm.
        filter_scale: mel scale that the bands are equally spaced on.
        filter_norm: slaney gives every band the same area; none gives every band a peak of 1.
        log_base: of the logarithm.
        padding: what stands before and after a recording, zeros or its mirror image.
        centred: whether frame t is centred on sample t * hop_length. Otherwise it is centred half a hop later,
            and there is one frame less: HiFi-GAN's convention.
        epsilon: added to the squared magnitudes before the root.
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
                raise ContractError(f"{name} is one of {', '.join(valid)}, got {getattr(self, name)!r}")
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
        """Frames of a waveform of `num_samples` samples, at least 1."""
        return 1 + num_samples // self.hop_length if self.centred else max(1, num_samples // self.hop_length)

    @property
    def frame_rate_hz(self) -> float:
        """Frames a second."""
        return self.sample_rate_hz / self.hop_length

    @property
    def channels(self) -> int:
        """Width of a frame: the number of bands."""
        return self.num_mels

    @property
    def first_frame(self) -> float:
        """Where the first frame is centred, in frames from the recording's start."""
        return 0.0 if self.centred else 0.5


def mismatches(made: MelSpec | FrameSpec, wanted: MelSpec | FrameSpec) -> list[str]:
    """Every field in which the frames that are made differ from those that are wanted, as sentences."""
    if type(made) is not type(wanted):
        return [f"the maker gives a {type(made).__name__}, the reader wants a {type(wanted).__name__}"]
    return [
        f"{field.name} is {getattr(made, field.name)!r} but {getattr(wanted, field.name)!r} is wanted"
        for field in fields(made)
        if getattr(made, field.name) != getattr(wanted, field.name)
    ]


def check_contract(maker: str, made: MelSpec | FrameSpec, reader: str, wanted: MelSpec | FrameSpec) -> None:
    """Check that what one part makes is what the next reads.

    Raises:
        ContractError: with every disagreement, and both parts by name.
    """
    faults = mismatches(made, wanted)
    if faults:
        raise ContractError(
            f"{maker} does not fit {reader}: " + "; ".join(faults) + f". Give both the same {type(wanted).__name__}."
        )


def _check_size(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ContractError(f"{name} must be a positive whole number, got {value!r}")
    if value > LARGEST[name]:
        raise ContractError(f"{name} is at most {LARGEST[name]}, got {value}")


def _check_rate(sample_rate_hz: int, hop_length: int) -> None:
    if not hop_length <= sample_rate_hz <= MOST_FRAMES_A_SECOND * hop_length:
        raise ContractError(
            f"hop_length {hop_length} at {sample_rate_hz} Hz makes {sample_rate_hz / hop_length:.4g} frames a second, "
            f"1 to {MOST_FRAMES_A_SECOND} are possible"
        )
