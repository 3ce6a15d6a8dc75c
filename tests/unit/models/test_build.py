from __future__ import annotations

import socket
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.recipes import BASE, recipe
from vczoo.audio.frames import Frames
from vczoo.audio.pitch import PITCH_CENTRE_LOG_HZ, PITCH_SCALE, TRACKER, Dio, PitchTracker
from vczoo.audio.specs import FrameSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError, RecipeError
from vczoo.io.plain_yaml import merge
from vczoo.models import build as assembly
from vczoo.models import part_options as options
from vczoo.models.build import build, check, checked_recipe
from vczoo.models.part_options import CONTEXT
from vczoo.models.recipe import Recipe, read_recipe
from vczoo.models.resolve import nest
from vczoo.modules.interfaces.vocoder import Vocoder
from vczoo.registry.entry import Entry
from vczoo.registry.hookspecs import hookimpl
from vczoo.registry.zoo import Zoo
from vczoo.testing import CONTEXT as EXAMPLE


class FrameVocoder(Vocoder):
    """Reads the backbone's own frames, as a HiFi-GAN over WavLM does."""

    def __init__(self, *, sample_rate_hz: int = 16000, hop_length: int = 320, channels: int = 8) -> None:
        super().__init__()
        self.accepts = FrameSpec(sample_rate_hz, hop_length, channels)

    def forward(self, frames: Frames) -> Waveform:
        hop = self.accepts.hop_length
        return Waveform.of(frames.values.new_zeros(len(frames), frames.values.shape[1] * hop), 16000)


def picky(*, size: int, note: Any = None) -> Vocoder:
    """A factory with an option that is required and one that says nothing of its type."""
    if size > 3:
        raise ContractError(f"size is 3 at most, got {size}")
    return FrameVocoder()


class Flat(PitchTracker):
    """Says one F0 in every frame."""

    def __init__(self, f0_hz: float = 100.0) -> None:
        self.f0_hz = f0_hz

    def track(self, samples: Any, sample_rate_hz: int, hop_seconds: float) -> Any:
        return np.full(int(len(samples) / sample_rate_hz / hop_seconds) + 1, self.f0_hz)


class Fakes:
    @hookimpl
    def vczoo_entries(self) -> list[Entry]:
        return [
            Entry("fake/frames", "vocoder", "fake_parts:FrameVocoder", "reads frames", "MIT"),
            Entry("fake/picky", "vocoder", "fake_parts:picky", "wants a size", "MIT"),
            Entry("fake/absent", "vocoder", "fake_parts:absent", "is not there", "MIT"),
            Entry("fake/flat", "pitch", "fake_parts:Flat", "one F0", "MIT"),
            Entry("fake/no-tracker", "pitch", "fake_parts:FrameVocoder", "is no tracker", "MIT"),
            Entry("fake/fixed", "vocoder", "fake_parts:picky", "has a size", "MIT", arguments={"size": 1}),
        ]


