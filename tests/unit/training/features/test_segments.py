"""Segments: what a frozen backbone hears is cut, not heard again; speeds keep the frames in place; references match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import vczoo
from vczoo.audio.frames import Frames
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Corpus, Utterance
from vczoo.data.corpus_reader import read_corpus
from vczoo.models.model import Model
from vczoo.modules.backbones.mel_conv import MelConv
from vczoo.modules.interfaces.head import Head, HeadBatch
from vczoo.training.features.activations import run_prefix
from vczoo.training.features.augment import PLAIN, Version, vary
from vczoo.training.features.batch import Batch, content_of
from vczoo.training.features.features import Features
from vczoo.training.features.segments import REFERENCE_SECONDS, SegmentBatches

CROP_SECONDS = 0.32
NAMES = ("alice", "bob", "carol")


@pytest.fixture(scope="module")
def corpus(voices_folder: Path) -> Corpus:
    return read_corpus(voices_folder)


@pytest.fixture(scope="module")
def model(small: tuple[str, ...]) -> Model:
    return vczoo.load("demo", small).model.eval()


def segments_by_split(utterances: Sequence[Utterance], model: Model, depth: int, **options: Any) -> SegmentBatches:
    names, crop_seconds = options.pop("names", NAMES), options.pop("crop_seconds", CROP_SECONDS)
    features = Features(model, {})
    features.at(depth)
    return SegmentBatches(features, utterances, names, crop_seconds, **options)


def frozen(corpus: Corpus, model: Model, **options: Any) -> SegmentBatches:
    return segments_by_split(corpus.split("train"), model, len(model.backbone.stages()), **options)


def at_speeds(*speeds: float) -> list[Version]:
    return [Version(speed) for speed in speeds]


def batches(clips: SegmentBatches, seed: int = 0) -> list[Batch]:
    return list(clips.epoch(4, seed))


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal but for the rounding of another batch."""
    return one.shape == other.shape and torch.allclose(one, other, atol=1e-5)


def place_of(excerpt: Frames, wholes: list[Frames]) -> tuple[int, int]:
    """Which utterance an excerpt was cut from, and its first frame there."""
    values = excerpt.values[0]
    for index, whole in enumerate(wholes):
        for start in range(int(whole.lengths[0]) - len(values) + 1):
            if close(whole.values[0, start : start + len(values)], values):
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


@pytest.mark.parametrize("depth", [0, 1])
def test_excerpts_are_cut_before_the_first_stage_that_trains(corpus: Corpus, model: Model, depth: int) -> None:
    """As wide as an excerpt, at the place of its pitch and mel; there are no references."""
    utterances = corpus.split("train")
    with torch.inference_mode():
        wholes = run_prefix(model.backbone, [Waveform.read(utterance.path, 16000) for utterance in utterances], depth)
        mels = [model.acoustic(Waveform.read(utterance.path, 16000)) for utterance in utterances]
    per_frame = 2 if depth == 0 else 1  # the stem halves time
    for batch in batches(segments_by_split(utterances, model, depth)):
        assert batch.wave is batch.content is batch.reference is None
        assert batch.activations is not None
        assert batch.target is not None
        for item, target in zip(batch.activations, batch.target.values, strict=True):
            assert item.length == 16
            assert item.values.shape[2] == 16 * per_frame
            found = [
                (index, start)
                for index, whole in enumerate(wholes)
                for start in range(0, whole.values.shape[2] - 16 * per_frame + 1, per_frame)
                if close(whole.values[0, :, start : start + 16 * per_frame], item.values[0])
            ]
            index, start = found[0]
            first = 2 * start // per_frame
            assert torch.equal(target, mels[index].values[0, first : first + 33])


def test_what_cannot_be_cut_in_time_is_cut_from_the_samples(corpus: Corpus, model: Model) -> None:
    clips = segments_by_split(corpus.split("train"), model, 1)
    clips.features.time = None
    for batch in batches(clips):
        assert batch.content is batch.activations is batch.reference is None
        assert batch.wave is not None
        assert batch.wave.lengths.tolist() == [round(CROP_SECONDS * 16000)] * len(batch.speakers)


def test_variants_are_heard_where_excerpts_are_cut_from_the_samples(corpus: Corpus, model: Model) -> None:
    heard = []
    for versions in ([Version()], [Version(variant=1)]):
        clips = segments_by_split(corpus.split("train"), model, 1, versions=versions)
        clips.features.time = None
        heard.append([batch.wave for batch in batches(clips)])
    for plain, varied in zip(*heard, strict=True):
        assert plain.samples.shape == varied.samples.shape
        assert not torch.allclose(plain.samples, varied.samples, atol=1e-3)


