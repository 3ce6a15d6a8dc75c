from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import vczoo
from vczoo.audio.frames import Frames
from vczoo.audio.pitch import mean_log_hz
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import VoiceError
from vczoo.models.model import Model
from vczoo.modules.backbones.mel_conv import MelConv
from vczoo.modules.heads.knn import KNN
from vczoo.modules.heads.mel_decoder import MelDecoder
from vczoo.modules.heads.speaker import SpeakerAAM, SpeakerClassifier
from vczoo.modules.interfaces.heads import HeadBatch, Loss, Source, VoiceHead
from vczoo.modules.interfaces.vocoder import Vocoder
from vczoo.modules.vocoders.griffin_lim import GriffinLim

FRAMES = FrameSpec(16000, 320, 8)
MEL = MelSpec()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def tone(f0_hz: float, seconds: float = 0.4) -> Waveform:
    time = np.arange(round(seconds * 16000)) / 16000
    samples = sum(np.sin(2 * np.pi * n * f0_hz * time) / n for n in range(1, 12))
    return Waveform.of(torch.from_numpy(0.1 * samples).float(), 16000)


def whisper(seconds: float = 0.4) -> Waveform:
    """Noise with an onset, in which no pitch is found."""
    noise = torch.randn(round(seconds * 16000), generator=torch.Generator().manual_seed(1))
    return Waveform.of(0.001 * noise * torch.linspace(0, 1, noise.numel()), 16000)


def classifier() -> SpeakerClassifier:
    return SpeakerClassifier(frames=FRAMES, num_speakers=3, hidden=(8, 6))


def model(vocoder: Vocoder | None = None, shares: Any = None, **heads: nn.Module) -> Model:
    if not heads:
        decoder = MelDecoder(frames=FRAMES, acoustic=MEL, embedding_width=6, width=8, blocks=2, bottleneck=4)
        heads = {"speaker": classifier(), "voice": decoder}
    vocoder = vocoder if vocoder else GriffinLim(iterations=4)
    shares = shares or dict.fromkeys(heads, 1.0)
    return Model(MelConv(width=8, blocks=1), heads, shares, vocoder).eval()  # type: ignore[arg-type]


