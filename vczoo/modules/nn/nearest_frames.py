"""Content frames of a source and of a voice in; which frames of the voice are nearest to each of the source's, out."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vczoo.audio.frames import Frames

__all__ = ["CHUNK_FRAMES", "nearest_frames", "retrieve", "source_centre"]

CHUNK_FRAMES = 8192
PRIOR_SECONDS = 0.5


def source_centre(content: Frames, frame_rate_hz: float, voice_mean: Tensor) -> Tensor:
    """What is subtracted from a recording's frames before they are matched with those of a centred voice.

    A recording's mean tells who speaks, and taking it away makes the frames of two speakers alike. The mean of a
    short one, or of silence, rather tells what is in it, which must stay: so the voice's mean stands in for half a
    second of the recording.

    Args:
        content: (B, T, C), the recordings.
        frame_rate_hz: frames a second.
        voice_mean: (C,), the mean over the voice's own frames.

    Returns:
        (B, C); padding is not read.
    """
    own, _ = content.moments()
    prior = PRIOR_SECONDS * frame_rate_hz
    share = (prior / (content.lengths + prior)).to(own.dtype)[:, None]
    return torch.lerp(own, voice_mean.to(own).expand_as(own), share)


def retrieve(content: Frames, frame_rate_hz: float, reference: Tensor, k: int) -> Frames:
    """In place of each frame the mean of the k frames of a voice that are nearest by cosine, both sides centred.

    Args:
        content: (B, T, C), the recordings; padding is not read.
        frame_rate_hz: frames a second.
        reference: (N, C), the voice's frames as the backbone made them.
        k: neighbours that are averaged.
    """
    mean = reference.mean(dim=0)
    centred = content.values - source_centre(content, frame_rate_hz, mean)[:, None]
    queries = F.normalize(centred.where(content.mask(), 0).flatten(0, 1), dim=1)
    matches = nearest_frames(queries, F.normalize(reference - mean, dim=1), k)
    return content.with_values(reference[matches].mean(dim=1).view_as(content.values))


def nearest_frames(queries: Tensor, reference: Tensor, k: int, chunk_frames: int = CHUNK_FRAMES) -> Tensor:
    """Indices of the k reference rows of highest dot product for each query: (Q, C), (N, C) -> (Q, min(k, N)).

    Both sides are taken in chunks and only the best k so far are kept: memory beyond the inputs and the result is
    chunk_frames squared at most, however long the reference is. The search is exact.
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
