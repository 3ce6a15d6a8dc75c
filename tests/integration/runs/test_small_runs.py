"""Runs that hold only what tuning changed: trained, saved, loaded, added to a converter of their base, refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import vczoo
from vczoo.errors import HubError, RecipeError, RunError, VoiceError
from vczoo.runs.base_run import find_base
from vczoo.runs.config import BaseRun
from vczoo.runs.run_folder import load_run

FREEZING = {
    "lora": "{backbone: full, speaker: full, voice: {use: lora, rank: 1}}",
    "adapters": "{backbone: full, speaker: full, voice: {use: adapters, width: 2}}",
    "bitfit": "{backbone: full, speaker: full, voice: bitfit}",
}


@pytest.fixture(scope="module")
def tuned(
    trained_folder: Path, voices_folder: Path, small: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A small run of each strategy over a copy of `trained_folder`, and that copy as `base`."""
    folder = tmp_path_factory.mktemp("tuned")
    shutil.copytree(trained_folder, folder / "base")
    for name, freezing in FREEZING.items():
        (folder / f"{name}-data").mkdir()
        shutil.copytree(voices_folder / "alice", folder / f"{name}-data" / name)
        vczoo.finetune(
            str(folder / "base"),
            folder / f"{name}-data",
            folder / name,
            [f"freezing={freezing}", "training.epochs=2", "training.learning_rate=0.02"],
            rehearse=False,
            progress=False,
            cache=False,
        )
    return {name: folder / name for name in ("base", *FREEZING)}


def said(converter: vczoo.Converter, voices_folder: Path, voice: object) -> torch.Tensor:
    return converter.convert(voices_folder / "bob" / "0.wav", voice).samples  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FREEZING)
def test_a_small_run_is_the_trained_model_again(
    name: str, tuned: dict[str, Path], voices_folder: Path, tmp_path: Path
) -> None:
    loaded = vczoo.load(tuned[name])
    reference = yaml.safe_load((tuned[name] / "vczoo.yaml").read_text())["base_run"]
    assert (reference["kind"], reference["name"]) == ("local", "../base")
    stored = load_file(tuned[name] / "model.safetensors")
    assert sum(value.numel() for value in stored.values()) < 0.2 * sum(v.numel() for v in loaded.model.parameters())
    assert not any(key.endswith("parametrizations.weight.original") for key in stored)
    output = said(loaded, voices_folder, name)
    assert not torch.equal(output, said(vczoo.load(tuned["base"]), voices_folder, "alice"))
    loaded.save(tmp_path / "again")
    assert torch.equal(said(vczoo.load(tmp_path / "again"), voices_folder, name), output)
    loaded.save(tmp_path / "whole", whole=True)
    shutil.rmtree(tmp_path / "again")
    whole = vczoo.load(tmp_path / "whole")
    assert whole.run.delta is None
    assert torch.equal(said(whole, voices_folder, name), output)


def test_many_voices_over_one_base(tuned: dict[str, Path], voices_folder: Path, tmp_path: Path) -> None:
    converter = vczoo.load(tuned["base"])
    before = {name: tensor.clone() for name, tensor in converter.model.tensors().items()}
    alice = said(converter, voices_folder, "alice")
    for name in FREEZING:
        assert converter.add_voice(tuned[name]) == (name,)
    for name in FREEZING:
        assert torch.equal(said(converter, voices_folder, name), said(vczoo.load(tuned[name]), voices_folder, name))
    assert torch.equal(said(converter, voices_folder, "alice"), alice)
    assert all(torch.equal(tensor, before[name]) for name, tensor in converter.model.tensors().items())
    mixed = said(converter, voices_folder, {"lora": 0.5, "bitfit": 0.5})
    assert not any(torch.equal(mixed, said(converter, voices_folder, name)) for name in ("lora", "bitfit"))
    one = said(converter, voices_folder, {"lora": 0.999, "bitfit": 0.001})
    assert (one - said(converter, voices_folder, "lora")).abs().max() < 0.1
    with pytest.raises(VoiceError, match="a voice that was tuned with adapters cannot be mixed"):
        said(converter, voices_folder, {"lora": 0.5, "adapters": 0.5})
    with pytest.raises(VoiceError, match="voice 'lora' already exists"):
        converter.add_voice(tuned["lora"])
    converter.save(tmp_path / "base")
    assert set(vczoo.load(tmp_path / "base").voices) == {"alice", "bob", "carol"}


def test_memory_of_a_voice_is_that_of_its_changes(tuned: dict[str, Path], voices_folder: Path) -> None:
    converter = vczoo.load(tuned["base"])
    converter.add_voice(tuned["lora"])
    changed, _ = converter.with_references("lora")
    shared = {value.data_ptr() for value in converter.model.tensors().values()}
    own = [name for name, value in changed.model.tensors().items() if value.data_ptr() not in shared]
    assert own
    assert all(name.startswith("heads.voice.") and name.endswith("weight") for name in own)


