"""Word and character error rates, and unweighted average recall, of heads' predictions. Imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

from vczoo.modules.interfaces.heads import Answer

__all__ = ["edit_distance", "rates"]


def rates(answers: Iterable[Answer]) -> dict[str, float]:
    """Compute the error rates and recalls of all utterances together, by `<head>.<figure>`.

    Text heads get `wer` and `cer`: the edits over all utterances divided by the number of reference words or
    characters; spaces count as characters. Label heads get `recall`: the recall of each label that occurs in the
    references, averaged over labels (unweighted average recall), so that frequent labels do not dominate.
    """
    by_head: defaultdict[tuple[str, str], list[Answer]] = defaultdict(list)
    for answer in answers:
        by_head[answer.head, answer.kind].append(answer)
    figures: dict[str, float] = {}
    for (head, kind), head_answers in by_head.items():
        if kind == "text":
            figures[f"{head}.wer"] = _rate([(answer.right.split(), answer.given.split()) for answer in head_answers])
            figures[f"{head}.cer"] = _rate([(answer.right, answer.given) for answer in head_answers])
        else:
            figures[f"{head}.recall"] = _recall(head_answers)
    return figures


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


def _recall(answers: Sequence[Answer]) -> float:
    hits_of_label: defaultdict[str, list[bool]] = defaultdict(list)
    for answer in answers:
        hits_of_label[answer.right].append(answer.right == answer.given)
    return sum(sum(hits) / len(hits) for hits in hits_of_label.values()) / len(hits_of_label)
