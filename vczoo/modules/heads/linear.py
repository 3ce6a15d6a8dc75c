"""Voice head that converts by a linear map of content frames (LinearVC).

The map from the source's frames to the voice's frames is fitted at conversion time. A decoder then predicts the mel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.errors import ContractError, VoiceError
from vczoo.modules.interfaces.heads import Loss, Source, VoiceHead
from vczoo.modules.nn.convnext import ConvDecoder, mean_absolute_error
from vczoo.modules.nn.nearest_frames import nearest_frames, source_centre

__all__ = ["Linear", "fitted_frames"]


class Linear(VoiceHead):
    """Conversion by one linear map per recording, in closed form. Source: LinearVC, arXiv:2506.01510.

    Each frame of the source is paired with the mean of its k nearest frames of the voice, as in `knn`, and
    `fitted_frames` fits a map to the pairs. The mapped frames are smoother than the matched ones, some of which are
    wrong. A vocoder that reads frames takes the mapped frames directly, and the head has no parameters. For a mel
    vocoder, a decoder in the head predicts the mel from the mapped frames and pitch. The decoder gets the speaker only
    from the frames. It is trained on recordings of many speakers and needs no training for a new voice.

    Args:
        frames: Format of the backbone's frames.
        acoustic: Format of the vocoder's input.
        k: Number of neighbors to average.
        ridge: Penalty on the map's distance from the identity, as in `fitted_frames`.
        rank: Largest rank of the mapped frames; None for no limit.
        width: Number of channels of the decoder.
        blocks: Number of the decoder's blocks at the content's frame rate.
        fine_blocks: Number of the decoder's blocks at the mel's frame rate, after the others.

    Raises:
        ContractError: An option is out of range, or the vocoder reads frames with another number of channels.
    """

    def __init__(
        self,
        *,
        frames: FrameSpec,
        acoustic: MelSpec | FrameSpec,
        k: int = 4,
        ridge: float = 1.0,
        rank: int | None = None,
        width: int = 192,
        blocks: int = 5,
        fine_blocks: int = 1,
    ) -> None:
        super().__init__()
        if k < 1 or (rank is not None and rank < 1):
            raise ContractError(f"k must be 1 or more, and rank 1 or more or None, got k={k}, rank={rank}")
        if not 0 < ridge < float("inf"):
            raise ContractError(f"ridge must be above 0 and finite, got {ridge}")
        if isinstance(acoustic, FrameSpec) and acoustic.channels != frames.channels:
            raise ContractError(
                f"linear returns frames with the backbone's {frames.channels} channels, but this vocoder reads "
                f"{acoustic.channels}; choose a vocoder that was trained on this backbone, or one that reads mels"
            )
        self.k, self.ridge, self.rank = k, ridge, rank
        self.frame_rate_hz = frames.frame_rate_hz
        self.content_per_acoustic = frames.frame_rate_hz / acoustic.frame_rate_hz
        self.norm: nn.LayerNorm | None = None
        self.decoder: ConvDecoder | None = None
        if isinstance(acoustic, MelSpec):
            self.norm = nn.LayerNorm(frames.channels)
            self.decoder = ConvDecoder(
                frames=frames,
                acoustic=acoustic,
                channels=frames.channels,
                embedding_width=0,
                width=width,
                blocks=blocks,
                fine_blocks=fine_blocks,
            )

    def enroll(self, content: Frames, acoustic: Frames) -> dict[str, Tensor]:
        """Return all content frames of the voice as `content`, (N, C)."""
        return {"content": content.values[content.mask()[..., 0]]}

    def convert(self, source: Source, voice: Mapping[str, Tensor]) -> Frames:
        """Convert recordings to a voice: (B, T, C) -> (B, T', acoustic channels). Each item gets its own map.

        Raises:
            VoiceError: The voice was not enrolled with this head.
        """
        return self.convert_mix(source, [(voice, 1.0)])

    def convert_mix(self, source: Source, voices: Sequence[tuple[Mapping[str, Tensor], float]]) -> Frames:
        """Convert to a mix of voices: map the content to each voice, average by the shares, and decode the result.

        Raises:
            VoiceError: A voice was not enrolled with this head.
        """
        mapped = [self.move(source.content, voice) for voice, _ in voices]
        values = torch.stack([share * frames.values for frames, (_, share) in zip(mapped, voices, strict=True)])
        return self.decode(mapped[0].with_values(values.sum(dim=0)), source.pitch)

    def move(self, content: Frames, voice: Mapping[str, Tensor]) -> Frames:
        """Map content frames to a voice: (B, T, C) -> (B, T, C).

        Raises:
            VoiceError: The voice was not enrolled with this head.
        """
        if "content" not in voice:
            raise VoiceError("this voice has no reference frames; enroll it with recordings: vc.enroll(name, files)")
        reference = voice["content"]
        mean = reference.mean(dim=0)
        keys = F.normalize(reference - mean, dim=1)
        centers = source_centre(content, self.frame_rate_hz, mean)
        mapped = []
        for index, center in enumerate(centers):
            own = content[index].values[0]
            matches = nearest_frames(F.normalize(own - center, dim=1), keys, self.k)
            mapped.append(Frames.of(fitted_frames(own, reference[matches].mean(dim=1), self.ridge, self.rank)))
        return Frames.batch(mapped)

    def decode(self, content: Frames, pitch: Frames) -> Frames:
        """Compute acoustic frames (B, T', acoustic channels) in the voice of the content frames.

        Args:
            content: Content frames, (B, T, C).
            pitch: Pitch frames at the acoustic frame rate, (B, T', 2).
        """
        if self.decoder is None or self.norm is None:
            return content.resize(pitch, self.content_per_acoustic)
        # Not a product with the mask: padding may hold NaN, and NaN times 0 is NaN, in the gradient too.
        normed = self.norm(content.values.where(content.mask(), 0))
        mel: Frames = self.decoder(content.with_values(normed), pitch)
        return mel

    def loss(self, source: Source, embedding: Tensor | None, target: Frames) -> Loss | None:
        """Return the mean absolute error of the log-mels, each recording decoded in its own voice.

        Returns:
            The loss, or None if the head has no decoder.
        """
        if self.decoder is None:
            return None
        error = mean_absolute_error(self.decode(source.content, source.pitch), target)
        return Loss(error, {"l1": error.detach()})


def fitted_frames(source: Tensor, target: Tensor, ridge: float, rank: int | None = None) -> Tensor:
    """Fit a linear map from source frames to target frames, and return the mapped source: (T, C), (T, C) -> (T, C).

    Each channel of either side is first brought to mean 0 and standard deviation 1. The map minimizes the mean squared
    error plus `ridge` times its squared distance from the identity. A ridge of 0 would be plain least squares, which
    just repeats the targets of a recording with fewer frames than channels. A large ridge changes only the mean and
    deviation of each channel. A single frame becomes its target.

    Args:
        source: Source frames, (T, C).
        target: Target of each source frame, (T, C).
        ridge: Penalty on the map's squared distance from the identity, above 0.
        rank: Largest rank of the mapped frames, which keeps the directions in which they vary most (reduced-rank
            regression, Izenman 1975); None for no limit.
    """
    inputs, _, _ = _standardized(source)
    targets, mean, deviation = _standardized(target)
    penalty = ridge * len(source) * torch.eye(inputs.shape[1], dtype=inputs.dtype, device=inputs.device)
    change = torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ (targets - inputs))
    fitted = inputs + inputs @ change
    if rank is not None:
        directions = torch.linalg.svd(fitted, full_matrices=False).Vh[:rank]
        fitted = fitted @ directions.T @ directions
    mapped: Tensor = mean + deviation * fitted
    return mapped.to(source.dtype)


def _standardized(frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale each channel to mean 0 and deviation 1, in double precision. A constant channel becomes 0.

    Returns:
        The scaled frames (T, C), and the mean and standard deviation of each channel, (C,) each.
    """
    frames = frames.double()
    mean = frames.mean(dim=0)
    deviation = (frames - mean).square().mean(dim=0).sqrt()
    return (frames - mean) / deviation.clamp(min=1e-6), mean, deviation
