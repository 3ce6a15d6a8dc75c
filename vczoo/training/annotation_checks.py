"""Checks that recordings have the texts, labels and other values that heads learn from, with all faults at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from vczoo.audio.waveform import LONGEST_SECONDS
from vczoo.data.corpus import Corpus, Utterance
from vczoo.errors import CorpusError
from vczoo.io.text import bulleted, truncated_list
from vczoo.models.model import Model
from vczoo.modules.alphabet import spelled
from vczoo.modules.interfaces.head import Column
from vczoo.modules.interfaces.heads import TextHead

__all__ = ["check_annotations"]


def check_annotations(model: Model, corpus: Corpus, crop_seconds: float) -> None:
    """Raise an error unless a corpus has the texts, labels and other columns that the model's heads need.

    Args:
        model: A model that was built for the corpus's labels.
        corpus: The corpus, with all of its splits.
        crop_seconds: The recipe's `training.crop_seconds`. A text head reads whole recordings, none of which may be
            longer.

    Raises:
        CorpusError: The corpus has faults, all of which the message lists: recordings without a text, label or other
            value that a head reads, or with one that is not a number although the head reads numbers; fewer
            than two labels, or labels outside the training split; characters that an alphabet lacks, with their counts;
            recordings that are too long, or too short for their text.
    """
    faults = [*_label_faults(model, corpus)]
    for column, kind in model.annotation_columns.items():
        faults += _column_faults(corpus, column, kind)
    if model.text_heads:
        faults += _missing(corpus, "text", "a .txt file beside each recording, or a column text in a manifest")
        faults += _length_faults(corpus, min(crop_seconds, LONGEST_SECONDS))
    for name, head in model.text_heads.items():
        faults += _text_faults(name, head, model, corpus)
    if faults:
        raise CorpusError(bulleted("these recordings cannot be used for training", faults))


def _label_faults(model: Model, corpus: Corpus) -> Iterator[str]:
    if not model.label_heads:
        return
    yield from _missing(corpus, "label", "a column label in a manifest")
    labels = next(iter(model.label_heads.values())).labels
    if len(labels) < 2:
        yield f"a label head needs at least 2 labels, but the training recordings have only {' and '.join(labels)}"
    unknown = Counter(u.label for u in corpus.utterances if u.label and u.label not in labels)
    if unknown:
        counts = ", ".join(f"{label!r} ({count})" for label, count in unknown.most_common(12))
        yield f"labels that no recording for training has: {counts}; mark some of each for training, or leave them out"


def _column_faults(corpus: Corpus, column: str, kind: Column) -> Iterator[str]:
    yield from _missing(corpus, column, f"a column {column} in a manifest")
    if kind == "number":
        values = [(utterance, utterance.annotation(column)) for utterance in corpus.utterances]
        wrong = [f"{utterance.name}: {text[:40]!r}" for utterance, text in values if text and not _is_number(text)]
        if wrong:
            yield _listed(f"{len(wrong)} recordings have a {column} that is not a number; correct them:", wrong)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _missing(corpus: Corpus, what: str, where: str) -> Iterator[str]:
    lacking = [utterance for utterance in corpus.utterances if not utterance.annotation(what)]
    if lacking:
        count = f"{len(lacking)} of {len(corpus.utterances)} recordings have no {what}; add {where}:"
        yield _listed(count, [utterance.name for utterance in lacking])


def _length_faults(corpus: Corpus, longest_seconds: float) -> Iterator[str]:
    long = [utterance for utterance in corpus.utterances if utterance.seconds > longest_seconds]
    if not long:
        return
    most = max(utterance.seconds for utterance in long)
    way = (
        f"cut them, because training.crop_seconds is at most {LONGEST_SECONDS:g} here"
        if most > LONGEST_SECONDS
        else f"set training.crop_seconds={most:.2f} or more, at the cost of memory, or cut them"
    )
    yield _listed(
        f"{len(long)} recordings are longer than {longest_seconds:g} s, but a segment of one has no known text; {way}:",
        [f"{utterance.name}: {utterance.seconds:.2f} s" for utterance in long],
    )


def _text_faults(name: str, head: TextHead, model: Model, corpus: Corpus) -> Iterator[str]:
    lacking: Counter[str] = Counter()
    short: list[str] = []
    wordless: list[str] = []
    for utterance in corpus.utterances:
        if not utterance.text:
            continue
        written, unknown = spelled(utterance.text, head.alphabet)
        lacking.update(unknown)
        if not written and not unknown:
            wordless.append(f"{utterance.name}: {utterance.text[:40]!r}")
        elif not unknown and (needed := head.frames_needed(written)) > (actual := _frames_of(model, utterance)):
            short.append(f"{utterance.name}: {actual} frames, {needed} needed for {written[:40]!r}")
    if lacking:
        counts = ", ".join(f"{char!r} ({count})" for char, count in lacking.most_common(40))
        yield (
            f"heads.{name}.alphabet lacks characters of the texts, with their counts: {counts}. Add them to it, or"
            " write the texts as they are spoken (2 as two)"
        )
    if wordless:
        yield _listed(f"{len(wordless)} texts have no character that head {name} can write; correct them:", wordless)
    if short:
        title = f"{len(short)} recordings have fewer frames than head {name} needs for their texts; correct them:"
        yield _listed(title, short)


def _frames_of(model: Model, utterance: Utterance) -> int:
    return model.backbone.num_frames(round(utterance.seconds * model.backbone.spec.sample_rate_hz))


def _listed(title: str, lines: Sequence[str]) -> str:
    return "\n    ".join([title, *truncated_list(lines)])
