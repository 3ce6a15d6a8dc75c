"""What conversions between the items of a batch teach the decoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors.torch import save_file

from vczoo.audio.frames import Frames
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError, WeightsError
from vczoo.io import tensors
from vczoo.models.build import build
from vczoo.models.model import Model
from vczoo.models.recipe import read_recipe
from vczoo.modules.backbones.content_whisper import ContentWhisper
from vczoo.modules.backbones.mel_conv import MelConv
from vczoo.modules.interfaces.head import HeadBatch, Loss
from vczoo.modules.nn.convnext import mean_absolute_error
from vczoo.training.features.batch import Batch
from vczoo.training.objectives.conversion_consistency import ConversionConsistency, moved
from vczoo.training.objectives.recipe_objectives import objectives_of
from vczoo.training.objectives.recognizer import Recognizer

SMALL = (
    "backbone.use=content-whisper",
    "backbone.layers=1",
    "backbone.width=64",
    "backbone.blocks=1",
    "backbone.block_width=16",
    "backbone.channels=8",
    "heads.speaker.use=speaker-conv",
    "heads.speaker.reads=acoustic",
    "heads.speaker.width=8",
    "heads.voice.use=mel-decoder",
    "heads.voice.width=8",
    "heads.voice.bottleneck=4",
    "heads.voice.blocks=1",
)
NO_BATCH = Batch(torch.zeros(0))


def small_model() -> Model:
    torch.manual_seed(0)
    return build(read_recipe("demo", SMALL), 3)


def heads_batch(model: Model, count: int = 4, frames: int = 40) -> HeadBatch:
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    pitch = torch.stack([random(count, frames), torch.ones(count, frames)], dim=2)
    return HeadBatch(
        Frames.of(random(count, frames // 2, model.backbone.spec.channels)),
        model.backbone.spec,
        pitch=Frames.of(pitch),
        target=Frames.of(random(count, frames, 80)),
        embedding=torch.nn.functional.normalize(random(count, model.speaker_heads["speaker"].embedding_width), dim=1),
    )


def test_only_the_decoder_learns_from_conversions() -> None:
    model = small_model().train()
    modes = {name: module.training for name, module in model.named_modules()}
    needed = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    term = ConversionConsistency(0.5, 0.2)(model, NO_BATCH, heads_batch(model), {})
    assert term is not None
    content, cosine = (float(term.metrics[name]) for name in ("content", "cosine"))
    assert float(term.value.detach()) == pytest.approx(0.5 * content + 0.2 * (1 - cosine))
    assert content > 0
    term.value.backward()
    learning = {name.split(".")[1] for name, value in model.named_parameters() if value.grad is not None}
    assert learning == {"voice"}
    assert modes == {name: module.training for name, module in model.named_modules()}
    assert needed == {name: parameter.requires_grad for name, parameter in model.named_parameters()}


def test_a_recognizer_hears_conversions_and_reconstructions_in_one_pass(tmp_path: Path) -> None:
    recognizer = Recognizer(whisper_checkpoint(tmp_path))
    model, batch = small_model().train(), heads_batch(small_model())
    assert batch.target is not None
    own = batch.target.with_values(batch.target.values.clone().requires_grad_(True))
    objective = ConversionConsistency(0.0, 0.0, recognizer, 2.0)
    term = objective(model, NO_BATCH, batch, {"voice": Loss(torch.zeros(()), {}, own)})
    assert term is not None
    assert float(term.value.detach()) == pytest.approx(2 * float(term.metrics["heard"]))
    assert float(term.metrics["heard"]) > 0
    term.value.backward()
    assert own.values.grad is not None
    assert not own.values.grad[:2].any()  # the conversions of these are heard instead
    assert any(value.grad is not None for value in model.heads["voice"].parameters())
    assert not any(value.requires_grad for value in recognizer.parameters())
    assert not list(objective.parameters())


def test_an_absent_recognizer_is_named_with_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as error:
        Recognizer(tmp_path / "model.safetensors")
    for words in ("training.recognizer", str(tmp_path), "hf download openai/whisper-tiny.en", "your copy"):
        assert words in str(error.value)


def test_a_perfect_reconstruction_sounds_the_same(tmp_path: Path) -> None:
    recognizer = Recognizer(whisper_checkpoint(tmp_path))
    model, batch = small_model(), heads_batch(small_model())
    assert batch.target is not None
    distances = []
    for noise in (0.0, 0.5, 1.0):
        mel = batch.target.with_values(batch.target.values + noise * torch.randn(batch.target.values.shape))
        assert model.vocoder is not None
        spec = cast(MelSpec, model.vocoder.accepts)
        distances.append(float(mean_absolute_error(recognizer(mel, spec), recognizer(batch.target, spec))))
    assert distances[0] == 0
    assert distances == sorted(distances)


def test_the_tensors_of_a_recognizer_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []
    monkeypatch.setattr(
        "vczoo.io.tensors.load_file", lambda path, load=tensors.load_file: reads.append(path) or load(path)
    )
    checkpoint = whisper_checkpoint(tmp_path)
    Recognizer(checkpoint)
    assert reads == [checkpoint]


def test_a_checkpoint_of_something_else_is_no_recognizer(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"is no checkpoint of Whisper: it has no tensor model\.encoder\.conv1"):
        objectives_of(read_recipe("demo", [f"training.recognizer={tmp_path / 'model.safetensors'}"]))
    with pytest.raises(WeightsError, match="absent"):
        objectives_of(read_recipe("demo", [f"training.recognizer={tmp_path / 'absent.safetensors'}"]))


def whisper_checkpoint(folder: Path) -> Path:
    """A checkpoint with the names of Whisper's, of two small layers."""
    torch.manual_seed(1)
    backbone = ContentWhisper(layers=2, width=64, blocks=0, block_width=1, channels=1)
    names = {"convolutions.": "model.encoder.", **{f"layer{n + 1}.": f"model.encoder.layers.{n}." for n in range(2)}}
    tensors = {}
    for name, tensor in backbone.trunk.state_dict().items():
        stage, _, rest = name.partition(".")
        if prefix := names.get(f"{stage}."):
            tensors[prefix + ("self_attn." if "_proj" in rest else "") + rest] = tensor.clone()
    path = folder / "model.safetensors"
    save_file(tensors, path)
    return path


