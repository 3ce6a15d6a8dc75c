"""What heads answered beside what is right in; rates of wrong words and characters, and recalls, out. No torch here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

from vczoo.modules.interfaces.heads import Answer

__all__ = ["edit_distance", "rates"]


def rates(answers: Iterable[Answer]) -> dict[str, float]:
    """The figures of some utterances together, by `<head>.<figure>`.

    Of texts `wer` and `cer`: the wrong words and characters of all, over those of all that is right; spaces are
    characters. Of labels `recall`: the mean, over the labels that are asked for, of the share that is recognised
    (unweighted average recall), which does not gain by a label that is frequent.
    """
    of_head: defaultdict[tuple[str, str], list[Answer]] = defaultdict(list)
    for answer in answers:
        of_head[answer.head, answer.kind].append(answer)
    figures: dict[str, float] = {}
    for (head, kind), own in of_head.items():
        if kind == "text":
            figures[f"{head}.wer"] = _rate([(one.right.split(), one.given.split()) for one in own])
            figures[f"{head}.cer"] = _rate([(one.right, one.given) for one in own])
        else:
            figures[f"{head}.recall"] = _recall(own)
    return figures


def edit_distance(right: Sequence[Hashable], given: Sequence[Hashable]) -> int:
    """The least substitutions, deletions and insertions that make the one the other (Levenshtein)."""
    row = list(range(len(given) + 1))
    for number, wanted in enumerate(right, start=1):
        diagonal, row[0] = row[0], number
        for place, found in enumerate(given, start=1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (wanted != found))
    return row[-1]


def _rate(pairs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> float:
    wrong = sum(edit_distance(right, given) for right, given in pairs)
    return wrong / max(1, sum(len(right) for right, _ in pairs))


def _recall(answers: Sequence[Answer]) -> float:
    right: defaultdict[str, list[bool]] = defaultdict(list)
    for answer in answers:
        right[answer.right].append(answer.right == answer.given)
    return sum(sum(hits) / len(hits) for hits in right.values()) / len(right)
