"""Word and character error rates, and unweighted average recall, of predictions. Imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

__all__ = ["edit_distance", "label_recall", "text_error_rates"]


def text_error_rates(pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Compute the error rates of all utterances together.

    `wer` and `cer` are the edits over all utterances divided by the number of reference words or characters; spaces
    count as characters.

    Args:
        pairs: The reference and the prediction of each utterance.
    """
    return {
        "wer": _rate([(reference.split(), predicted.split()) for reference, predicted in pairs]),
        "cer": _rate(pairs),
    }


def label_recall(pairs: Iterable[tuple[Any, Any]]) -> float:
    """Compute the recall of each label that occurs in the references, averaged over the labels.

    Frequent labels do not dominate this average (unweighted average recall).

    Args:
        pairs: The reference and the prediction of each utterance; at least one.
    """
    hits_of_label: defaultdict[Any, list[bool]] = defaultdict(list)
    for reference, predicted in pairs:
        hits_of_label[reference].append(reference == predicted)
    return sum(sum(hits) / len(hits) for hits in hits_of_label.values()) / len(hits_of_label)


def edit_distance(reference: Sequence[Hashable], hypothesis: Sequence[Hashable]) -> int:
    """Count the fewest substitutions, deletions and insertions between two sequences (Levenshtein distance)."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, start=1):
        diagonal, row[0] = row[0], i
        for j, actual in enumerate(hypothesis, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (expected != actual))
    return row[-1]


def _rate(pairs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> float:
    edits = sum(edit_distance(reference, hypothesis) for reference, hypothesis in pairs)
    return edits / max(1, sum(len(reference) for reference, _ in pairs))
