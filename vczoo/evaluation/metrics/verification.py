"""Speaker embeddings in, cosines and equal error rates out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["centroid", "equal_error_rate", "genuine_scores"]


def centroid(embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, E) of length 1 -> (E,) of length 1: their mean, scaled. Zero where they cancel."""
    mean: NDArray[np.float64] = embeddings.mean(axis=0)
    norm = float(np.linalg.norm(mean))
    return mean / norm if norm > 0 else mean


def genuine_scores(embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, E) of length 1 -> (N (N - 1) / 2,): the cosine of every pair of different recordings."""
    first, second = np.triu_indices(len(embeddings), k=1)
    scores: NDArray[np.float64] = (embeddings[first] * embeddings[second]).sum(axis=1)
    return scores


def equal_error_rate(genuine: NDArray[np.float64], impostor: NDArray[np.float64]) -> float:
    """The rate at which as many impostors are accepted as genuine pairs are refused, 0 to 1.

    A pair is accepted where its score is at or above a threshold. Between two thresholds both rates are joined
    by a straight line.

    Args:
        genuine: (N,) scores of pairs that are of one speaker.
        impostor: (M,) scores of pairs that are not; for a conversion: of converted and real target speech.
            Then 0 says that a verifier never takes the conversion for the target, and 0.5 that it cannot tell
            them apart: higher is better.
    """
    thresholds = np.unique(np.concatenate([genuine, impostor]))
    refused = np.append(np.searchsorted(np.sort(genuine), thresholds, side="left") / genuine.size, 1.0)
    accepted = np.append(1 - np.searchsorted(np.sort(impostor), thresholds, side="left") / impostor.size, 0.0)
    # At the lowest threshold nothing is refused and all accepted; past the highest, the reverse.
    after = int(np.argmax(refused >= accepted))
    if after == 0:
        return float((refused[0] + accepted[0]) / 2)
    gap_before = accepted[after - 1] - refused[after - 1]
    gap_after = refused[after] - accepted[after]
    share = gap_before / (gap_before + gap_after)
    return float(refused[after - 1] + share * (refused[after] - refused[after - 1]))