def test_learning_from_conversions_brings_them_to_the_other_speakers() -> None:
    model = small_model().train()
    decoder = model.heads["voice"]
    optimizer = torch.optim.Adam(decoder.parameters(), 0.01)
    objective, batch = ConversionConsistency(0.0, 1.0), heads_batch(model)
    cosines = []
    for _ in range(30):
        term = objective(model, NO_BATCH, batch, {})
        assert term is not None
        optimizer.zero_grad()
        term.value.backward()
        optimizer.step()
        cosines.append(float(term.metrics["cosine"]))
    assert cosines[-1] > cosines[0] + 0.1


def test_the_pitch_of_a_conversion_is_moved_to_the_other_speaker() -> None:
    values = torch.zeros(2, 8, 2)
    values[0, :6], values[1, :7] = torch.tensor([1.0, 1.0]), torch.tensor([-2.0, 1.0])
    log_f0, voiced = moved(Frames.of(values), 1).values.unbind(dim=2)
    assert log_f0.tolist() == [[-2.0] * 6 + [0.0] * 2, [1.0] * 7 + [0.0]]
    torch.testing.assert_close(voiced, values[..., 1])


def test_the_pitch_stays_where_a_mean_says_nothing() -> None:
    values = torch.zeros(2, 8, 2)
    values[0, :6], values[1, :2] = torch.tensor([1.0, 1.0]), torch.tensor([-2.0, 1.0])
    torch.testing.assert_close(moved(Frames.of(values), 1).values, values)


def test_a_batch_of_one_has_nobody_to_convert_to() -> None:
    model = small_model()
    assert ConversionConsistency(1.0, 1.0)(model, NO_BATCH, heads_batch(model, 1), {}) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["heads.voice.use=knn"], "need the voice head mel-decoder"),
        (["heads.speaker.use=speaker-aam", "heads.speaker.reads=content"], "need the voice head mel-decoder"),
        (["backbone={use: mel-conv, width: 12, blocks: 1}"], "MelConv cannot compute frames from mels"),
    ],
)
def test_a_recipe_without_the_parts_is_told_what_is_missing(changes: list[str], message: str) -> None:
    settings = [*SMALL, *changes]
    replaced = {change.partition("=")[0].rpartition(".")[0] for change in changes if ".use=" in change}
    settings = [one for one in settings if not any(one.startswith(f"{part}.") for part in replaced) or one in changes]
    if changes[0].startswith("backbone="):
        settings = [one for one in settings if not one.startswith("backbone.")]
    model = build(read_recipe("demo", settings), 3)
    with pytest.raises(ContractError, match=message):
        ConversionConsistency(1.0, 1.0)(model, NO_BATCH, heads_batch(model), {})


def test_a_recipe_asks_for_it_by_either_weight() -> None:
    for weight in ("converted_content_weight", "converted_speaker_weight"):
        (objective,) = objectives_of(read_recipe("demo", [f"training.{weight}=0.5"]))
        assert isinstance(objective, ConversionConsistency)
        assert objective.content_weight + objective.speaker_weight == 0.5


def test_the_content_of_a_mel_is_about_that_of_its_recording() -> None:
    torch.manual_seed(0)
    backbone = ContentWhisper(layers=1, width=64, blocks=1, block_width=16, channels=8).eval()
    seconds = torch.arange(16000) / 16000
    tone = torch.sin(2 * torch.pi * (200 + 150 * torch.sin(9 * seconds)) * seconds) * (1 + torch.sin(20 * seconds))
    wave = Waveform.of(0.1 * tone + 0.001 * torch.randn(16000), 16000)
    model = small_model()
    assert model.vocoder is not None
    spec = cast(MelSpec, model.vocoder.accepts)
    with torch.inference_mode():
        own = backbone(wave)
        content = backbone.content_of_mel(model.acoustic(wave), spec)
    count = min(own.longest, content.longest) - 2
    difference = (own.values[:, 1:count] - content.values[:, 1:count]).abs().mean()
    later = (own.values[:, 4:count] - own.values[:, 1 : count - 3]).abs().mean()
    assert difference < later
    with pytest.raises(ContractError, match="log_base is '10'"):
        backbone.content_of_mel(model.acoustic(wave), replace(spec, log_base="10"))
    with pytest.raises(ContractError, match="MelConv cannot compute frames from mels"):
        MelConv(width=12, blocks=1).content_of_mel(model.acoustic(wave), spec)
