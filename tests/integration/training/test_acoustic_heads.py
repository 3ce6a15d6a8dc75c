"""`reads: acoustic`: speaker heads of mels, from the recipe to enrolment; content is nothing to them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import vczoo
from vczoo.data.corpus_reader import read_corpus
from vczoo.errors import RecipeError
from vczoo.models.build import build, checked_recipe
from vczoo.training.setup import features_of, segments_by_split

BY_MELS = 'heads.speaker={"use": "speaker-conv", "reads": "acoustic", "width": 16, "channels": 16, "blocks": 1}'


def overrides(small: tuple[str, ...], *more: str) -> list[str]:
    return [*(one for one in small if not one.startswith("heads.speaker")), BY_MELS, *more]


@pytest.fixture(scope="module")
def mel_folder(tmp_path_factory: pytest.TempPathFactory, voices_folder: Path, small: tuple[str, ...]) -> Path:
    """A run whose speakers are known by their mels. Read only."""
    folder = tmp_path_factory.mktemp("by-mels") / "run"
    more = ("freezing.use=full", "training.epochs=12")
    vczoo.finetune("demo", voices_folder, folder, overrides(small, *more), progress=False, cache=False)
    return folder


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            ["vocoder=null", "heads.voice=null"],
            "heads.speaker: reads: acoustic needs a vocoder that reads mels; remove reads, or choose such a vocoder",
        ),
        (
            ["heads.voice.reads=acoustic"],
            "heads.voice: reads: acoustic is only for speaker heads; mel-decoder reads content",
        ),
        (["heads.speaker.reads=mels"], "heads.speaker.reads: Input should be 'content' or 'acoustic'"),
        (
            ["heads.speaker.reverse=1"],
            "heads.speaker: reverse is only for heads that read content, but this one reads mels",
        ),
        (
            ["heads.voice.reverse=1"],
            "heads.voice: reverse (gradient reversal) is only for speaker, label, text and frame heads; mel-decoder",
        ),
    ],
)
def test_what_cannot_read_mels_is_told(small: tuple[str, ...], changes: list[str], expected: str) -> None:
    with pytest.raises(RecipeError) as error:
        checked_recipe("demo", overrides(small, *changes))
    assert error.value.faults[0].startswith(expected)


def test_a_head_of_mels_is_as_wide_as_they_are(small: tuple[str, ...]) -> None:
    model = build(checked_recipe("demo", overrides(small, "vocoder.num_mels=40")), 3)
    assert model.heads["speaker"].enter.in_features == 40
    assert model.acoustic_heads == {"speaker"}
    assert model.speakers_by_mels
    assert model.reads_mels
    plain = build(checked_recipe("demo", small), 3)
    assert not plain.speakers_by_mels
    assert plain.acoustic_heads == frozenset()


def test_training_enrolment_and_identification_work(mel_folder: Path, voices_folder: Path) -> None:
    converter = vczoo.load(mel_folder)
    assert converter.metrics["test"]["speaker.accuracy"] == 1.0
    assert set(converter.voices) == {"alice", "bob", "carol"}
    path = voices_folder / "bob" / "5.wav"
    assert next(iter(converter.identify(path))) == "bob"
    converter.enroll("again", [voices_folder / "bob" / f"{number}.wav" for number in range(3)])
    voices = converter.run.voices
    again, bob, alice = (voices[name].tensors["speaker.embedding"] for name in ("again", "bob", "alice"))
    assert float(again @ bob) > 0.8 > float(again @ alice)
    assert converter.embed(path).norm() == pytest.approx(1, abs=1e-4)
    made = converter.convert(path, "alice")
    assert bool(made.samples.isfinite().all())


def test_content_is_not_read(mel_folder: Path, voices_folder: Path) -> None:
    """Another backbone, the same embedding, logits and voice; other mels, others."""
    model = vczoo.load(mel_folder).model
    wave = vczoo.Waveform.read(voices_folder / "bob" / "5.wav")

    def heard(wave: vczoo.Waveform) -> list[torch.Tensor]:
        return [model.embed(wave)["speaker"], model.logits(wave), model.enroll([wave])["speaker.embedding"]]

    before, content = heard(wave), model.content(wave).values
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.normal_()
    assert not torch.allclose(model.content(wave).values, content)
    assert all(torch.equal(one, other) for one, other in zip(heard(wave), before, strict=True))
    assert model.heads["voice"] is not None
    faster = vczoo.Waveform.of(wave.samples[:, ::2], 16000)
    assert not torch.allclose(heard(faster)[0], before[0], atol=1e-3)


@pytest.mark.parametrize("freezing", ["full", "none"])
def test_batches_bring_mels_of_the_same_speakers(small: tuple[str, ...], voices_folder: Path, freezing: str) -> None:
    """Where the backbone trains, too: another excerpt costs no pass through it."""
    recipe = checked_recipe("demo", overrides(small))
    model = build(recipe, 3).eval()
    features = features_of(recipe, model, False)
    features.at({"full": len(model.backbone.stages()), "none": 0}[freezing])
    clips = segments_by_split(features, read_corpus(voices_folder), ["alice", "bob", "carol"], recipe.training)["train"]
    batch = next(clips.epoch(4, seed=0))
    assert batch.reference is not None
    assert batch.target is not None
    assert batch.reference.channels == batch.target.channels == 80
    assert len(batch.reference) == 4
    plain = build(checked_recipe("demo", small), 3).eval()
    features = features_of(recipe, plain, False)
    features.at({"full": len(plain.backbone.stages()), "none": 0}[freezing])
    other = next(
        segments_by_split(features, read_corpus(voices_folder), ["alice"], recipe.training)["train"].epoch(4, seed=0)
    )
    assert (other.reference is None) == (freezing == "none")
    assert other.reference is None or other.reference.channels == plain.backbone.spec.channels


def test_a_recipe_of_a_speaker_head_alone(small: tuple[str, ...], voices_folder: Path, tmp_path: Path) -> None:
    """No voice head asks for mels or pitch; the speaker head does for the first."""
    changes = overrides(small, "heads.voice=null", "freezing.use=full")
    changes = [one for one in changes if not one.startswith("heads.voice.")]
    made = vczoo.finetune("demo", voices_folder, tmp_path / "run", changes, progress=False, cache=False)
    assert made.metrics["test"]["speaker.loss"] > 0
    path = voices_folder / "bob" / "5.wav"
    again = vczoo.load(tmp_path / "run")
    assert set(again.run.voices["bob"].tensors) == {"speaker.embedding"}
    assert again.identify(path) == made.identify(path)
    again.enroll("dora", path)
    assert again.identify(path)["dora"] == pytest.approx(1, abs=1e-4)


def test_it_learns_more_speakers(mel_folder: Path, voices_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(voices_folder / "carol", tmp_path / "more" / "dora")
    changes = ["training.epochs=1"]
    more = vczoo.finetune(mel_folder, tmp_path / "more", tmp_path / "run", changes, progress=False, cache=False)
    assert more.speakers == ("alice", "bob", "carol", "dora")
    assert more.metrics["extension"]["old"]["before"]["accuracy"] == 1.0
