"""Speaker verification: centroids, cosine scores and equal error rates of speaker embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["centroid", "equal_error_rate", "genuine_scores"]


def centroid(embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the normalized mean (E,) of N unit embeddings (N, E), or zero if they cancel out."""
    mean: NDArray[np.float64] = embeddings.mean(axis=0)
    norm = float(np.linalg.norm(mean))
    return mean / norm if norm > 0 else mean


def genuine_scores(embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosines (N (N - 1) / 2,) of all pairs of different recordings, from unit embeddings (N, E)."""
    first, second = np.triu_indices(len(embeddings), k=1)
    scores: NDArray[np.float64] = (embeddings[first] * embeddings[second]).sum(axis=1)
    return scores


def equal_error_rate(genuine: NDArray[np.float64], impostor: NDArray[np.float64]) -> float:
    """Compute the equal error rate (EER), 0 to 1: where the false acceptance and false rejection rates are equal.

    A pair is accepted if its score is at or above the threshold. Between two thresholds both rates are interpolated
    linearly.

    Args:
        genuine: Scores (N,) of pairs of recordings of one speaker.
        impostor: Scores (M,) of pairs of different speakers. To evaluate a conversion, use pairs of converted and real
            target speech; higher is then better: 0 means that the verifier always rejects the conversion, 0.5 that it
            cannot distinguish it from the target.
    """
    thresholds = np.unique(np.concatenate([genuine, impostor]))
    refused = np.append(np.searchsorted(np.sort(genuine), thresholds, side="left") / genuine.size, 1.0)
    accepted = np.append(1 - np.searchsorted(np.sort(impostor), thresholds, side="left") / impostor.size, 0.0)
    # At the lowest threshold every pair is accepted; past the highest, every pair is rejected.
    after = int(np.argmax(refused >= accepted))
    if after == 0:
        return float((refused[0] + accepted[0]) / 2)
    gap_before = accepted[after - 1] - refused[after - 1]
    gap_after = refused[after] - accepted[after]
    share = gap_before / (gap_before + gap_after)
    return float(refused[after - 1] + share * (refused[after] - refused[after - 1]))
