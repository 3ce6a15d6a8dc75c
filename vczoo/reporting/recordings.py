"""The recordings of a report: what is held out, and what the heads of a run make of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from vczoo.audio.waveform import LONGEST_SECONDS
from vczoo.conversion.converter import Converter
from vczoo.data.columns import Split
from vczoo.data.corpus import Corpus, Utterance
from vczoo.data.corpus_reader import read_corpus
from vczoo.data.excerpts import UtteranceReader
from vczoo.errors import CorpusError
from vczoo.runs.run import MANIFEST

__all__ = ["MOST_RECORDINGS", "Reading", "corpus_of", "held_out", "read_with_heads", "spread"]

MOST_RECORDINGS = 120  # that the heads read: a minute of computing at most, and enough for a map
SPLITS: tuple[Split, ...] = ("test", "validation")

Location = str | os.PathLike[str]


@dataclass(frozen=True)
class Reading:
    """What the heads of a run make of one recording.

    Attributes:
        utterance: The recording.
        classes: The number of the most likely class, by the name of each speaker and label head.
        embedding: The embedding of the first speaker head, (E,) of length 1; None without a speaker head.
    """

    utterance: Utterance
    classes: dict[str, int]
    embedding: Tensor | None


def corpus_of(run_folder: Path | None, data: Location | Sequence[Location] | None) -> tuple[Corpus | None, str]:
    """The recordings of a run.

    Args:
        run_folder: The folder of the run, whose manifest is read if `data` is None.
        data: Recordings, as for `finetune`.

    Returns:
        The corpus, and ""; or None, and a sentence that says why there is none.

    Raises:
        CorpusError: `data` cannot be read.
    """
    if data is not None:
        return read_corpus(data), ""
    manifest = run_folder / MANIFEST if run_folder else None
    if manifest is None or not manifest.is_file():
        return None, "This run does not say which recordings it was trained on. Give some with --data."
    try:
        return read_corpus(manifest), ""
    except CorpusError:
        return None, "The recordings that this run was trained on are no longer there. Give some with --data."


def held_out(corpus: Corpus) -> tuple[Utterance, ...]:
    """The recordings that no training has read: those of the test split or, if it is empty, of validation."""
    return next((utterances for split in SPLITS if (utterances := corpus.split(split))), ())


def spread(utterances: Sequence[Utterance], count: int) -> list[Utterance]:
    """At most `count` recordings, evenly spread, so that every speaker of a sorted list is among them."""
    if len(utterances) <= count:
        return list(utterances)
    return [utterances[index * len(utterances) // count] for index in range(count)]


@torch.inference_mode()
def read_with_heads(converter: Converter, utterances: Sequence[Utterance]) -> list[Reading]:
    """Run the speaker and label heads of a run over recordings. Of a long recording, they read the first half minute.

    Raises:
        AudioError: A recording cannot be read any more.
    """
    model, reader = converter.model, UtteranceReader(converter.model.sample_rate_hz)
    readings = []
    for utterance in utterances:
        part = replace(utterance, seconds=min(utterance.seconds, LONGEST_SECONDS), is_part=True)
        wave = reader.read(utterance if utterance.seconds <= LONGEST_SECONDS else part).to(converter.device)
        content = model.content(wave)
        classes, embedding = {}, None
        for name, head in model.speaker_heads.items():
            frames = model.acoustic(wave) if name in model.acoustic_heads else content
            classes[name] = int(head.logits(frames).argmax())
            if embedding is None:
                embedding = head.enroll_voice([frames], [])["embedding"].flatten().float().cpu()
        for name, label_head in model.label_heads.items():
            classes[name] = int(label_head.logits(content).argmax())
        readings.append(Reading(utterance, classes, embedding))
    return readings
