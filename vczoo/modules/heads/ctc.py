"""CTC head: frames in, characters out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError
from vczoo.modules.alphabet import LETTERS, check_alphabet
from vczoo.modules.interfaces.heads import Loss, TextHead
from vczoo.modules.nn.convnext import ConvBlock

__all__ = ["CTC"]

STEP_SECONDS = 0.02  # fast speech has some twenty characters a second, and CTC wants a step for each, and between twins
MOST_BLOCKS = 256


class CTC(TextHead):
    """Characters by connectionist temporal classification, read off by the best path.

    A few ConvNeXt blocks on the frames, then a linear layer. Where frames are coarser than 20 ms, that layer makes
    several steps of each, so that a text still fits; when within a frame something was said, the frame then has to
    tell by itself.

    Source: CTC, Graves et al. 2006 (doi:10.1145/1143844.1143891); the blocks: ConvNeXt, arXiv:2201.03545.

    Args:
        frames: what the backbone makes.
        alphabet: the characters to write, without the blank.
        width: channels of the blocks.
        blocks: how many; none is a linear layer on each frame.
        dropout: share of channels dropped before the last layer in training.

    Raises:
        ContractError: the alphabet is none, a width below 1, more than 256 blocks, or a dropout outside [0, 1).
    """

    def __init__(
        self, *, frames: FrameSpec, alphabet: str = LETTERS, width: int = 192, blocks: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__()
        check_alphabet(alphabet)
        if width < 1:
            raise ContractError(f"width is 1 or more, got {width}")
        if not 0 <= blocks <= MOST_BLOCKS:
            raise ContractError(f"blocks are 0 to {MOST_BLOCKS}, got {blocks}")
        if not 0 <= dropout < 1:
            raise ContractError(f"dropout is a share in [0, 1), got {dropout}")
        self.alphabet = alphabet
        self.steps = max(1, round(1 / (frames.frame_rate_hz * STEP_SECONDS)))
        self.enter = nn.Sequential(nn.LayerNorm(frames.channels), nn.Linear(frames.channels, width))
        self.blocks = nn.ModuleList(ConvBlock(width, 0, index) for index in range(blocks))
        self.exit = nn.Sequential(
            nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, self.steps * (1 + len(alphabet)))
        )
        self._index = {char: number for number, char in enumerate(alphabet, start=1)}

    def log_probabilities(self, frames: Frames) -> Frames:
        """(B, T, C) -> (B, steps T, 1 + len(alphabet)); index 0 is the blank."""
        frames = frames.cut(frames.longest)
        # Padding may hold NaN, which no product with a mask takes away, nor a gradient of 0.
        hidden = frames.with_values(self.enter(frames.values.where(frames.mask(), 0)))
        for block in self.blocks:
            hidden = block(hidden, None)
        logits = self.exit(hidden.values).unflatten(2, (self.steps, 1 + len(self.alphabet))).flatten(1, 2)
        precise = torch.promote_types(logits.dtype, torch.float32)  # 16 bits do not add up over a recording
        return Frames(F.log_softmax(logits.to(precise), dim=2), frames.lengths * self.steps)

    def transcribe(self, frames: Frames) -> list[str]:
        """The best path: of each step the likeliest, twins taken once, without blanks."""
        found = self.log_probabilities(frames)
        paths, lengths = found.values.argmax(dim=2).tolist(), found.lengths.tolist()
        texts = ("".join(self._write(path[:length])) for path, length in zip(paths, lengths, strict=True))
        return [" ".join(text.split()) for text in texts]

    def frames_needed(self, text: str) -> int:
        """One step a character, and a blank between twins: "hello" takes six.

        Raises:
            ContractError: it cannot be spelled.
        """
        return max(1, math.ceil(_steps_of(self.spell(text)) / self.steps))

    def loss(self, frames: Frames, texts: Sequence[str]) -> Loss:
        """The negative log-likelihood of each text, by its characters; the mean over the batch."""
        written = [self.spell(text) for text in texts]
        found = self.log_probabilities(frames)
        # torch's loss is infinite where a text does not fit, or with zero_infinity says that nothing is wrong.
        for text, length in zip(written, frames.lengths.tolist(), strict=True):
            if _steps_of(text) > length * self.steps:
                raise ContractError(
                    f"{text[:60]!r} takes {self.frames_needed(text)} frames at least, its recording has {length}; "
                    "the text of an excerpt is not that of the recording"
                )
        device = found.values.device
        lengths = torch.tensor([len(text) for text in written], device=device)
        targets = torch.tensor([self._index[char] for text in written for char in text], device=device)
        with torch.autocast(device.type, enabled=False):
            each: Tensor = F.ctc_loss(
                found.values.transpose(0, 1), targets.long(), found.lengths, lengths, blank=0, reduction="none"
            )
        return Loss((each / lengths.clamp(min=1)).mean(), {})

    def _write(self, path: Sequence[int]) -> list[str]:
        return [self.alphabet[index - 1] for index, _ in groupby(path) if index]


def _steps_of(text: str) -> int:
    return len(text) + sum(one == other for one, other in pairwise(text))
