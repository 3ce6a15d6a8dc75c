"""Every recipe there and back: what is pushed is what is pulled, byte by byte, and converts sample by sample alike.

Each recipe's model is made small by its options or, where it has none for that, by its library's table; its base has
random weights, and lies where the library looks for the published ones.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file, save_file

import vczoo
from tests.support.annotated import annotated
from tests.support.hub.server import HubServer
from tests.support.paths import ROOT
from tests.support.small_bases import Base, Bases, drawn
from vczoo.conversion.converter import Converter
from vczoo.errors import HubError
from vczoo.models.build import build_freezing
from vczoo.runs.config import read_config
from vczoo.runs.run import Run, own_voices

RECIPES = ROOT / "recipes"
FILES = ("model.safetensors", "voices.safetensors", "metrics.json", "vczoo.yaml")
NAME = "me/trio"
TERMS = {"license": "cc-by-sa-4.0", "consent": "synthetic", "share_frames": True}
SPEAKER = ("heads.speaker.hidden=[8]",)
DECODER = ("heads.voice.width=8", "heads.voice.blocks=1", "heads.voice.bottleneck=4")
GRIFFIN = ("vocoder.iterations=2",)
EPOCH = ("training.epochs=1", "training.batch_size=4", "training.crop_seconds=0.64")
IMAGE = ("backbone.num_mels=32", "backbone.out_stage=2", *EPOCH)
CONVERTING = (*IMAGE, *SPEAKER, *DECODER, *GRIFFIN)
LAYERS = ("backbone.layer=2", "backbone.stage_layers=1")
SPEECH = (*LAYERS, *SPEAKER, *DECODER, *EPOCH, *GRIFFIN)
KNN = (*LAYERS, *GRIFFIN)
WHOLE = ("training.epochs=1", "training.batch_size=4", "training.crop_seconds=2")
TEXT = (*LAYERS, "heads.text.width=8", "heads.text.blocks=1", *WHOLE)
SMALL = (
    "backbone.width=64",
    "backbone.layers=1",
    "backbone.block_width=8",
    "backbone.channels=8",
    "heads.speaker.channels=8",
    *DECODER,
    *EPOCH,
)
LINEAR = (*KNN, "heads.voice.width=8", "heads.voice.blocks=1", *EPOCH)

Case = Callable[[Bases], Base]
CASES: dict[str, Case] = {
    "demo": lambda bases: Base(("backbone.width=16", *SPEAKER, *DECODER, *EPOCH, *GRIFFIN)),
    "base": lambda bases: Base(()),
    "base-partialfreeze": lambda bases: Base(EPOCH),
    **dict.fromkeys(
        ("base-film", "base-bitfit", "base-lora", "base-dora", "base-ia3", "base-adapters"), lambda bases: Base(EPOCH)
    ),
    "base-l2sp": lambda bases: Base(EPOCH),
    "base-probe": lambda bases: Base((*EPOCH, "freezing.probe_epochs=1")),
    "base-autofreeze": lambda bases: Base(EPOCH),
    "base-surgical": lambda bases: Base(EPOCH),
    "base-pretrain": lambda bases: Base(SMALL),
    "base-joint": lambda bases: Base((*SMALL, "training.recognizer=")),
    "demo-knn": lambda bases: Base(("backbone.width=16", *GRIFFIN)),
    "vgg16-partialfreeze": lambda bases: bases.torchvision("vgg16", *CONVERTING),
    "vgg16-fullfreeze": lambda bases: bases.torchvision("vgg16", *CONVERTING),
    "vgg16-gradual": lambda bases: bases.torchvision(
        "vgg16", *CONVERTING, "training.epochs=2", "freezing.every_epochs=1"
    ),
    "vgg16-discriminative": lambda bases: bases.torchvision("vgg16", *CONVERTING),
    "vgg19-partialfreeze": lambda bases: bases.torchvision("vgg19", *CONVERTING),
    "resnet18-partialfreeze": lambda bases: bases.torchvision("resnet18", *CONVERTING),
    "resnet18-norms": lambda bases: bases.torchvision("resnet18", *CONVERTING),
    "resnet18-lastnorms": lambda bases: bases.torchvision(
        "resnet18", *CONVERTING, "freezing.stages=[-1]", "freezing.parameters=['*.bn*']"
    ),
    "resnet50-partialfreeze": lambda bases: bases.torchvision("resnet50", *CONVERTING),
    "efficientnet-partialfreeze": lambda bases: bases.timm(
        "tf_efficientnet_lite0", *CONVERTING, "backbone.out_stage=3"
    ),
    "efficientnet-speaker": lambda bases: bases.timm("tf_efficientnet_lite0", *IMAGE, "backbone.out_stage=3"),
    "wavlm-decoder-partialfreeze": lambda bases: bases.torchaudio("wavlm-base-plus", *SPEECH),
    "hubert-decoder-partialfreeze": lambda bases: bases.torchaudio("hubert-base", *SPEECH),
    "wavlm-knn": lambda bases: bases.torchaudio("wavlm-large", *KNN),
    "wavlm-knn-uncentred": lambda bases: bases.torchaudio("wavlm-large", *KNN),
    "wavlm-knn-vocos": lambda bases: bases.torchaudio("wavlm-large", *bases.vocos(), *LAYERS),
    "wavlm-linear": lambda bases: bases.torchaudio("wavlm-large", *LINEAR, "heads.voice.rank=4"),
    "wavlm-lora-decoder": lambda bases: bases.auto("me/tiny-wavlm", *SPEECH),
    "whisper-tiny-decoder": lambda bases: bases.whisper("whisper-tiny.en", *SPEECH),
    "whisper-tiny-knn": lambda bases: bases.whisper("whisper-tiny.en", *KNN),
    "whisper-tiny-linear": lambda bases: bases.whisper("whisper-tiny.en", *LINEAR),
    "wavlm-ctc": lambda bases: bases.torchaudio("wavlm-base-plus", *TEXT, "freezing.trainable_stages=1"),
    "whisper-tiny-ctc": lambda bases: bases.whisper("whisper-tiny.en", *TEXT),
    "whisper-tiny-characteristic": lambda bases: bases.whisper(
        "whisper-tiny.en", *SPEECH[:-1], "backbone.layer=mix", "training.epochs=2", "freezing.probe_epochs=1"
    ),
    "whisper-tiny-ctc-mix": lambda bases: bases.whisper("whisper-tiny.en", *TEXT, "backbone.layer=mix"),
    "resnet18-emotion": lambda bases: bases.torchvision("resnet18", *IMAGE),
    "vocos-16khz": lambda bases: bases.whisper("whisper-tiny.en", *SPEECH[:-1], "vocoder.width=8", "vocoder.blocks=1"),
}


@pytest.fixture
def bases(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bases:
    return Bases(hub, monkeypatch, tmp_path)


@pytest.fixture
def elsewhere(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """From its call on the cache is another, empty one, as on another machine."""

    def move() -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "other"))
        hub.requests.clear()

    return move


def made(recipe: str, base: Base, voices_folder: Path, folder: Path) -> Converter:
    """Fine-tuned for an epoch, or enrolled where there is nothing to train; saved, too."""
    if any(item.startswith("training.") for item in base.overrides):
        data = annotated(voices_folder, folder.parent / "manifest.jsonl")
        return vczoo.finetune(recipe, data, folder, base.overrides, progress=False, cache=False)
    converter = vczoo.load(recipe, base.overrides)
    for voice in ("alice", "bob"):
        converter.enroll(voice, [voices_folder / voice / f"{number}.wav" for number in range(3)])
    converter.save(folder)
    return converter


def said(converter: Converter, source: Path) -> list[torch.Tensor]:
    """What the model makes of a recording: in each voice where it converts, else what its heads make of it."""
    model = converter.model
    with torch.inference_mode():
        content = model.content(vczoo.Waveform.read(source, model.sample_rate_hz))
        tasks = [head.log_probabilities(content).values for head in model.text_heads.values()]
        tasks += [head.logits(content) for head in model.label_heads.values()]
    if tasks:
        return tasks
    if not model.voice_heads:
        return [converter.embed(source)]
    return [converter.convert(source, voice).samples for voice in own_voices(converter.run)]


def test_no_recipe_is_left_out() -> None:
    nowhere = {"content-distil"}  # which does nothing by itself, so that it is not pushed: tests/test_distil.py
    assert set(CASES) | nowhere == {path.stem for path in RECIPES.glob("*.yaml")}


@pytest.mark.parametrize("recipe", CASES)
def test_there_and_back(
    recipe: str,
    bases: Bases,
    hub: HubServer,
    elsewhere: Callable[[], None],
    voices_folder: Path,
    tmp_path: Path,
) -> None:
    base = CASES[recipe](bases)
    first = hub.repo(base.repository).head.oid if base.repository else ""
    converter = made(recipe, base, voices_folder, tmp_path / "run")
    source = voices_folder / "carol" / "5.wav"
    expected = said(converter, source)
    assert all(bool(item.isfinite().all()) and float(item.abs().max()) > 0 for item in expected)
    published = converter.push_to_hub(NAME, **TERMS)
    pushed = hub.repo(NAME).head.files

    if base.repository:  # what is on its main branch now is something else
        base.move()
        assert hub.repo(base.repository).head.oid != first
    elsewhere()
    pulled = vczoo.load(NAME)
    folder = pulled.run.folder
    assert folder is not None
    assert tmp_path / "other" in folder.parents
    assert {name: (folder / name).read_bytes() for name in FILES} == {name: pushed[name] for name in FILES}
    assert pushed["model.safetensors"] == (tmp_path / "run" / "model.safetensors").read_bytes()
    assert pulled.run.revision == f"{NAME}@{published.commit[:12]}"
    if base.repository:
        read = {path for _, path, *_ in hub.seen("*", f"/{base.repository}/resolve/*")}
        assert read
        assert all(f"/resolve/{first}/" in path for path in read)

    assert all(torch.equal(one, other) for one, other in zip(said(pulled, source), expected, strict=True))
    pulled.save(tmp_path / "again")
    assert contents(tmp_path / "again") == {name: pushed[name] for name in FILES}
    stored = set(load_file(folder / "model.safetensors"))
    if converter.run.delta:
        assert pulled.run.delta is not None
        assert pulled.run.delta.base.name == "base"
        assert stored == set(converter.run.delta.tensors)
        assert len(pushed["model.safetensors"]) < 150_000
        return
    pretrained = set(converter.model.base)
    left, kept = pretrained - stored, pretrained & stored
    assert set(pulled.model.tensors()) - left == stored
    free = what_trains(pulled) if pretrained else set()
    assert kept <= free
    assert bool(kept) == bool(free)


def what_trains(converter: Converter) -> set[str]:
    """The tensors of the backbone that the recipe's freezing strategy lets change."""
    recipe, stages = converter.recipe, converter.model.backbone.stages()
    strategy = build_freezing(recipe, converter.model).backbone
    epochs = [strategy.multipliers(len(stages), epoch) for epoch in range(recipe.training.epochs)]
    free = [stage for stage, rates in zip(stages, zip(*epochs, strict=True), strict=True) if any(rates)]
    if recipe.freezing.use == "transformers/lora":  # the adapters are merged into the linear layers' weights
        names = [(stage.name, name) for stage in free for name in stage.module.state_dict() if name.endswith("weight")]
    else:
        names = [
            (stage.name, f"{place}.{name}" if place else name)
            for stage in free
            for place, module in stage.module.named_modules()
            if strategy.trains(module)
            for name in own_tensors(module)
        ]
    return {f"backbone.{stage}.{name}" for stage, name in names}