def test_a_run_of_another_base_is_no_voice(tuned: dict[str, Path], trained_folder: Path) -> None:
    with pytest.raises(VoiceError, match="holds a whole model, so its voices belong to no other"):
        vczoo.load(tuned["base"]).add_voice(trained_folder)
    other = vczoo.load(tuned["base"])
    with torch.no_grad():
        next(other.model.heads["voice"].parameters()).add_(1)
    with pytest.raises(VoiceError, match=r"was tuned from .*; load that first, then add the voice"):
        other.add_voice(tuned["lora"])


def test_a_base_that_is_absent_or_another(tuned: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(tuned["lora"], tmp_path / "lora")
    with pytest.raises(RunError, match=r"its base, \.\./base, is not here\. Copy it back there as it was"):
        vczoo.load(tmp_path / "lora")
    shutil.copytree(tuned["base"], tmp_path / "base")
    assert vczoo.load(tmp_path / "lora").voices == ("lora",)
    converter = vczoo.load(tmp_path / "base")
    with torch.no_grad():
        next(converter.model.heads["voice"].parameters()).add_(1)
    converter.save(tmp_path / "base", overwrite=True)
    with pytest.raises(RunError, match=r"was tuned from \.\./base with other weights \(SHA-256 [0-9a-f]{12}…\) than"):
        vczoo.load(tmp_path / "lora")


@pytest.mark.parametrize(
    ("base", "foreign", "message"),
    [
        (
            {"kind": "bundled", "name": "bass", "revision": "0.0.7"},
            False,
            r"its base, bass, is not here\. Install the version of vczoo that it is part of: .*vczoo==0\.0\.7",
        ),
        (
            {"kind": "bundled", "name": "base", "revision": "0.0.7"},
            False,
            r"was tuned from base with other weights .*vczoo==0\.0\.7",
        ),
        (
            {"kind": "hub", "name": "me/base", "revision": "a" * 40},
            True,
            rf"its base, me/base@{'a' * 12}, is not here\. Pull it: `vczoo pull me/base@{'a' * 40}`",
        ),
        (
            {"kind": "local", "name": "../../secret"},
            True,
            "this run names a folder of the machine that it was made on as its base; ask its author to push the base",
        ),
    ],
)
def test_what_to_do_about_a_base(base: dict[str, str], foreign: bool, message: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=message):
        find_base(BaseRun.model_validate({**base, "sha256": "0" * 64}), tmp_path, foreign=foreign)


def test_a_small_run_over_a_folder_is_not_published_without_it(tuned: dict[str, Path]) -> None:
    terms = {"license": "cc0-1.0", "consent": "synthetic", "dry_run": True}
    with pytest.raises(HubError, match=r"its base is a folder of this machine\. Push the base first"):
        vczoo.load(tuned["lora"]).push_to_hub("me/lora", **terms)
    published = vczoo.load(tuned["lora"]).push_to_hub("me/lora", whole=True, **terms)
    assert published.files["model.safetensors"] > 10 * (tuned["lora"] / "model.safetensors").stat().st_size


def test_a_delta_with_foreign_tensors(tuned: dict[str, Path], tmp_path: Path) -> None:
    run = load_run(tuned["lora"])
    assert run.delta is not None
    tensors = {**run.delta.tensors, "heads.voice.odd": torch.zeros(2)}
    run.delta = type(run.delta)(run.delta.base, tensors)
    path = vczoo.Converter(run).save(tmp_path / "odd")
    with pytest.raises(RunError, match=r"does not fit: not expected heads\.voice\.odd"):
        vczoo.load(path)
    with pytest.raises(RunError, match=r"not expected heads\.voice\.odd"):
        vczoo.load(tuned["base"]).add_voice(path)


def test_adapters_stay_in_a_run_that_is_trained_further(
    tuned: dict[str, Path], voices_folder: Path, tmp_path: Path
) -> None:
    arguments = (str(tuned["adapters"]), tuned["adapters"].with_name("adapters-data"), tmp_path / "further")
    with pytest.raises(RecipeError, match=r"freezing\.voice: the voice of this run has the modules of adapters"):
        vczoo.finetune(*arguments, ["freezing={use: none}"], rehearse=False, progress=False, cache=False)
    converter = vczoo.finetune(*arguments, ["training.epochs=1"], rehearse=False, progress=False, cache=False)
    expected = said(converter, voices_folder, "adapters")
    assert torch.equal(said(vczoo.load(tmp_path / "further"), voices_folder, "adapters"), expected)
