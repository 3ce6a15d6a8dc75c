"""Clips: what a frozen backbone hears is cut, not heard again; speeds keep the frames in place; references match."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import vczoo
from vczoo.clips import REFERENCE_SECONDS, Batch, Clips
from vczoo.corpus import Corpus, read_corpus
from vczoo.errors import ContractError
from vczoo.frames import Frames
from vczoo.model import Model
from vczoo.waveform import Waveform

CROP_SECONDS = 0.32
NAMES = ("alice", "bob", "carol")


@pytest.fixture(scope="module")
def corpus(voices_folder: Path) -> Corpus:
    return read_corpus(voices_folder)


@pytest.fixture(scope="module")
def model(small: tuple[str, ...]) -> Model:
    return vczoo.load("demo", small).run.model


def frozen(corpus: Corpus, model: Model, **options: object) -> Clips:
    return Clips(corpus.split("train"), NAMES, model, CROP_SECONDS, frozen=True, **options)  # type: ignore[arg-type]


def batches(clips: Clips, seed: int = 0) -> list[Batch]:
    return list(clips.epoch(4, seed))


def place_of(excerpt: Frames, wholes: list[Frames]) -> tuple[int, int]:
    """Which utterance an excerpt was cut from, and its first frame there."""
    values = excerpt.values[0]
    for index, whole in enumerate(wholes):
        for start in range(int(whole.lengths[0]) - len(values) + 1):
            if torch.equal(whole.values[0, start : start + len(values)], values):
                return index, start
    raise AssertionError("these frames are in no utterance")


def test_content_of_an_excerpt_is_that_of_the_whole_utterance_at_its_frames(corpus: Corpus, model: Model) -> None:
    """Pitch and mel are cut at the same place; the waveform is not kept."""
    waves = [Waveform.read(utterance.path, 16000) for utterance in corpus.split("train")]
    with torch.inference_mode():
        wholes = [model.content(wave) for wave in waves]
        mels, pitches = [model.acoustic(wave) for wave in waves], [model.pitch(wave) for wave in waves]
    starts = set()
    for batch in batches(frozen(corpus, model)):
        assert batch.wave is None
        assert batch.content is not None
        assert batch.target is not None
        assert batch.pitch is not None
        assert batch.content.lengths.tolist() == [16] * len(batch.speakers)
        assert batch.target.lengths.tolist() == [33] * len(batch.speakers)
        for item in range(len(batch.speakers)):
            index, start = place_of(batch.content[item], wholes)
            assert corpus.split("train")[index].speaker == NAMES[int(batch.speakers[item])]
            first = 2 * start  # two frames of mel to one of content
            assert torch.equal(batch.target[item].values[0], mels[index].values[0, first : first + 33])
            assert torch.equal(batch.pitch[item].values[0], pitches[index].values[0, first : first + 33])
            starts.add(start)
    assert len(starts) > 5


def test_a_backbone_that_trains_gets_waveforms_and_no_references(corpus: Corpus, model: Model) -> None:
    clips = Clips(corpus.split("train"), NAMES, model, CROP_SECONDS)
    for batch in batches(clips):
        assert batch.content is None
        assert batch.reference is None
        assert batch.wave is not None
        assert batch.wave.lengths.tolist() == [round(CROP_SECONDS * 16000)] * len(batch.speakers)


def test_references_are_of_the_same_speaker_and_often_of_another_utterance(corpus: Corpus, model: Model) -> None:
    utterances = corpus.split("train")
    with torch.inference_mode():
        wholes = [model.content(Waveform.read(utterance.path, 16000)) for utterance in utterances]
    elsewhere = count = 0
    for batch in batches(frozen(corpus, model)):
        assert batch.content is not None
        assert batch.reference is not None
        for item, speaker in enumerate(batch.speakers.tolist()):
            assert int(batch.reference.lengths[item]) <= REFERENCE_SECONDS * 50
            index, _ = place_of(batch.reference[item], wholes)
            assert utterances[index].speaker == NAMES[speaker]
            elsewhere += index != place_of(batch.content[item], wholes)[0]
            count += 1
    assert elsewhere > count / 2


def test_at_every_speed_there_are_as_many_frames_and_the_target_stays(corpus: Corpus, model: Model) -> None:
    speeds = (0.85, 1.0, 1.2)
    plain, clips = frozen(corpus, model), frozen(corpus, model, speeds=speeds)
    for clip in clips.clips:
        assert clip.content is not None
        assert [frames.lengths.tolist() for frames in clip.faster] == [clip.content.lengths.tolist()] * 3
        assert torch.equal(clip.faster[1].values, clip.content.values)
        assert all(not torch.equal(clip.faster[speed].values, clip.content.values) for speed in (0, 2))
    heard = set()
    for once, at_speed in zip(batches(plain), batches(clips), strict=True):
        assert once.content is not None
        assert at_speed.content is not None
        assert once.target is not None
        assert at_speed.target is not None
        assert torch.equal(once.target.values, at_speed.target.values)
        assert torch.equal(once.content.lengths, at_speed.content.lengths)
        same = (once.content.values == at_speed.content.values).flatten(1).all(dim=1)
        heard |= set(same.tolist())
    assert heard == {True, False}


def test_what_is_heard_faster_stands_where_it_stood(corpus: Corpus, model: Model) -> None:
    """At 1.2 times the speed, frame t of the content is what is said at t, though it is heard at t / 1.2."""
    click = torch.zeros(32000)
    click[24000:24400] = 0.5  # 1.5 s in: frame 75
    utterance = replace(corpus.split("train")[0], path=Path("click.wav"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Waveform, "read", lambda path, rate: Waveform.of(click, rate))
        clips = Clips([utterance], NAMES, model, CROP_SECONDS, frozen=True, speeds=(0.8, 1.0, 1.25))
    for frames in clips.clips[0].faster:
        assert frames.lengths.tolist() == [100]
        change = (frames.values[0] - frames.values[0, :50].mean(dim=0)).norm(dim=1)
        assert abs(int(change.argmax()) - 75) <= 3


def test_validation_hears_whole_utterances_as_they_are(corpus: Corpus, model: Model) -> None:
    for clip, batch in zip(corpus.split("train"), frozen(corpus, model, speeds=(0.85, 1.2)).whole(), strict=True):
        with torch.inference_mode():
            whole = model.content(Waveform.read(clip.path, 16000))
        assert batch.content is not None
        assert torch.equal(batch.content.values, whole.values)
        assert batch.reference is not None
        assert torch.equal(batch.reference.values, whole.values)


def test_a_stranger_to_training_has_no_index(corpus: Corpus, model: Model) -> None:
    clips = Clips(corpus.split("validation"), NAMES[:2], model, CROP_SECONDS, frozen=True)
    assert {int(speaker) for batch in clips.whole() for speaker in batch.speakers} == {0, 1, -1}


def test_speeds_for_a_backbone_that_trains_are_refused(corpus: Corpus, model: Model) -> None:
    with pytest.raises(ContractError, match=r"content_speeds is \[0\.9, 1\.0\].*wholly frozen; freeze it"):
        Clips(corpus.split("train"), NAMES, model, CROP_SECONDS, speeds=(0.9, 1.0))
    assert len(Clips(corpus.split("train"), NAMES, model, CROP_SECONDS, speeds=(1.0,))) > 0


def test_the_seed_decides_an_epoch(corpus: Corpus, model: Model) -> None:
    clips = frozen(corpus, model, speeds=(0.9, 1.1))
    first, again, other = (
        torch.cat([b.content.values for b in batches(clips, seed) if b.content]) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
