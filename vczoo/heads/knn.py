"""kNN voice head: each content frame is replaced by the acoustic frames of its nearest neighbours in the voice."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from vczoo.errors import ContractError, VoiceError
from vczoo.frames import Frames
from vczoo.interfaces import Source, VoiceHead
from vczoo.specs import FrameSpec, MelSpec

__all__ = ["KNN", "nearest_frames"]


class KNN(VoiceHead):
    """No parameters; fitted by enrolment. Source: kNN-VC, arXiv:2305.18975.

    The mean of the k matched acoustic frames is what is said; the match is by cosine of the content frames.

    Args:
        frames: what the backbone makes.
        acoustic: what the vocoder reads.
        k: neighbours that are averaged.
        chunk_frames: rows of the reference compared at a time, which bounds memory.

    Raises:
        ContractError: k or chunk_frames is below 1.
    """

    def __init__(
        self, *, frames: FrameSpec, acoustic: MelSpec | FrameSpec, k: int = 4, chunk_frames: int = 8192
    ) -> None:
        super().__init__()
        if k < 1 or chunk_frames < 1:
            raise ContractError(f"k and chunk_frames are 1 or more, got k={k}, chunk_frames={chunk_frames}")
        self.k, self.chunk_frames = k, chunk_frames
        self.content_per_acoustic = frames.frame_rate_hz / acoustic.frame_rate_hz
        self.first = acoustic.first_frame * self.content_per_acoustic

    def enroll(self, content: Frames, acoustic: Frames) -> dict[str, Tensor]:
        """Keep every content frame of the voice at the acoustic rate, of length 1, with its acoustic frame.

        Returns:
            `content`, (N, C), and `acoustic`, (N, acoustic channels).
        """
        keys = content.resize(acoustic.lengths, self.content_per_acoustic, self.first)
        mask = acoustic.mask()[..., 0]
        return {"content": F.normalize(keys.values[mask], dim=1), "acoustic": acoustic.values[mask]}

    def convert(self, source: Source, voice: Mapping[str, Tensor]) -> Frames:
        """(B, T, C) -> (B, T', acoustic channels).

        Raises:
            VoiceError: the voice was not enrolled with this head.
        """
        if "content" not in voice:
            raise VoiceError("this voice has no reference frames; enrol it with recordings: vc.enroll(name, files)")
        queries = source.content.resize(source.pitch.lengths, self.content_per_acoustic, self.first)
        flat = F.normalize(queries.values.flatten(0, 1), dim=1)
        matches = nearest_frames(flat, voice["content"], self.k, self.chunk_frames)
        values = voice["acoustic"][matches].mean(dim=1)
        return queries.with_values(values.view(*queries.values.shape[:2], -1))


def nearest_frames(queries: Tensor, reference: Tensor, k: int, chunk_frames: int) -> Tensor:
    """Indices of the k reference rows of highest dot product for each query: (Q, C), (N, C) -> (Q, min(k, N)).

    Both sides are taken in chunks and only the best k so far are kept: memory beyond the inputs and the result is
    chunk_frames squared at most, however long the reference is.
    """
    k = min(k, reference.shape[0])
    chunks = (queries[start : start + chunk_frames] for start in range(0, queries.shape[0], chunk_frames))
    return torch.cat([_best(rows, reference, k, chunk_frames) for rows in chunks])


def _best(queries: Tensor, reference: Tensor, k: int, chunk_frames: int) -> Tensor:
    scores = queries.new_full((queries.shape[0], 0), 0.0)
    indices = torch.zeros((queries.shape[0], 0), dtype=torch.int64, device=queries.device)
    for start in range(0, reference.shape[0], chunk_frames):
        chunk = queries @ reference[start : start + chunk_frames].T
        new_scores, new_indices = chunk.topk(min(k, chunk.shape[1]), dim=1)
        scores = torch.cat([scores, new_scores], dim=1)
        indices = torch.cat([indices, new_indices + start], dim=1)
        scores, kept = scores.topk(min(k, scores.shape[1]), dim=1)
        indices = indices.gather(1, kept)
    return indices