def test_strangers_to_training_are_measured_apart(corpus: Corpus, model: Model) -> None:
    """A speaker head knows nothing of them, and must still be asked about those who stand beside them."""
    clips = segments_by_split(corpus.split("train"), model, 2, names=("alice", "bob"))
    clips.features.signals = False  # as without a voice head: many at once
    found = list(clips.whole())
    assert {tuple((batch.speakers < 0).unique().tolist()) for batch in found} == {(True,), (False,)}
    assert sum(len(batch.speakers) for batch in found) == len(corpus.split("train"))
    assert max(len(batch.speakers) for batch in found) > 1


def test_the_processes_share_a_batch_and_their_shares_add_up(corpus: Corpus, model: Model) -> None:
    clips = frozen(corpus, model)
    whole = batches(clips)
    parts = [list(clips.epoch(4, 0, rank=rank, processes=3)) for rank in range(3)]
    assert min(len(batch.speakers) for batch in whole) == 1  # so that two processes have nothing of their own there
    for index, batch in enumerate(whole):
        assert batch.content is not None
        assert sum(part[index].share for part in parts) == pytest.approx(3.0)
        own = [part[index] for part in parts if part[index].share]
        rows = torch.cat([part.content.values for part in own if part.content])
        order = torch.argsort(torch.cat([torch.arange(rank, len(batch.speakers), 3) for rank in range(len(own))]))
        assert close(rows[order], batch.content.values)


def test_an_epoch_goes_on_where_it_was_left(corpus: Corpus, model: Model) -> None:
    clips = frozen(corpus, model)
    for rest, batch in zip(clips.epoch(4, 0, first=2), batches(clips)[2:], strict=True):
        assert rest.content is not None
        assert batch.content is not None
        assert torch.equal(rest.content.values, batch.content.values)


def test_excerpts_of_like_length_share_a_batch_and_all_are_drawn(corpus: Corpus, model: Model) -> None:
    """The utterances last .6 to 1.2 s, and none is cut here."""
    clips = segments_by_split(corpus.split("train"), model, 1, crop_seconds=2.0)
    found = [[item.length for item in batch.activations or ()] for batch in batches(clips)]
    wholes = clips.features.activations([(clip.utterance, PLAIN) for clip in clips.clips])
    assert sorted(length for batch in found for length in batch) == sorted(whole.length for whole in wholes)
    spread = [max(batch) - min(batch) for batch in found]
    assert sum(spread) / len(spread) < 0.5 * (max(map(max, found)) - min(map(min, found)))
    assert [max(batch) for batch in found] != sorted(max(batch) for batch in found)


def test_masks_hide_a_block_of_time_and_one_of_channels(corpus: Corpus, model: Model) -> None:
    plain, hidden = batches(frozen(corpus, model)), batches(frozen(corpus, model, mask=0.5))
    shares = []
    for one, other in zip(plain, hidden, strict=True):
        assert one.content is not None
        assert other.content is not None
        for before, after in zip(one.content.values, other.content.values, strict=True):
            changed = before != after
            rows, columns = changed.all(dim=1), changed.all(dim=0)
            assert bool((changed == (rows[:, None] | columns[None])).all())  # whole frames and whole channels alone
            shares.append(float(rows.float().mean()))
    assert 0 < max(shares) <= 0.5
    assert min(shares) == 0.0
    assert all(
        torch.equal(one.content.values, other.content.values)
        for one, other in zip(frozen(corpus, model).whole(), frozen(corpus, model, mask=0.5).whole(), strict=True)
        if one.content and other.content
    )


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
    plain, clips = frozen(corpus, model), frozen(corpus, model, versions=at_speeds(0.85, 1.0, 1.2))
    for utterance in corpus.split("train"):
        slow, same, fast = clips.features.activations([(utterance, version) for version in clips.versions])
        assert slow.length == same.length == fast.length == slow.values.shape[1] == fast.values.shape[1]
        (whole,) = clips.features.content([utterance])
        assert close(same.values, whole.values)
        assert not close(slow.values, same.values)
        assert not close(fast.values, same.values)
    heard = set()
    for once, at_speed in zip(batches(plain), batches(clips), strict=True):
        assert once.content is not None
        assert at_speed.content is not None
        assert once.target is not None
        assert at_speed.target is not None
        assert torch.equal(once.target.values, at_speed.target.values)
        assert torch.equal(once.content.lengths, at_speed.content.lengths)
        same = torch.isclose(once.content.values, at_speed.content.values, atol=1e-5).flatten(1).all(dim=1)
        heard |= set(same.tolist())
    assert heard == {True, False}


