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
    """Accuracy over the test utterances of the speakers that a run knew before and of the new ones, apart."""
    figures = {}
    for age in ("old", "new"):
        tested = [part for u in corpus.split("test") if u.speaker in speakers for part in u.parts(LONGEST_SECONDS)]
        utterances = [u for u in tested if (u.speaker in old) == (age == "old")]
        if utterances and features.model.speaker_heads:
            figures[age] = _accuracy(features, utterances, speakers)
    return figures


@torch.inference_mode()
def voice_of(features: Features, corpus: Corpus, speaker: str) -> Voice:
    """What enrolment keeps of a speaker's training utterances, from their features."""
    model = features.model.eval()
    own = [part for u in corpus.split("train") if u.speaker == speaker for part in u.parts(LONGEST_SECONDS)]
    contents = features.content(own)
    if not model.reads_mels:
        return Voice(speaker, model.voice_of(contents, [], []))
    pitches = [features.pitch(utterance).to(features.device) for utterance in own]
    if model.acoustic_mel:
        acoustics = [features.acoustic(utterance).to(features.device) for utterance in own]
    else:
        acoustics = contents
    return Voice(speaker, model.voice_of(contents, acoustics, pitches))


@torch.inference_mode()
def _accuracy(features: Features, utterances: Sequence[Utterance], speakers: Sequence[str]) -> dict[str, float]:
    head = next(iter(features.model.eval().speaker_heads.values()))
    right, by_mels = 0, features.model.speakers_by_mels
    for utterance in utterances:
        (content,) = [features.acoustic(utterance).to(features.device)] if by_mels else features.content([utterance])
        right += speakers[int(head.logits(content).argmax())] == utterance.speaker
    return {"accuracy": right / len(utterances), "utterances": len(utterances)}
