"""Voices and recognition accuracy of a corpus's speakers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vczoo.audio.waveform import LONGEST_SECONDS
from vczoo.data.corpus import Corpus, Utterance
from vczoo.modules.interfaces.heads import Voice
from vczoo.training.features import Features

__all__ = ["accuracy_by_age", "voice_of"]


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
