"""The run folder: what is written is read back bit by bit, and whatever does not fit is named."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import vczoo
from vczoo.errors import RunError, VczooError
from vczoo.io.tensors import fingerprint
from vczoo.models.recipe import Recipe
from vczoo.modules.heads.mel_decoder import MelDecoder
from vczoo.runs.run_folder import load_run
from vczoo.runs.run_writer import save_run


def test_round_trip_is_bit_identical(tmp_path: Path, made_run: Path) -> None:
    run = load_run(made_run)
    save_run(run, tmp_path / "again")
    for name in ("model.safetensors", "voices.safetensors", "vczoo.yaml", "metrics.json"):
        assert (tmp_path / "again" / name).read_bytes() == (made_run / name).read_bytes()


def test_a_recipe_is_parsed_once_for_each_load(made_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parse, names = Recipe.parse, []
    monkeypatch.setattr(Recipe, "parse", lambda values: names.append(values["name"]) or parse(values))
    load_run(made_run)
    assert names == ["demo"]


def test_what_is_loaded_lies_as_torch_lays_it_and_not_in_the_file(run_folder: Path) -> None:
    """Sums over tensors that are aligned otherwise are rounded otherwise, and a file may be written over."""
    run = load_run(run_folder)
    tensors = [*run.model.state_dict().values(), *(t for voice in run.voices.values() for t in voice.tensors.values())]
    assert all(tensor.data_ptr() % 64 == 0 for tensor in tensors)
    before = fingerprint(run.model.state_dict())
    for name in ("model.safetensors", "voices.safetensors"):
        with (run_folder / name).open("r+b") as file:
            file.seek(-64, 2)
            file.write(b"\1" * 64)
    assert fingerprint(run.model.state_dict()) == before


def test_loading_needs_no_seed_and_leaves_the_callers(made_run: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_run(made_run)
    assert torch.equal(torch.rand(2), expected)


def drop(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["heads.speaker.output.weight"]


def add(tensors: dict[str, torch.Tensor]) -> None:
    tensors["heads.speaker.backdoor"] = torch.zeros(3)


def reshape(tensors: dict[str, torch.Tensor]) -> None:
    tensors["heads.speaker.output.weight"] = tensors["heads.speaker.output.weight"].T.contiguous()


def poison(tensors: dict[str, torch.Tensor]) -> None:
    tensors["heads.speaker.output.bias"][0] = float("nan")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop, "missing heads.speaker.output.weight"),
        (add, "not expected heads.speaker.backdoor"),
        (reshape, r"heads.speaker.output.weight has shape \(16, 3\), expected \(3, 16\)"),
        (poison, "NaN or infinity in heads.speaker.output.bias"),
    ],
)
def test_every_tensor_is_accounted_for(
    run_folder: Path, change: Callable[[dict[str, torch.Tensor]], None], message: str
) -> None:
    tensors = load_file(run_folder / "model.safetensors")
    change(tensors)
    save_file(tensors, run_folder / "model.safetensors")
    with pytest.raises(RunError, match=message):
        load_run(run_folder)


@pytest.mark.parametrize(
    ("key", "tensor", "message"),
    [
        ("alice/speaker.embedding", None, "missing speaker.embedding"),
        ("alice/pitch", torch.zeros(2), r"pitch has shape \(2,\), expected \(1,\)"),
        ("alice/rootkit.x", torch.zeros(2), "unexpected rootkit.x"),
        ("mallory/pitch", torch.zeros(1), "'mallory/pitch' belongs to none of the run's voices"),
    ],
)
def test_every_voice_is_accounted_for(run_folder: Path, key: str, tensor: torch.Tensor | None, message: str) -> None:
    tensors = load_file(run_folder / "voices.safetensors")
    tensors.pop(key, None)
    if tensor is not None:
        tensors[key] = tensor
    save_file(tensors, run_folder / "voices.safetensors")
    with pytest.raises(RunError, match=message):
        load_run(run_folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format: 2", "format: 3", "format '3', but this version of vczoo reads format 2"),
        ("\nseed: 0\n", "\nseed: 0\nhook: os.system\n", "hook: unknown field"),
        ("speakers:", "speakerz:", "speakers"),
        ("use: mel-conv", "use: mel-conf", "did you mean 'mel-conv'"),
        ("use: mel-conv", "use: !!python/name:os.system", "a tag"),
    ],
)
def test_a_config_that_is_not_ours_is_refused(run_folder: Path, old: str, new: str, message: str) -> None:
    config = run_folder / "vczoo.yaml"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new, 1))
    with pytest.raises(VczooError, match=message):
        load_run(run_folder)


def test_a_folder_without_a_run_says_what_a_run_is(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no run is here.*vczoo train"):
        load_run(tmp_path)


@pytest.mark.parametrize("half", [False, True])
def test_tied_weights_are_saved_and_loaded_tied(
    tmp_path: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, half: bool
) -> None:
    build = MelDecoder.__init__

    @functools.wraps(build)
    def build_tied(self: MelDecoder, **options: Any) -> None:
        build(self, **options)
        first, second = self.decoder.blocks[:2]
        second.narrow.weight = first.narrow.weight

    monkeypatch.setattr(MelDecoder, "__init__", build_tied)
    converter = vczoo.load("demo", small)
    loaded = vczoo.load(converter.save(tmp_path / "run", half=half))
    first, second = loaded.model.voice_heads["voice"].decoder.blocks[:2]
    assert first.narrow.weight is second.narrow.weight
    before = converter.model.voice_heads["voice"].decoder.blocks[0].narrow.weight
    assert torch.allclose(first.narrow.weight, before, atol=1e-3 if half else 0)


def test_a_run_in_half_precision(tmp_path: Path, made_run: Path, voices_folder: Path) -> None:
    converter = vczoo.load(made_run)
    half = converter.save(tmp_path / "half", half=True)
    for name in ("model.safetensors", "voices.safetensors"):
        stored, before = load_file(half / name), load_file(made_run / name)
        assert {tensor.dtype for tensor in stored.values() if tensor.is_floating_point()} == {torch.float16}
        wanted = {key: t.half() if t.is_floating_point() else t for key, t in before.items()}
        assert stored.keys() == wanted.keys()
        assert all(torch.equal(tensor, wanted[key]) for key, tensor in stored.items())
    again = vczoo.load(half)
    tensors, before = again.model.tensors(), load_run(made_run).model.tensors()
    assert {name: tensor.dtype for name, tensor in tensors.items()} == {name: t.dtype for name, t in before.items()}
    floating = [name for name, tensor in before.items() if tensor.dtype == torch.float32]
    assert all(torch.equal(tensors[name], before[name].half().float()) for name in floating)
    kept = again.run.voices["alice"].tensors
    assert {tensor.dtype for tensor in kept.values()} == {torch.float32}
    assert all(torch.equal(t, converter.run.voices["alice"].tensors[n].half().float()) for n, t in kept.items())
    assert again.convert(voices_folder / "bob" / "0.wav", "alice").samples.dtype == torch.float32
    # What was rounded is written again as it was, and in full where it is not said otherwise.
    again.save(tmp_path / "again", half=True)
    assert {p.name: p.read_bytes() for p in (tmp_path / "again").iterdir()} == {
        p.name: p.read_bytes() for p in half.iterdir()
    }
    full = load_file(vczoo.load(half).save(tmp_path / "full") / "model.safetensors")
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in full.items())


@pytest.mark.parametrize("value", [65536.0, -1e6])
def test_what_half_precision_does_not_hold_is_refused(tmp_path: Path, made_run: Path, value: float) -> None:
    run = load_run(made_run)
    run.model.tensors()["heads.speaker.output.bias"][1] = value
    with pytest.raises(RunError, match=r"values beyond float16's maximum of 65504 in heads\.speaker\.output\.bias"):
        save_run(run, tmp_path / "half", half=True)
    assert not (tmp_path / "half").exists()
    save_run(run, tmp_path / "full")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int32])
@pytest.mark.parametrize("name", ["model.safetensors", "voices.safetensors"])
def test_no_other_type_will_do_for_float32(run_folder: Path, name: str, dtype: torch.dtype) -> None:
    tensors = load_file(run_folder / name)
    key = next(key for key, tensor in tensors.items() if tensor.dtype == torch.float32)
    save_file({**tensors, key: tensors[key].to(dtype)}, run_folder / name)
    with pytest.raises(RunError, match=rf"has dtype {dtype}, expected torch\.float32"):
        load_run(run_folder)