@pytest.fixture(autouse=True)
def no_network(monkeypatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a recipe is checked without the network")

    monkeypatch.setattr(socket, "socket", refuse)


@pytest.fixture(autouse=True)
def fakes(monkeypatch) -> None:
    module = ModuleType("fake_parts")
    module.FrameVocoder, module.picky, module.Flat = FrameVocoder, picky, Flat  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fake_parts", module)
    zoo = Zoo()
    zoo.register(Fakes(), "fake", "vczoo-fake", "1")
    monkeypatch.setattr(options, "the_zoo", lambda: zoo)


def faults(**overrides: Any) -> list[str]:
    with pytest.raises(RecipeError) as error:
        check(recipe(**overrides))
    return list(error.value.faults)


def test_a_sound_recipe_passes_and_leaves_the_random_state_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    check(recipe())
    assert torch.equal(torch.rand(1), expected)


def test_a_check_takes_no_memory_for_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a fine-tune it would be the second copy of the backbone."""
    assemble, models = assembly.assemble, []
    monkeypatch.setattr(assembly, "assemble", lambda *arguments: models.append(assemble(*arguments)) or models[-1])
    check(read_recipe("demo"))
    parameters = list(models[0].parameters())
    assert parameters
    assert all(parameter.is_meta for parameter in parameters)


def test_the_example_context_of_the_conformance_check_is_the_context() -> None:
    assert set(EXAMPLE) == set(CONTEXT)


def test_a_recipe_chooses_its_pitch_tracker() -> None:
    wave = Waveform.of(torch.rand(1, 16000) - 0.5, 16000)
    plain, flat = build(recipe(), 2), build(recipe(pitch={"use": "fake/flat", "f0_hz": 400.0}), 2)
    assert isinstance(plain.tracker, Dio)
    assert plain.tracker.cache_key == TRACKER, "contours that earlier versions cached are still found"
    assert flat.tracker.cache_key != TRACKER
    log_f0, voiced = flat.pitch(wave).values.unbind(dim=2)
    assert bool(voiced.all())
    assert torch.allclose(log_f0 * PITCH_SCALE + PITCH_CENTRE_LOG_HZ, torch.tensor(400.0).log())
    assert flat.pitch(wave).values.shape == plain.pitch(wave).values.shape


@pytest.mark.parametrize(
    ("pitch", "expected"),
    [
        ({"use": "fake/flad"}, "pitch.use: no pitch is called 'fake/flad'; did you mean 'fake/flat'"),
        ({"use": "fake/flat", "f0": 3}, "pitch.f0: fake/flat has no such option; did you mean 'f0_hz'"),
        (
            {"use": "fake/no-tracker"},
            "pitch: pitch 'fake/no-tracker' made a FrameVocoder, expected a vczoo.PitchTracker",
        ),
        ({"use": "griffin-lim"}, "pitch.use: no pitch is called 'griffin-lim'"),
    ],
)
def test_a_pitch_tracker_that_cannot_be_used(pitch: dict[str, Any], expected: str) -> None:
    (fault,) = faults(pitch=pitch)
    assert fault.startswith(expected)


def test_a_recipe_without_a_pitch_tracker_is_written_as_before() -> None:
    assert "pitch" not in recipe().to_plain()


NEEDS = "needs a speaker head before it, which this recipe does not have"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            {"vocoder": {"use": "fake/frames"}},
            ["heads.voice: mel-decoder predicts a mel, but the vocoder reads FrameSpec frames; choose a mel vocoder"],
        ),
        (
            {"vocoder": {"use": "fake/frames", "channels": 9}, "heads__voice": {"use": "knn"}},
            ["vocoder: mel-conv does not fit fake/frames: channels is 8, expected 9"],
        ),
        (
            {"vocoder": {"use": "fake/frames", "hop_length": 160}, "heads__voice": {"use": "knn"}},
            ["vocoder: mel-conv does not fit fake/frames: hop_length is 320, expected 160"],
        ),
        (
            {
                "vocoder": {"use": "fake/frames", "sample_rate_hz": 8000, "hop_length": 80, "channels": 1},
                "heads__voice": None,
            },
            [
                "vocoder: mel-conv does not fit fake/frames: sample_rate_hz is 16000, expected 8000; "
                "hop_length is 320, expected 80; channels is 8, expected 1"
            ],
        ),
        ({"heads__speaker": None}, [f"heads.voice: head 'mel-decoder' {NEEDS}"]),
        ({"vocoder": None}, ["heads.voice: head 'mel-decoder' needs a vocoder, which this recipe does not have"]),
        (
            {"vocoder": None, "heads__voice": {"use": "knn"}},
            ["heads.voice: head 'knn' needs a vocoder, which this recipe does not have"],
        ),
        (
            {"freezing": {"use": "selected", "stages": ["stm", "block1"]}},
            [
                "freezing: the backbone has no stage 'stm'; did you mean 'stem'? Its 2 stages: stem, block1; by index "
                "0 to 1, or -2 to -1"
            ],
        ),
        (
            {"freezing": {"use": "selected", "parameters": ["*.biass"]}},
            ["freezing: no parameter of the stages stem, block1 matches '*.biass'; their parameters have names such"],
        ),
        ({"vocoder__hop_length": 1000}, ["vocoder: hop_length must be at most half of fft_length 1024"]),
    ],
)
def test_parts_that_do_not_fit(overrides, expected) -> None:
    found = faults(**overrides)
    assert len(found) == len(expected)
    for fault, start in zip(found, expected, strict=True):
        assert fault.startswith(start)


def test_a_speaker_head_after_the_voice_head_comes_too_late() -> None:
    heads = {name: BASE["heads"][name] for name in ("voice", "speaker")}
    with pytest.raises(RecipeError, match=NEEDS):
        check(Recipe.parse(BASE | {"heads": heads}))


def test_a_vocoder_of_frames_goes_with_knn() -> None:
    model = build(recipe(vocoder={"use": "fake/frames"}, heads__voice={"use": "knn"}), 2)
    assert model.acoustic_mel is None


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"backbone__use": "mel-cnov"}, "backbone.use: no backbone is called 'mel-cnov'; did you mean 'mel-conv'"),
        ({"freezing__use": "parital"}, "freezing.use: no freezing is called 'parital'; did you mean 'partial'?"),
        ({"heads__speaker__use": "speaker-amm"}, "heads.speaker.use: no head is called 'speaker-amm'; did you mean"),
        ({"vocoder__use": "griffin"}, "vocoder.use: no vocoder is called 'griffin'; did you mean 'griffin-lim'"),
        ({"vocoder__use": "fake/absent"}, "vocoder.use: vocoder 'fake/absent': fake_parts:absent cannot be imported"),
        ({"heads__speaker__hiden": [4]}, "heads.speaker.hiden: speaker-classifier has no such option; did you mean"),
        ({"heads__voice__frames": 1}, "heads.voice.frames: mel-decoder has no such option"),  # context, not an option
        ({"heads__speaker__num_speakers": 9}, "heads.speaker.num_speakers: speaker-classifier has no such option"),
        ({"backbone__width": "wide"}, "backbone.width: Input should be a valid integer"),
        ({"backbone__width": 0}, "backbone: width, blocks and num_mels must be 1 or more, got 0, 1 and 80"),
        ({"backbone__weights": "nope"}, "backbone.weights: mel-conv: weights are 'nope', expected one of: random"),
        (
            {"backbone__weights": "gone/w.safetensors"},
            "backbone.weights: no such file or folder of weights: gone/w.safetensors",
        ),
        ({"freezing__trainable_stages": -1}, "freezing: trainable_stages must be 0 or more, got -1"),
        ({"freezing__trainable_stages": 3}, "freezing: trainable_stages is 3, but the backbone has 2 stages; choose"),
        ({"heads__voice__dropout": 2.0}, "heads.voice: dropout must be in [0, 1), got 2.0"),
        ({"heads__speaker": {"use": "speaker-aam", "width": 0}}, "heads.speaker: width must be 1 or more, got 0"),
        ({"heads__keys": {"use": "knn"}}, "heads.keys: torch modules already have an attribute 'keys'"),
        ({"vocoder": {"use": "fake/picky"}, "heads__voice": None}, "vocoder.size: required by fake/picky"),
        ({"vocoder": {"use": "fake/picky", "size": 4}, "heads__voice": None}, "vocoder: size is 3 at most, got 4"),
        ({"vocoder": {"use": "fake/fixed", "size": 2}, "heads__voice": None}, "vocoder.size: fake/fixed has no such"),
    ],
)
def test_a_wrong_name_or_option_is_one_fault_at_its_place(overrides, expected) -> None:
    (fault,) = faults(**overrides)
    assert fault.startswith(expected)


def test_all_faults_of_all_parts_are_in_one_report(monkeypatch) -> None:
    values = merge(
        BASE,
        nest(
            {
                "training.epochs": 0,
                "surplus": 1,
                "backbone.widht": 3,
                "freezing.use": "parital",
                "heads.speaker.hidden": "many",
                "heads.voice.use": "mel-decodr",
                "vocoder.momentum": 2,
            }
        ),
    )
    monkeypatch.setattr(assembly, "read_values", lambda *_: values)
    with pytest.raises(RecipeError) as error:
        checked_recipe("plain")
    places = [fault.partition(":")[0] for fault in error.value.faults]
    assert places == [
        "training.epochs",
        "surplus",
        "backbone.widht",
        "freezing.use",
        "heads.speaker.hidden",
        "heads.voice.use",
        "vocoder",
    ]


def test_values_are_read_as_the_factory_declares_them() -> None:
    check(recipe(vocoder={"use": "fake/fixed", "note": [1]}, heads__voice=None))
    assert build(recipe(backbone__width="16"), 2).backbone.spec.channels == 16


@pytest.mark.parametrize("voice", ["mel-decoder", "knn"])
def test_a_vocoder_may_have_another_rate_than_the_backbone(voice) -> None:
    recipe = checked_recipe("demo", {"heads": {"voice": {"use": voice}}, "vocoder": {"sample_rate_hz": 24000}})
    model = build(recipe, 2)
    assert (model.sample_rate_hz, model.backbone.spec.sample_rate_hz) == (24000, 16000)
    samples = 0.3 * torch.sin(torch.arange(24000) * 0.05)
    wave = Waveform.of(samples, 24000)
    made = model.eval().convert(wave, model.enroll([wave]))
    assert (made.samples.shape, made.sample_rate_hz) == (wave.samples.shape, 24000)
    assert bool(made.samples.isfinite().all())
