"""Text head with connectionist temporal classification (CTC)."""

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
from vczoo.modules.nn.convnext import apply_blocks, conv_blocks

__all__ = ["CTC"]

# Fast speech has about 20 characters per second. CTC needs a step for each, and one between two equal characters.
STEP_SECONDS = 0.02
MOST_BLOCKS = 256


class CTC(TextHead):
    """CTC transcription of characters, with best-path decoding.

    A few ConvNeXt blocks read the frames, and a linear layer follows. If frames are longer than 20 ms, that layer
    predicts several steps per frame, so that a text still fits. The activations of a frame then have to encode the
    order of the characters within it.

    Source: CTC, Graves et al. 2006 (doi:10.1145/1143844.1143891). The blocks are from ConvNeXt, arXiv:2201.03545.

    Args:
        frames: Format of the backbone's frames.
        alphabet: The characters of the transcripts, without the blank.
        width: Number of channels of the blocks.
        blocks: Number of blocks. With 0, each frame is classified by linear layers only.
        dropout: Share of the channels that is dropped before the last layer in training.

    Raises:
        ContractError: The alphabet is not valid, the width is below 1, `blocks` is not 0 to 256, or the dropout is
            outside [0, 1).
    """

    def __init__(
        self, *, frames: FrameSpec, alphabet: str = LETTERS, width: int = 192, blocks: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__()
        check_alphabet(alphabet)
        if width < 1:
            raise ContractError(f"width must be 1 or more, got {width}")
        if not 0 <= blocks <= MOST_BLOCKS:
            raise ContractError(f"blocks must be 0 to {MOST_BLOCKS}, got {blocks}")
        if not 0 <= dropout < 1:
            raise ContractError(f"dropout must be in [0, 1), got {dropout}")
        self.alphabet = alphabet
        self.steps = max(1, round(1 / (frames.frame_rate_hz * STEP_SECONDS)))
        self.enter = nn.Sequential(nn.LayerNorm(frames.channels), nn.Linear(frames.channels, width))
        self.blocks = conv_blocks(width, 0, blocks)
        self.exit = nn.Sequential(
            nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, self.steps * (1 + len(alphabet)))
        )
        self._index = {char: number for number, char in enumerate(alphabet, start=1)}

    def log_probabilities(self, frames: Frames) -> Frames:
        """Return the log-probability of each character at each step: (B, T, C) -> (B, steps * T, 1 + len(alphabet)).

        Index 0 is the blank.
        """
        frames = frames.cut(frames.longest)
        # Not a product with the mask: padding may hold NaN, and NaN times 0 is NaN, in the gradient too.
        hidden = frames.with_values(self.enter(frames.values.where(frames.mask(), 0)))
        hidden = apply_blocks(self.blocks, hidden)
        logits = self.exit(hidden.values).unflatten(2, (self.steps, 1 + len(self.alphabet))).flatten(1, 2)
        precise = torch.promote_types(logits.dtype, torch.float32)  # sums over a recording need more than 16 bits
        return Frames(F.log_softmax(logits.to(precise), dim=2), frames.lengths * self.steps)

    def transcribe(self, frames: Frames) -> list[str]:
        """Transcribe by the best path: the most probable index of each step, without repetitions and blanks."""
        log_probabilities = self.log_probabilities(frames)
        paths, lengths = log_probabilities.values.argmax(dim=2).tolist(), log_probabilities.lengths.tolist()
        texts = ("".join(self._write(path[:length])) for path, length in zip(paths, lengths, strict=True))
        return [" ".join(text.split()) for text in texts]

    def frames_needed(self, text: str) -> int:
        """Return the least number of frames that a recording with this text needs.

        A text needs one step per character, and one between two equal characters: "hello" needs six.

        Raises:
            ContractError: The text has characters that the alphabet lacks.
        """
        return max(1, math.ceil(_steps_of(self.spell(text)) / self.steps))

    def loss(self, frames: Frames, texts: Sequence[str]) -> Loss:
        """Return the negative log-likelihood per character of each text, averaged over the batch.

        Raises:
            ContractError: A text has characters that the alphabet lacks, or needs more frames than its item has.
        """
        normalized = [self.spell(text) for text in texts]
        log_probabilities = self.log_probabilities(frames)
        # If a text does not fit, torch's loss is infinite, or 0 with zero_infinity, which would hide the error.
        for text, length in zip(normalized, frames.lengths.tolist(), strict=True):
            if _steps_of(text) > length * self.steps:
                raise ContractError(
                    f"{text[:60]!r} needs at least {self.frames_needed(text)} frames, but its recording has {length}; "
                    "check the text, and do not use the text of a longer recording for a segment of it"
                )
        device = log_probabilities.values.device
        lengths = torch.tensor([len(text) for text in normalized], device=device)
        targets = torch.tensor([self._index[char] for text in normalized for char in text], device=device)
        with torch.autocast(device.type, enabled=False):
            losses: Tensor = F.ctc_loss(
                log_probabilities.values.transpose(0, 1),
                targets.long(),
                log_probabilities.lengths,
                lengths,
                blank=0,
                reduction="none",
            )
        return Loss((losses / lengths.clamp(min=1)).mean(), {})

    def _write(self, path: Sequence[int]) -> list[str]:
        return [self.alphabet[index - 1] for index, _ in groupby(path) if index]


def _steps_of(text: str) -> int:
    return len(text) + sum(char == following for char, following in pairwise(text))