def test_what_is_heard_faster_stands_where_it_stood(corpus: Corpus, model: Model) -> None:
    """At 1.2 times the speed, frame t of the content is what is said at t, though it is heard at t / 1.2."""
    click = torch.zeros(32000)
    click[24000:24400] = 0.5  # 1.5 s in: frame 75
    utterance = replace(corpus.split("train")[0], path=Path("click.wav"), seconds=2.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Waveform, "read", lambda path, rate, channel=None: Waveform.of(click, rate))
        features = segments_by_split([utterance], model, len(model.backbone.stages())).features
        heard = features.activations([(utterance, version) for version in at_speeds(0.8, 1.0, 1.25)])
    for item in heard:
        assert item.length == 100
        change = (item.values[0] - item.values[0, :50].mean(dim=0)).norm(dim=1)
        assert abs(int(change.argmax()) - 75) <= 3


def test_validation_hears_whole_utterances_as_they_are(corpus: Corpus, model: Model) -> None:
    for clip, batch in zip(
        corpus.split("train"), frozen(corpus, model, versions=at_speeds(0.85, 1.2)).whole(), strict=True
    ):
        with torch.inference_mode():
            whole = model.content(Waveform.read(clip.path, 16000))
        assert batch.content is not None
        assert torch.equal(batch.content.values, whole.values)
        assert batch.reference is not None
        assert torch.equal(batch.reference.values, whole.values)


def test_a_stranger_to_training_has_no_index(corpus: Corpus, model: Model) -> None:
    clips = segments_by_split(corpus.split("validation"), model, 0, names=NAMES[:2])
    assert {int(speaker) for batch in clips.whole() for speaker in batch.speakers} == {0, 1, -1}


def test_variants_are_others_of_the_same_recording(corpus: Corpus, model: Model) -> None:
    features = frozen(corpus, model).features
    utterance = corpus.split("train")[0]
    plain, one, again, other = features.activations([(utterance, Version(variant=variant)) for variant in (0, 1, 1, 2)])
    assert torch.equal(one.values, again.values)
    assert not torch.equal(one.values, plain.values)
    assert not torch.equal(one.values, other.values)
    heard = Waveform.read(utterance.path, 16000)
    varied = vary(heard, 1)
    assert varied.samples.shape == heard.samples.shape
    assert float(varied.samples.abs().max()) == pytest.approx(float(heard.samples.abs().max()), rel=1e-5)
    assert torch.corrcoef(torch.cat([varied.samples, heard.samples]))[0, 1] > 0.5


def test_the_seed_decides_an_epoch(corpus: Corpus, model: Model) -> None:
    clips = frozen(corpus, model, versions=at_speeds(0.9, 1.1))
    first, again, other = (
        torch.cat([b.content.values for b in batches(clips, seed) if b.content]) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


class Pitch(Head):
    """Predicts pitch, without any voice head."""

    task = "pitch"
    reads = frozenset({"content", "pitch", "annotations"})
    annotation_columns = {"valence": "number", "mood": "text"}  # noqa: RUF012

    def training_loss(self, batch: HeadBatch) -> None:
        return None

    def conformance_output(self, batch: HeadBatch) -> Frames:
        return batch.content


def test_a_head_gets_the_pitch_and_the_columns_that_it_reads(corpus: Corpus) -> None:
    backbone = MelConv(width=8, blocks=1)
    model = Model(backbone, {"pitch": Pitch()}, {"pitch": 1.0}, None).eval()
    utterances = [
        replace(utterance, annotations=(("valence", str(number)), ("mood", f"m{number}")))
        for number, utterance in enumerate(corpus.split("train"))
    ]
    for batch in [
        *segments_by_split(utterances, model, 0).epoch(4, 0),
        *segments_by_split(utterances, model, 0).whole(),
    ]:
        assert batch.target is None
        assert batch.pitch is not None
        content = content_of(model, batch)
        assert batch.pitch.lengths.tolist() == content.lengths.tolist()
        numbers, moods = batch.annotations["valence"], batch.annotations["mood"]
        assert isinstance(numbers, torch.Tensor)
        assert numbers.dtype == torch.float32
        assert moods == tuple(f"m{number:.0f}" for number in numbers.tolist())
