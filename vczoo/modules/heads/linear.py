"""Linear voice head: a map from the source's frames to the voice's is fitted at conversion; then they are decoded."""

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
    """One linear map a recording, in closed form. Source: LinearVC, arXiv:2506.01510.

    Each frame of the source is paired with the mean of its k nearest frames of the voice, as in `knn`, and a map is
    fitted on the pairs by `fitted_frames`. What it makes of the source is smoother than the pairs themselves, which
    are wrong now and then. A vocoder of frames reads it as it is, and the head has no parameters. For a mel vocoder a
    decoder inside the head makes the mel of it and of pitch: it hears no speaker but the one in the frames, is
    trained on plain recordings of many, and needs no training for a new voice.

    Args:
        frames: what the backbone makes.
        acoustic: what the vocoder reads.
        k: neighbours that are averaged.
        ridge: how dear it is to mix channels, as `fitted_frames` has it.
        rank: of the map, at most; None leaves it free.
        width: channels of the decoder.
        blocks: its blocks at the content's frame rate.
        fine_blocks: its blocks at the mel's frame rate, after them.

    Raises:
        ContractError: an option is out of range, or the vocoder reads frames of another width.
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
            raise ContractError(f"k is 1 or more, and so is rank where it is given, got k={k}, rank={rank}")
        if not 0 < ridge < float("inf"):
            raise ContractError(f"ridge is above 0 and finite, got {ridge}")
        if isinstance(acoustic, FrameSpec) and acoustic.channels != frames.channels:
            raise ContractError(
                f"linear gives a vocoder of frames the backbone's {frames.channels} channels, and this one reads "
                f"{acoustic.channels}; take one that was trained on this backbone, or one that reads mels"
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
        """Keep every content frame of the voice: `content`, (N, C)."""
        return {"content": content.values[content.mask()[..., 0]]}

    def convert(self, source: Source, voice: Mapping[str, Tensor]) -> Frames:
        """(B, T, C) -> (B, T', acoustic channels); a map is fitted for each item by itself.

        Raises:
            VoiceError: the voice was not enrolled with this head.
        """
        return self.convert_mix(source, [(voice, 1.0)])

    def convert_mix(self, source: Source, voices: Sequence[tuple[Mapping[str, Tensor], float]]) -> Frames:
        """Average what the map to each voice gives, by their shares, and decode that.

        Raises:
            VoiceError: a voice was not enrolled with this head.
        """
        moved = [self.move(source.content, voice) for voice, _ in voices]
        values = torch.stack([share * frames.values for frames, (_, share) in zip(moved, voices, strict=True)])
        return self.decode(moved[0].with_values(values.sum(dim=0)), source.pitch)

    def move(self, content: Frames, voice: Mapping[str, Tensor]) -> Frames:
        """The content as if the voice had said it: (B, T, C) -> (B, T, C).

        Raises:
            VoiceError: the voice was not enrolled with this head.
        """
        if "content" not in voice:
            raise VoiceError("this voice has no reference frames; enrol it with recordings: vc.enroll(name, files)")
        reference = voice["content"]
        mean = reference.mean(dim=0)
        keys = F.normalize(reference - mean, dim=1)
        centres = source_centre(content, self.frame_rate_hz, mean)
        moved = []
        for index, centre in enumerate(centres):
            own = content[index].values[0]
            matches = nearest_frames(F.normalize(own - centre, dim=1), keys, self.k)
            moved.append(Frames.of(fitted_frames(own, reference[matches].mean(dim=1), self.ridge, self.rank)))
        return Frames.batch(moved)

    def decode(self, content: Frames, pitch: Frames) -> Frames:
        """Content (B, T, C) and pitch (B, T', 2) -> (B, T', acoustic channels), in the voice that the content has."""
        if self.decoder is None or self.norm is None:
            return content.resize(pitch, self.content_per_acoustic)
        # Padding may hold NaN, which no product with a mask takes away, nor a gradient of 0.
        normed = self.norm(content.values.where(content.mask(), 0))
        made: Frames = self.decoder(content.with_values(normed), pitch)
        return made

    def loss(self, source: Source, embedding: Tensor | None, target: Frames) -> Loss | None:
        """L1 between log-mels over valid frames, each recording in its own voice; None where there is no decoder."""
        if self.decoder is None:
            return None
        error = mean_absolute_error(self.decode(source.content, source.pitch), target)
        return Loss(error, {"l1": error.detach()})


def fitted_frames(source: Tensor, target: Tensor, ridge: float, rank: int | None = None) -> Tensor:
    """What the best linear map makes of source frames whose targets are given: (T, C), (T, C) -> (T, C).

    Each channel of either side is first brought to mean 0 and deviation 1. The map minimises the mean squared error
    plus `ridge` times its squared distance from the identity: 0 would be plain least squares, which repeats the
    targets of a recording of fewer frames than channels; a large one moves every channel's mean and deviation and
    leaves the rest. A low rank keeps the directions in which what the map makes varies most (reduced-rank
    regression, Izenman 1975). One frame becomes its target.
    """
    given, _, _ = _standardised(source)
    wanted, mean, deviation = _standardised(target)
    penalty = ridge * len(source) * torch.eye(given.shape[1], dtype=given.dtype, device=given.device)
    change = torch.linalg.solve(given.T @ given + penalty, given.T @ (wanted - given))
    fitted = given + given @ change
    if rank is not None:
        directions = torch.linalg.svd(fitted, full_matrices=False).Vh[:rank]
        fitted = fitted @ directions.T @ directions
    made: Tensor = mean + deviation * fitted
    return made.to(source.dtype)


def _standardised(frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Frames of mean 0 and deviation 1 in double precision, with the mean and the deviation; a constant is 0."""
    frames = frames.double()
    mean = frames.mean(dim=0)
    deviation = (frames - mean).square().mean(dim=0).sqrt()
    return (frames - mean) / deviation.clamp(min=1e-6), mean, deviation
