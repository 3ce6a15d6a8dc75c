"""The speakers of a training: which they are, their voices and how well they are recognized."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from vczoo.audio.waveform import LONGEST_SECONDS
from vczoo.data.corpus import Corpus, Utterance
from vczoo.data.corpus_reader import read_corpus
from vczoo.errors import CorpusError
from vczoo.modules.interfaces.heads import Voice
from vczoo.runs.run import MANIFEST, Run
from vczoo.training.features.features import Features

__all__ = ["accuracy_by_age", "training_speakers", "voice_of", "with_old_speakers"]


def with_old_speakers(place: Path, old: Run, new: Corpus) -> Corpus:
    """Add the recordings of a run's manifest to new ones, because speakers without recordings are forgotten.

    Args:
        place: The run's folder.
        old: The run.
        new: The new recordings, which may include the old ones.

    Raises:
        CorpusError: There are no recordings of one of the run's speakers.
    """
    manifest = place / MANIFEST
    cause = ""
    try:
        rehearsed = read_corpus(manifest) if manifest.is_file() else None
    except CorpusError as error:  # moved or deleted; the new recordings may include them
        rehearsed, cause = None, f" ({error})"
    merged = rehearsed.merge(new) if rehearsed else new
    if missing := sorted(set(old.speakers) - set(merged.speakers)):
        raise CorpusError(
            f"there are no recordings of {', '.join(missing)}, who are speakers of {place}{cause}; they would be "
            "forgotten. Add their recordings to data"
        )
    return merged


def training_speakers(corpus: Corpus, old: Run | None) -> tuple[str, ...]:
    """The speakers of the training split. A run's old speakers come first, so that their logits keep their places."""
    names = {utterance.speaker for utterance in corpus.split("train")}
    old_speakers = old.speakers if old else ()
    return (*old_speakers, *(name for name in corpus.speakers if name in names and name not in old_speakers))


def accuracy_by_age(
    features: Features, corpus: Corpus, speakers: Sequence[str], old: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Accuracy on the test utterances, separately for the `old` speakers of a run and the new ones."""
    figures = {}
    for age in ("old", "new"):
        parts = [part for u in corpus.split("test") if u.speaker in speakers for part in u.parts(LONGEST_SECONDS)]
        utterances = [u for u in parts if (u.speaker in old) == (age == "old")]
        if utterances and features.model.speaker_heads:
            figures[age] = _accuracy(features, utterances, speakers)
    return figures


@torch.inference_mode()
def voice_of(features: Features, corpus: Corpus, speaker: str) -> Voice:
    """Enroll a speaker from the features of the speaker's training utterances."""
    model = features.model.eval()
    utterances = [part for u in corpus.split("train") if u.speaker == speaker for part in u.parts(LONGEST_SECONDS)]
    contents = features.content(utterances)
    if not model.reads_mels:
        return Voice(speaker, model.voice_of(contents, [], []))
    pitches = [features.pitch(utterance).to(features.device) for utterance in utterances]
    if model.acoustic_mel:
        acoustics = [features.acoustic(utterance).to(features.device) for utterance in utterances]
    else:
        acoustics = contents
    return Voice(speaker, model.voice_of(contents, acoustics, pitches))


@torch.inference_mode()
def _accuracy(features: Features, utterances: Sequence[Utterance], speakers: Sequence[str]) -> dict[str, float]:
    head = next(iter(features.model.eval().speaker_heads.values()))
    correct, by_mels = 0, features.model.speakers_by_mels
    for utterance in utterances:
        (content,) = [features.acoustic(utterance).to(features.device)] if by_mels else features.content([utterance])
        correct += speakers[int(head.logits(content).argmax())] == utterance.speaker
    return {"accuracy": correct / len(utterances), "utterances": len(utterances)}
