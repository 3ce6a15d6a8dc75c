"""A model and a corpus in; which recordings lack the text or label that a head learns from, all at once, out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from vczoo.audio.waveform import LONGEST_SECONDS
from vczoo.data.corpus import Corpus, Utterance
from vczoo.errors import CorpusError
from vczoo.io.text import truncated_list
from vczoo.models.model import Model
from vczoo.modules.alphabet import spelled
from vczoo.modules.interfaces.heads import TextHead

__all__ = ["check_annotations"]


def check_annotations(model: Model, corpus: Corpus, crop_seconds: float) -> None:
    """See that a corpus has what the model's text and label heads learn from.

    Args:
        model: built for the corpus' labels.
        corpus: all of its splits.
        crop_seconds: the recipe's; a text head hears whole recordings, none of which may be longer.

    Raises:
        CorpusError: with every fault: recordings without a text or label; labels that training does not hear, or only
            one; characters that an alphabet lacks, with their counts; recordings too long, or too short for their text.
    """
    faults = [*_label_faults(model, corpus)]
    if model.text_heads:
        faults += _missing(corpus, "text", "a .txt file beside each recording, or a column text in a manifest")
        faults += _length_faults(corpus, min(crop_seconds, LONGEST_SECONDS))
    for name, head in model.text_heads.items():
        faults += _text_faults(name, head, model, corpus)
    if faults:
        lines = "".join(f"\n  - {fault}" for fault in faults)
        raise CorpusError(f"these recordings cannot be learnt from:{lines}")


def _label_faults(model: Model, corpus: Corpus) -> Iterator[str]:
    if not model.label_heads:
        return
    yield from _missing(corpus, "label", "a column label in a manifest")
    known = next(iter(model.label_heads.values())).labels
    if len(known) < 2:
        yield f"a label head tells labels apart, and the recordings for training have {' and '.join(known)} alone"
    strange = Counter(u.label for u in corpus.utterances if u.label and u.label not in known)
    if strange:
        told = ", ".join(f"{label!r} ({count})" for label, count in strange.most_common(12))
        yield f"labels that no recording for training has: {told}; mark some of each for training, or leave them out"


def _missing(corpus: Corpus, what: str, where: str) -> Iterator[str]:
    lacking = [utterance for utterance in corpus.utterances if not getattr(utterance, what)]
    if lacking:
        count = f"{len(lacking)} of {len(corpus.utterances)} recordings have no {what}; give {where}:"
        yield _listed(count, [str(utterance.path) for utterance in lacking])


def _length_faults(corpus: Corpus, longest_seconds: float) -> Iterator[str]:
    long = [utterance for utterance in corpus.utterances if utterance.seconds > longest_seconds]
    if not long:
        return
    most = max(utterance.seconds for utterance in long)
    way = (
        f"cut them, training.crop_seconds is at most {LONGEST_SECONDS:g} here"
        if most > LONGEST_SECONDS
        else f"set training.crop_seconds={most:.2f} or more, at the cost of memory, or cut them"
    )
    yield _listed(
        f"{len(long)} recordings are longer than {longest_seconds:g} s, and of an excerpt the text is unknown; {way}:",
        [f"{utterance.path}: {utterance.seconds:.2f} s" for utterance in long],
    )


def _text_faults(name: str, head: TextHead, model: Model, corpus: Corpus) -> Iterator[str]:
    lacking: Counter[str] = Counter()
    short: list[str] = []
    wordless: list[str] = []
    for utterance in corpus.utterances:
        if not utterance.text:
            continue
        written, strange = spelled(utterance.text, head.alphabet)
        lacking.update(strange)
        if not written and not strange:
            wordless.append(f"{utterance.path}: {utterance.text[:40]!r}")
        elif not strange and (needed := head.frames_needed(written)) > (there := _frames_of(model, utterance)):
            short.append(f"{utterance.path}: {there} frames, {needed} for {written[:40]!r}")
    if lacking:
        told = ", ".join(f"{char!r} ({count})" for char, count in lacking.most_common(40))
        yield (
            f"heads.{name}.alphabet lacks characters of the texts, with their counts: {told}. Add them to it, or"
            " write the texts as they are spoken (2 as two)"
        )
    if wordless:
        yield _listed(f"{len(wordless)} texts have no character that head {name} writes; correct them:", wordless)
    if short:
        what = f"{len(short)} recordings have fewer frames than head {name} takes to write their texts; correct them:"
        yield _listed(what, short)


def _frames_of(model: Model, utterance: Utterance) -> int:
    return model.backbone.num_frames(round(utterance.seconds * model.backbone.spec.sample_rate_hz))


def _listed(title: str, lines: Sequence[str]) -> str:
    return "\n    ".join([title, *truncated_list(lines)])