def own_tensors(module: torch.nn.Module) -> set[str]:
    nested = {f"{name}.{own}" for name, child in module.named_children() for own in child.state_dict()}
    return set(module.state_dict()) - nested


def test_of_a_network_whose_norms_alone_train_these_alone_are_stored(
    bases: Bases, voices_folder: Path, tmp_path
) -> None:
    made("resnet18-norms", CASES["resnet18-norms"](bases), voices_folder, tmp_path / "run")
    stored = {name for name in load_file(tmp_path / "run" / "model.safetensors") if name.startswith("backbone.")}
    norms = {"stem.1", "layer1.0.bn1", "layer1.0.bn2", "layer1.1.bn1", "layer1.1.bn2"}
    own = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert stored == {f"backbone.{norm}.{name}" for norm in norms for name in own}


# Weights from a file of this machine.


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a run that was loaded from the Hub, without the record of that in its lineage."""
    config = read_config(folder / "vczoo.yaml")
    assert config.lineage[0].name == NAME
    plain = config.model_copy(update={"lineage": config.lineage[1:]}).to_yaml().encode()
    return {name: (folder / name).read_bytes() for name in FILES} | {"vczoo.yaml": plain}


def kept_elsewhere(converter: Converter, hub: HubServer, secret: Path, source: Path, move: Callable[[], None]) -> Run:
    """See that what was pushed says nothing of a file that is no longer there, and loads without it."""
    pushed, expected = hub.repo(NAME).head.files, said(converter, source)
    assert not [name for name, content in pushed.items() if str(secret.parent).encode() in content]
    secret.unlink()
    move()
    pulled = vczoo.load(NAME)
    assert all(torch.equal(one, other) for one, other in zip(said(pulled, source), expected, strict=True))
    assert set(load(pushed["model.safetensors"])) == set(pulled.model.tensors())
    again = pulled.save(secret.parent / "again")
    assert contents(again) == {name: pushed[name] for name in FILES}
    return pulled.run


def test_a_base_from_a_file_is_published_whole_or_not_at_all(
    hub: HubServer, elsewhere: Callable[[], None], voices_folder: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret" / "base.safetensors"
    secret.parent.mkdir()
    small = ("backbone.width=16", *SPEAKER, *DECODER, *EPOCH, *GRIFFIN)
    backbone = vczoo.load("demo", [*small, "training.seed=7"]).model.backbone
    save_file(backbone.trunk.state_dict(), secret)  # type: ignore[union-attr]
    base = Base((*small, f"backbone.weights={secret}", "freezing.use=partial"))
    converter = made("demo", base, voices_folder, tmp_path / "run")
    assert "backbone.stem.0.weight" not in load_file(tmp_path / "run" / "model.safetensors")
    with pytest.raises(HubError, match=r"(?s)backbone.weights: '.*base.safetensors' may be a path.*or use --whole"):
        converter.push_to_hub(NAME, **TERMS)
    assert NAME not in hub.api.repos
    converter.push_to_hub(NAME, **TERMS, whole=True)
    run = kept_elsewhere(converter, hub, secret, voices_folder / "carol" / "5.wav", elsewhere)
    assert run.base["backbone"].source == "base.safetensors"


def test_a_vocoder_from_a_file_is_published_with_the_run(
    hub: HubServer, elsewhere: Callable[[], None], voices_folder: Path, tmp_path: Path
) -> None:
    build_small = pytest.importorskip("vczoo_vocos.build").build_small
    secret = tmp_path / "secret" / "vocoder.safetensors"
    secret.parent.mkdir()
    outline = build_small(width=8, blocks=1).state_dict()
    save_file(drawn(outline, 5), secret)
    vocos = ("vocoder.use=vocos/small-16khz", "vocoder.width=8", "vocoder.blocks=1", f"vocoder.weights={secret}")
    base = Base(("backbone.width=16", *SPEAKER, *DECODER, *EPOCH, *vocos))
    converter = made("demo", base, voices_folder, tmp_path / "run")
    converter.push_to_hub(NAME, **TERMS)
    run = kept_elsewhere(converter, hub, secret, voices_folder / "carol" / "5.wav", elsewhere)
    assert run.base["vocoder"].source == "vocoder.safetensors"