class Note(VoiceHead):
    """Keeps what it is given, and says one frame for every pitch frame."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding: torch.Tensor | None = None
        self.source: Source | None = None
        self.voice: Any = None

    def convert(self, source: Source, voice: Any) -> Frames:
        self.source, self.voice = source, dict(voice)
        return Frames.of(torch.full((1, source.pitch.values.shape[1], 80), -4.0))

    def loss(self, source: Source, embedding: torch.Tensor | None, target: Frames) -> Loss:
        self.source, self.embedding = source, embedding
        return Loss(target.values.mean(), {"figure": torch.tensor(7.0)})


def batch(made: Model) -> dict[str, Any]:
    wave = Waveform.batch([tone(120), tone(220), tone(170), tone(120, 0.3)])
    return {
        "content": made.content(wave),
        "content_spec": made.backbone.spec,
        "speakers": torch.tensor([0, 1, 2, 0]),
        "pitch": made.pitch(wave),
        "target": made.acoustic(wave),
    }


def test_the_loss_is_the_weighted_sum_of_the_heads() -> None:
    made = model(shares={"speaker": 0.3, "voice": 2.0})
    loss = made.loss(HeadBatch(**batch(made)))
    assert set(loss.metrics) == {"speaker.loss", "speaker.accuracy", "voice.loss", "voice.l1"}
    expected = 0.3 * loss.metrics["speaker.loss"] + 2.0 * loss.metrics["voice.loss"]
    torch.testing.assert_close(loss.value.detach(), expected)
    assert not any(value.requires_grad for value in loss.metrics.values())
    loss.value.backward()
    assert all(parameter.grad is not None for parameter in made.parameters())


def test_without_targets_only_speaker_heads_are_trained() -> None:
    made = model()
    given = batch(made) | {"pitch": None, "target": None}
    assert set(made.loss(HeadBatch(**given)).metrics) == {"speaker.loss", "speaker.accuracy"}


def test_a_head_without_a_loss_adds_none() -> None:
    made = model(speaker=classifier(), voice=KNN(frames=FRAMES, acoustic=MEL))
    loss = made.loss(HeadBatch(**batch(made)))
    torch.testing.assert_close(loss.value.detach(), loss.metrics["speaker.loss"])
    assert "voice.loss" not in loss.metrics


def test_a_voice_head_is_given_the_mean_embedding_of_each_speaker_in_the_batch() -> None:
    note = Note()
    made = model(speaker=classifier(), voice=note).train()
    given = batch(made)
    made.loss(HeadBatch(**given))
    assert made.heads["speaker"].training  # set back, after the embedding was taken without dropout
    embedding = note.embedding
    assert embedding is not None
    assert not embedding.requires_grad
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(embedding[0], embedding[3])
    with torch.no_grad():
        content = note.source.content if note.source else None
        each = made.heads["speaker"].eval().embed(content)  # type: ignore[operator]
    torch.testing.assert_close(embedding[0], nn.functional.normalize(each[0] + each[3], dim=0))
    torch.testing.assert_close(embedding[1], each[1])


def test_enrolment_keeps_embeddings_the_pitch_and_what_voice_heads_want() -> None:
    made = model(
        first=classifier(),
        second=SpeakerAAM(frames=FRAMES, num_speakers=3, width=5),
        knn=KNN(frames=FRAMES, acoustic=MEL),
    )
    voice = made.enroll([tone(120, 0.4), tone(130, 0.2)])
    assert {name: tuple(tensor.shape) for name, tensor in voice.items()} == {
        "first.embedding": (6,),
        "second.embedding": (5,),
        "pitch": (1,),
        "knn.keys": (41 + 21, 8),
        "knn.mean": (8,),
        "knn.acoustic": (41 + 21, 80),
    }
    assert all(tensor.dtype == torch.float32 and not tensor.requires_grad for tensor in voice.values())
    assert voice["first.embedding"].norm().item() == pytest.approx(1.0)
    assert voice["pitch"].exp().item() == pytest.approx(123, rel=0.04)
    with pytest.raises(VoiceError, match="needs at least one recording, got none"):
        made.enroll([])


def test_a_model_that_only_recognises_keeps_no_pitch() -> None:
    made = Model(MelConv(width=8, blocks=1), {"speaker": classifier()}, {"speaker": 1.0}, None).eval()
    assert set(made.enroll([tone(120)])) == {"speaker.embedding"}
    with pytest.raises(VoiceError, match=r"only recognizes: it has no voice head\. Load one with a voice head"):
        made.convert(tone(120), {})
    assert made.logits(tone(120)).shape == (1, 3)
    assert made.embed(tone(120))["speaker"].shape == (1, 6)


def test_a_long_recording_is_heard_in_equal_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    made, heard = model(speaker=classifier(), knn=KNN(frames=FRAMES, acoustic=MEL)), list[float]()
    long = Waveform.of(torch.cat([tone(120, 40).samples[0], tone(220, 30).samples[0]]), 16000)
    parts = [Waveform.of(samples, 16000) for samples in long.samples.tensor_split(3, dim=1)]
    apart = made.enroll(parts)
    embedding = nn.functional.normalize(torch.cat([made.embed(part)["speaker"] for part in parts]).mean(0), dim=0)
    for name in ("content", "acoustic", "pitch"):
        unheard = getattr(made, name)
        monkeypatch.setattr(made, name, lambda wave, hear=unheard: (heard.append(wave.seconds), hear(wave))[1])
    voice = made.enroll([long])
    assert all(torch.equal(tensor, apart[name]) for name, tensor in voice.items())
    torch.testing.assert_close(made.embed(long)["speaker"], embedding[None])
    assert heard == pytest.approx([70 / 3] * (9 + 3), abs=1e-3)


def test_enrolment_does_not_depend_on_the_order_of_recordings() -> None:
    made = model()
    forward, backward = made.enroll([tone(120), tone(220, 0.2)]), made.enroll([tone(220, 0.2), tone(120)])
    for name, tensor in forward.items():
        torch.testing.assert_close(tensor, backward[name], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("samples", [1, 159, 161, 4000, 6401])
def test_conversion_keeps_rate_and_length(samples) -> None:
    made = model()
    source = Waveform.of(tone(150).samples[0].repeat(2)[:samples], 16000)
    converted = made.convert(source, made.enroll([tone(220)]))
    assert converted.sample_rate_hz == 16000
    assert converted.samples.shape == (1, samples)
    assert converted.samples.isfinite().all()


def test_pitch_is_moved_to_the_mean_of_the_voice_or_by_semitones() -> None:
    note = Note()
    made = model(speaker=classifier(), voice=note)
    voice = made.enroll([tone(220)])

    def mean_hz(**options: float) -> float:
        made.convert(tone(120), voice, **options)
        assert note.source is not None
        return mean_log_hz(note.source.pitch).exp().item()

    assert mean_hz() == pytest.approx(220, rel=0.02)
    assert mean_hz(semitones=12) == pytest.approx(240, rel=0.02)
    assert mean_hz(semitones=-12) == pytest.approx(60, rel=0.02)
    assert mean_hz(semitones=0) == pytest.approx(120, rel=0.02)


def test_the_first_voice_head_gets_its_own_tensors_and_the_first_embedding() -> None:
    note = Note()
    made = model(speaker=classifier(), second=classifier(), voice=note, other=KNN(frames=FRAMES, acoustic=MEL))
    voice = made.enroll([tone(220)]) | {"voice.extra": torch.ones(2)}
    made.convert(tone(120), voice)
    assert set(note.voice) == {"extra", "embedding"}
    torch.testing.assert_close(note.voice["embedding"], voice["speaker.embedding"])
    assert note.source is not None
    assert note.source.content_spec == FRAMES


@pytest.mark.parametrize(("source", "target"), [("whisper", "tone"), ("tone", "whisper"), ("whisper", "whisper")])
def test_a_whisper_is_converted_without_nan(source, target) -> None:
    kinds = {"tone": tone(150), "whisper": Waveform.of(torch.zeros(6400), 16000)}
    made = model()
    voice = made.enroll([kinds[target]])
    assert bool(voice["pitch"].isnan()) == (target == "whisper")
    assert made.convert(kinds[source], voice).samples.isfinite().all()
    assert made.convert(kinds[source], voice, semitones=2).samples.isfinite().all()
    assert made.convert(whisper(), voice).samples.isfinite().all()


def test_a_mel_vocoder_sets_the_acoustic_frames_and_the_rate_of_pitch() -> None:
    made = model(GriffinLim(hop_length=256, num_mels=40), speaker=classifier())
    assert made.acoustic(tone(120)).values.shape == (1, 1 + 6400 // 256, 40)
    assert made.pitch(tone(120)).values.shape == (1, 1 + 6400 // 256, 2)
    assert made.sample_rate_hz == 16000


class FrameVocoder(Vocoder):
    accepts = FRAMES

    def forward(self, frames: Frames) -> Waveform:
        return Waveform.of(torch.zeros(len(frames), 320 * frames.values.shape[1]), 16000)


def test_a_vocoder_of_frames_reads_the_backbones_own() -> None:
    made = model(FrameVocoder(), knn=KNN(frames=FRAMES, acoustic=FRAMES))
    assert torch.equal(made.acoustic(tone(120)).values, made.backbone(tone(120)).values)
    converted = made.convert(tone(120), made.enroll([tone(220)]))
    assert converted.samples.shape == (1, 6400)


def test_a_pitch_of_nan_is_not_written_over_a_source_that_has_one() -> None:
    note = Note()
    made = model(speaker=classifier(), voice=note)
    voice = made.enroll([tone(220)]) | {"pitch": torch.tensor([math.nan])}
    made.convert(tone(120), voice)
    assert note.source is not None
    assert mean_log_hz(note.source.pitch).exp().item() == pytest.approx(120, rel=0.02)


def test_a_model_is_a_module_from_a_waveform_to_content_with_gradients(made_run: Path) -> None:
    model = vczoo.load(made_run).model
    assert isinstance(model, vczoo.Model)
    wave = Waveform.of(0.1 * torch.randn(2, 4410), 22050)
    frames = model(wave)
    assert torch.equal(frames.values, model.content(wave).values)
    frames.pool().sum().backward()
    assert any(parameter.grad is not None for parameter in model.backbone.parameters())
