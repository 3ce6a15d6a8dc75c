"""Nearest-neighbor search from a recording's content frames to the content frames of a voice."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vczoo.audio.frames import Frames

__all__ = ["CHUNK_FRAMES", "nearest_frames", "retrieve", "source_centre"]

CHUNK_FRAMES = 8192
PRIOR_SECONDS = 0.5


def source_centre(content: Frames, frame_rate_hz: float, voice_mean: Tensor) -> Tensor:
    """Compute the mean to subtract from a recording's frames before they are compared with those of a centered voice.

    The mean of a recording depends on its speaker, so subtracting it makes the frames of two speakers similar. The mean
    of a short recording depends more on what is said, which must not be removed. Therefore the mean is computed as if
    the recording had half a second more, in which every frame is the voice's mean.

    Args:
        content: Content frames of the recordings, (B, T, C). Padding is not read.
        frame_rate_hz: Number of frames per second.
        voice_mean: Mean of the voice's frames, (C,).

    Returns:
        The mean for each recording, (B, C).
    """
    own, _ = content.moments()
    prior = PRIOR_SECONDS * frame_rate_hz
    share = (prior / (content.lengths + prior)).to(own.dtype)[:, None]
    return torch.lerp(own, voice_mean.to(own).expand_as(own), share)


def retrieve(content: Frames, frame_rate_hz: float, reference: Tensor, k: int) -> Frames:
    """Replace each frame by the mean of the k nearest frames of a voice: (B, T, C) -> (B, T, C).

    Frames are compared by cosine similarity, after both sides are centered.

    Args:
        content: Content frames of the recordings, (B, T, C). Padding is not read.
        frame_rate_hz: Number of frames per second.
        reference: The backbone's frames of the voice, (N, C).
        k: Number of neighbors to average.
    """
    mean = reference.mean(dim=0)
    centered = content.values - source_centre(content, frame_rate_hz, mean)[:, None]
    queries = F.normalize(centered.where(content.mask(), 0).flatten(0, 1), dim=1)
    matches = nearest_frames(queries, F.normalize(reference - mean, dim=1), k)
    return content.with_values(reference[matches].mean(dim=1).view_as(content.values))


def nearest_frames(queries: Tensor, reference: Tensor, k: int, chunk_frames: int = CHUNK_FRAMES) -> Tensor:
    """Find the k reference rows with the highest dot product for each query: (Q, C), (N, C) -> (Q, min(k, N)).

    The search is exact. It compares the two sides in chunks and keeps only the best k rows so far. Beyond the inputs
    and the result, it therefore stores at most `chunk_frames` squared values, however long the reference is.

    Args:
        queries: The query rows, (Q, C).
        reference: The reference rows, (N, C).
        k: Number of rows to find for each query.
        chunk_frames: Number of rows of either side that are compared at a time.

    Returns:
        Indices of reference rows, best first.
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
        scores, best = scores.topk(min(k, scores.shape[1]), dim=1)
        indices = indices.gather(1, best)
    return indices
