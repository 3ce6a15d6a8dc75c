"""Training a vocoder by itself: it learns, resumes exactly, its file fits recipes, and it is honest about the rest."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import vczoo
from vczoo.errors import CorpusError, RecipeError, RunError, VczooError, WeightsError
from vczoo.io.progress import NullProgress
from vczoo.models.build import build, checked_recipe
from vczoo.models.recipe import Recipe, read_recipe
from vczoo.models.training_settings import VocoderTraining
from vczoo.training.distributed import DistributedContext
from vczoo.training.vocoder.segments import VocoderSegments
from vczoo.training.vocoder.train import train_vocoder
from vczoo.training.vocoder.trainable import TrainableVocoder

pytest.importorskip("vczoo_vocos")

TINY = (
    "backbone.width=8",
    "backbone.blocks=1",
    "vocoder.use=vocos/small-16khz",
    "vocoder.width=16",
    "vocoder.blocks=2",
)
FEW = (
    *TINY,
    "vocoder_training.steps=6",
    "vocoder_training.validate_every=3",
    "vocoder_training.batch_size=2",
    "vocoder_training.crop_seconds=0.1",
    "vocoder_training.learning_rate=0.003",
    "vocoder_training.adversarial_from=0.5",
    "vocoder_training.discriminator_channels=1",
)
SPECTRAL = ("vocoder_training.adversarial_from=1.0",)


class Interrupt(NullProgress):
    """A watcher that does something when it has seen so many steps."""

    def __init__(self, after: int, action: Any) -> None:
        self.left, self.action = after, action

    def step(self, loss: float) -> None:
        self.left -= 1
        if self.left == 0:
            self.action()


@pytest.fixture(scope="module")
def few_voices(tmp_path_factory: pytest.TempPathFactory, voices_folder: Path) -> Path:
    """Three recordings of two speakers: one of each to train on, to validate with, and left over."""
    folder = tmp_path_factory.mktemp("few")
    for name in ("alice", "bob"):
        for number in range(3):
            (folder / name).mkdir(exist_ok=True)
            shutil.copy(voices_folder / name / f"{number}.wav", folder / name)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, few_voices: Path) -> Path:
    """A short training with discriminators in its second half. Read only."""
    folder = tmp_path_factory.mktemp("whole") / "vocoder"
    train_vocoder("demo", few_voices, folder, FEW, progress=False)
    return folder


def same(one: Path, other: Path) -> bool:
    first, second = (load_file(folder / "vocoder.safetensors") for folder in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def history(folder: Path, *, timed: bool = False) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return records if timed else [{key: record[key] for key in record if key != "seconds"} for record in records]


def test_it_learns_to_make_speech_again(tmp_path: Path, few_voices: Path) -> None:
    overrides = (*FEW, *SPECTRAL, "vocoder_training.steps=60", "vocoder_training.learning_rate=0.01")
    trained = train_vocoder("demo", few_voices, tmp_path / "out", overrides, progress=False)
    records = history(tmp_path / "out", timed=True)
    assert trained.history == records
    assert [record["step"] for record in records] == list(range(3, 61, 3))
    for what, share in (("mel", 0.85), ("stft", 0.92)):
        assert records[-1]["train"][what] < share * records[0]["train"][what]
        assert records[-1]["validation"][what] < share * records[0]["validation"][what]
        # The baseline is of the same recordings, and far ahead of sixty steps.
        assert 0 < records[-1]["griffin_lim"][what] < records[-1]["validation"][what]
    assert trained.seconds == pytest.approx(records[-1]["seconds"], abs=1e-3)
    assert not trained.vocoder.training


def test_its_folder_holds_these_files_and_no_pickle(whole: Path) -> None:
    assert {path.name for path in whole.iterdir()} == {"vocoder.safetensors", "metrics.jsonl", "recipe.yaml"}
    recipe = read_recipe(whole / "recipe.yaml")
    assert recipe.vocoder_training is not None
    assert recipe.vocoder_training.steps == 6


def test_discriminators_join_when_they_are_told_to(whole: Path) -> None:
    before, after = (record["train"] for record in history(whole))
    assert set(before) == {"loss", "mel", "stft"}
    assert set(after) == {*before, "adversarial", "features", "discriminators"}
    settings = VocoderTraining()
    weights = {
        "mel": settings.mel_weight,
        "stft": settings.stft_weight,
        "adversarial": settings.adversarial_weight,
        "features": settings.feature_weight,
    }
    assert after["loss"] == pytest.approx(sum(weights[name] * after[name] for name in weights), rel=1e-4)


def trainer(**settings: Any) -> TrainableVocoder:
    recipe = read_recipe("demo", TINY)
    torch.manual_seed(0)
    vocoder = build(recipe, 1).vocoder
    assert vocoder is not None
    assert isinstance(vocoder.accepts, vczoo.MelSpec)
    small = {"steps": 4, "discriminator_channels": 1, "adversarial_from": 0.0, "learning_rate": 0.01}
    values = VocoderTraining(**{**small, **settings})
    nothing = VocoderSegments([], 16000, 1600)
    return TrainableVocoder(vocoder, vocoder.accepts, values, torch.device("cpu"), nothing, [])


def parameters(network: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


@pytest.mark.parametrize("objective", ["least-squares", "hinge"])
def test_each_network_learns_from_its_own_loss_alone(objective: str) -> None:
    """How much deceiving counts for the vocoder is nothing to the discriminators."""
    after = []
    for weight in (1.0, 1000.0):
        with torch.random.fork_rng(devices=[]):
            both = trainer(objective=objective, adversarial_weight=weight)
            before = {name: parameters(network) for name, network in both.modules.items()}
            figures = both.step((torch.sin(torch.arange(3200) * 0.3).view(2, 1600), None), 0)
        assert figures["loss"] > weight * figures["adversarial"] > 0
        after.append({name: parameters(network) for name, network in both.modules.items()})
        for name, old in before.items():
            moved = [not torch.equal(*pair) for pair in zip(old, after[-1][name], strict=True)]
            assert sum(moved) > 0.9 * len(moved)  # an activation may be off in all of a small layer
    first, second = after
    assert all(torch.equal(*pair) for pair in zip(first["discriminators"], second["discriminators"], strict=True))
    assert not all(torch.equal(*pair) for pair in zip(first["vocoder"], second["vocoder"], strict=True))


def test_settings_name_the_discriminators() -> None:
    with torch.random.fork_rng(devices=[]):
        kinds = [
            [type(one).__name__ for one in trainer(discriminators=name).modules["discriminators"].each]
            for name in ("published", "coarse")
        ]
    assert kinds == [["PeriodDiscriminator"] * 5 + ["SpectrumDiscriminator"] * 3, ["PatchDiscriminator"] * 2]


@pytest.mark.parametrize(
    "settings", [{"adversarial_from": 1.0}, {"adversarial_weight": 0.0, "feature_weight": 0.0}], ids=["never", "0"]
)
def test_discriminators_that_never_count_are_not_made(settings: dict[str, float]) -> None:
    with torch.random.fork_rng(devices=[]):
        assert set(trainer(**settings).modules) == {"vocoder"}


def test_the_rate_falls_along_a_cosine() -> None:
    with torch.random.fork_rng(devices=[]):
        found = [trainer(adversarial_from=1.0).rate(step) for step in range(4)]
    assert found == pytest.approx([0.01, 0.008536, 0.005, 0.001464], rel=1e-3)


@pytest.mark.parametrize("steps", [1, 3, 5, 6])
def test_ctrl_c_and_resume_give_the_weights_of_an_uninterrupted_training(
    tmp_path: Path, few_voices: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Before the first validation, in it, after the discriminators joined, and in the last step."""
    with monkeypatch.context() as patch:
        press = Interrupt(steps, lambda: os.kill(os.getpid(), signal.SIGINT))
        patch.setattr("vczoo.training.vocoder.train.NullProgress", lambda: press)
        with pytest.raises(KeyboardInterrupt):
            train_vocoder("demo", few_voices, tmp_path / "cut", FEW, progress=False)
    assert (tmp_path / "cut" / "checkpoint.safetensors").is_file()
    assert not (tmp_path / "cut" / "vocoder.safetensors").exists()
    train_vocoder("demo", few_voices, tmp_path / "cut", FEW, resume=True, progress=False)
    assert same(whole, tmp_path / "cut")
    assert history(whole) == history(tmp_path / "cut")
    assert not (tmp_path / "cut" / "checkpoint.safetensors").exists()


def test_a_crash_is_resumed_from_the_last_validation(
    tmp_path: Path, few_voices: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash() -> None:
        raise MemoryError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("vczoo.training.vocoder.train.NullProgress", lambda: Interrupt(5, crash))
        with pytest.raises(MemoryError):
            train_vocoder("demo", few_voices, tmp_path / "cut", FEW, progress=False)
    train_vocoder("demo", few_voices, tmp_path / "cut", FEW, resume=True, progress=False)
    assert same(whole, tmp_path / "cut")


def test_a_checkpoint_of_another_training_is_refused(
    tmp_path: Path, few_voices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = tmp_path / "cut"
    with monkeypatch.context() as patch:
        press = Interrupt(1, lambda: os.kill(os.getpid(), signal.SIGINT))
        patch.setattr("vczoo.training.vocoder.train.NullProgress", lambda: press)
        with pytest.raises(KeyboardInterrupt):
            train_vocoder("demo", few_voices, cut, FEW, progress=False)
    with pytest.raises(RunError, match=r"not empty; --resume continues it"):
        train_vocoder("demo", few_voices, cut, FEW, progress=False)
    for change, text in (
        ("vocoder_training.seed=9", r"vocoder_training\.seed was 0, now 9; .*\. Resume with the same ones, or choose"),
        ("vocoder.width=8", r"vocoder\.width was 16, now 8; other initial weights"),
    ):
        with pytest.raises(RunError, match=text):
            train_vocoder("demo", few_voices, cut, [*FEW, change], resume=True, progress=False)
    (cut / "checkpoint.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(RunError, match="damaged"):
        train_vocoder("demo", few_voices, cut, FEW, resume=True, progress=False)


def test_a_seed_decides_the_weights(tmp_path: Path, few_voices: Path) -> None:
    overrides = [*FEW, *SPECTRAL, "vocoder_training.steps=2"]
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(ord(name))  # what the caller drew before must not matter, and is left alone
        train_vocoder(
            "demo", few_voices, tmp_path / name, [*overrides, f"vocoder_training.seed={seed}"], progress=False
        )
        drawn = torch.rand(1)
        torch.manual_seed(ord(name))
        assert torch.equal(drawn, torch.rand(1))
    assert same(tmp_path / "a", tmp_path / "b")
    assert not same(tmp_path / "a", tmp_path / "c")


def test_averaged_weights_are_the_result_and_survive_an_interruption(tmp_path: Path, few_voices: Path) -> None:
    """A vocoder that reads pitch, too. The average of the weights lags behind them."""
    source_filter = ("vocoder.use=source-filter-net", *FEW[:2], "vocoder.width=8", "vocoder.blocks=1", *FEW[5:])
    plain, averaged = (*source_filter, *SPECTRAL), (*source_filter, *SPECTRAL, "vocoder_training.average=0.9")
    train_vocoder("demo", few_voices, tmp_path / "plain", plain, progress=False)
    train_vocoder("demo", few_voices, tmp_path / "averaged", averaged, progress=False)
    assert not same(tmp_path / "plain", tmp_path / "averaged")

    def distance(name: str) -> float:
        trained = load_file(tmp_path / name / "vocoder.safetensors")
        return float(trained["exit.1.weight"].abs().sum())  # zeros before training

    assert 0 < distance("averaged") < distance("plain")

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vczoo.training.vocoder.train.NullProgress", lambda: Interrupt(2, interrupt))
        with pytest.raises(KeyboardInterrupt):
            train_vocoder("demo", few_voices, tmp_path / "resumed", averaged, progress=False)
    train_vocoder("demo", few_voices, tmp_path / "resumed", averaged, resume=True, progress=False)
    assert same(tmp_path / "averaged", tmp_path / "resumed")


def test_the_file_is_the_vocoder_of_any_recipe(tmp_path: Path, few_voices: Path, whole: Path, small: Any) -> None:
    """A run that is trained with it keeps it, whatever becomes of the file."""
    file = tmp_path / "mine.safetensors"
    shutil.copy(whole / "vocoder.safetensors", file)
    fewer = [setting for setting in small if not setting.startswith("vocoder.")]
    overrides = [*fewer, *TINY[2:], f"vocoder.weights={file}", "training.epochs=1"]
    vczoo.finetune("demo", few_voices, tmp_path / "run", overrides, progress=False)
    tensors = load_file(whole / "vocoder.safetensors")
    file.unlink()
    kept = vczoo.load(tmp_path / "run").model.vocoder
    assert kept is not None
    assert kept.state_dict().keys() == tensors.keys()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in kept.state_dict().items())


def test_fine_tuning_starts_from_a_file(tmp_path: Path, few_voices: Path, whole: Path) -> None:
    """At a rate of next to nothing the weights stay next to what they were; another width does not fit."""
    start = f"vocoder.weights={whole / 'vocoder.safetensors'}"
    overrides = [*FEW, *SPECTRAL, start, "vocoder_training.steps=1", "vocoder_training.learning_rate=1.0e-9"]
    train_vocoder("demo", few_voices, tmp_path / "on", overrides, progress=False)
    before, after = (load_file(folder / "vocoder.safetensors") for folder in (whole, tmp_path / "on"))
    assert all(torch.allclose(before[name], after[name], atol=1e-7) for name in before)
    with pytest.raises(WeightsError, match=r"has shape \(16,\), expected \(24,\)"):
        train_vocoder("demo", few_voices, tmp_path / "wider", [*overrides, "vocoder.width=24"], progress=False)
    assert not (tmp_path / "wider").exists()


def test_other_vocoders_train_and_load_again(tmp_path: Path, few_voices: Path) -> None:
    """A mel of another logarithm, rate of frames and padding, and a network in a wrapper of its own."""
    pytest.importorskip("vczoo_transformers")
    overrides = [
        *(setting for setting in FEW if not setting.startswith("vocoder.")),
        *SPECTRAL,
        "vocoder_training.steps=1",
        "vocoder_training.batch_size=1",
        "vocoder.use=transformers/speecht5-hifigan",
    ]
    trained = train_vocoder(
        "demo", few_voices, tmp_path / "out", [*overrides, "vocoder.weights=random"], progress=False
    )
    again = build(read_recipe("demo", [*overrides, f"vocoder.weights={trained.file}"]), 1).vocoder
    assert again is not None
    expected = trained.vocoder.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in again.state_dict().items())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("vocoder.use=griffin-lim", "vocoder.use: griffin-lim has no parameters to train; vocos/small-16khz has"),
        ("vocoder=null", "vocoder: this recipe has none"),
        ("vocoder.wdth=3", "did you mean 'width'"),
        ("vocoder_training.step=3", "no such setting; did you mean 'vocoder_training.steps'"),
        ("vocoder_training.steps=0", "vocoder_training.steps: Input should be greater than or equal to 1"),
        ("vocoder_training.objective=wgan", "Input should be 'least-squares' or 'hinge'"),
        ("vocoder_training.discriminators=fine", "Input should be 'published' or 'coarse'"),
        ("vocoder_training.gain_db=-1", "vocoder_training.gain_db: Input should be greater than or equal to 0"),
    ],
)
def test_a_recipe_that_cannot_be_trained(tmp_path: Path, few_voices: Path, override: str, message: str) -> None:
    overrides = TINY if "=null" not in override else (*TINY[:2], "heads.voice=null")
    overrides = overrides if "griffin" not in override else TINY[:2]
    with pytest.raises(RecipeError) as error:
        train_vocoder("demo", few_voices, tmp_path / "out", [*overrides, override], progress=False)
    assert message in str(error.value)
    assert not (tmp_path / "out").exists()


def test_weights_that_leave_nothing_to_learn_from() -> None:
    values = {"name": "x", **read_recipe("demo").to_plain()}
    for training, message in (
        ({"mel_weight": 0, "stft_weight": 0}, "nothing trains before the discriminators join"),
        (
            {"mel_weight": 0, "stft_weight": 0, "adversarial_weight": 0, "feature_weight": 0, "adversarial_from": 0},
            "every loss weight is 0",
        ),
    ):
        with pytest.raises(RecipeError, match=message):
            Recipe.parse({**values, "vocoder_training": training})
    alone = {"mel_weight": 0, "stft_weight": 0, "adversarial_from": 0}
    assert Recipe.parse({**values, "vocoder_training": alone}).vocoder_training is not None


def test_an_output_that_exists_is_refused(tmp_path: Path, few_voices: Path, whole: Path) -> None:
    with pytest.raises(RunError, match=r"a trained vocoder is here.*vocoder\.weights="):
        train_vocoder("demo", few_voices, whole, FEW, progress=False)
    with pytest.raises(RunError, match="to resume"):
        train_vocoder("demo", few_voices, tmp_path / "new", FEW, resume=True, progress=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        train_vocoder("demo", few_voices, tmp_path / "file", FEW, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_recordings_without_validation_are_refused(tmp_path: Path, few_voices: Path) -> None:
    rows = [f"{path},alice,train" for path in sorted((few_voices / "alice").iterdir())]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,speaker,split", *rows]))
    with pytest.raises(CorpusError, match="marked for validation"):
        train_vocoder("demo", tmp_path / "manifest.csv", tmp_path / "out", FEW, progress=False)


def test_divergence_is_told_with_what_to_change(tmp_path: Path, few_voices: Path) -> None:
    overrides = [*FEW, *SPECTRAL, "vocoder_training.learning_rate=1000"]
    with pytest.raises(VczooError, match=r"loss of the vocoder is .* at step \d.*vocoder_training\.learning_rate"):
        train_vocoder("demo", few_voices, tmp_path / "out", overrides, progress=False)


def test_divergence_in_the_last_step_is_told(tmp_path: Path, few_voices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vczoo.training.vocoder.trainable.distances", lambda *_: {"mel": float("nan"), "stft": 1.0})
    with pytest.raises(
        VczooError, match=r"after step 3 is not finite \(mel nan\).*Lower vocoder_training\.learning_rate"
    ):
        train_vocoder("demo", few_voices, tmp_path / "out", [*FEW, *SPECTRAL], progress=False)
    assert not (tmp_path / "out" / "vocoder.safetensors").exists()


def test_the_recipe_of_the_zoo_trains_a_vocoder_that_the_zoos_mels_fit() -> None:
    pytest.importorskip("vczoo_transformers")
    recipe = checked_recipe("vocos-16khz")
    assert recipe.vocoder is not None
    assert recipe.vocoder.use == "vocos/small-16khz"
    assert recipe.vocoder_training is not None
    assert recipe.vocoder_training.objective == "hinge"
    assert VocoderTraining().objective == "least-squares"


def test_several_processes_are_refused(few_voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DistributedContext, "processes", 2)
    with pytest.raises(VczooError, match="trains in one process, but 2 were started"):
        train_vocoder("demo", few_voices, tmp_path / "out", FEW, device="cpu", progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("strategy", ["bitfit", "{use: lora, rank: 1}"])
def test_a_strategy_says_what_of_the_vocoder_trains(strategy: str, tmp_path: Path, few_voices: Path) -> None:
    overrides = [*FEW, *SPECTRAL, f"freezing.vocoder={strategy}"]
    torch.manual_seed(0)
    trained = train_vocoder("demo", few_voices, tmp_path / "tuned", overrides, progress=False, device="cpu")
    after = load_file(trained.file)
    whole = train_vocoder("demo", few_voices, tmp_path / "whole", [*FEW, *SPECTRAL], progress=False, device="cpu")
    assert after.keys() == load_file(whole.file).keys()
    overrides[-1] = "vocoder_training.learning_rate=1e-30"  # the weights at the start
    start = load_file(train_vocoder("demo", few_voices, tmp_path / "start", overrides, progress=False).file)
    moved = {name for name in after if not torch.allclose(after[name], start[name], rtol=0, atol=1e-7)}
    assert moved
    assert all(name.endswith("bias" if strategy == "bitfit" else "weight") for name in moved)


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("full", "nothing of the vocoder would train; choose another strategy, or leave it out"),
        ("adapters", "a vocoder is trained without adapters and without terms of the loss"),
        ("l2-sp", "a vocoder is trained without adapters and without terms of the loss"),
        ("film-only", "film-only trains the biases of layers called film"),
    ],
)
def test_strategies_that_do_not_fit(strategy: str, message: str, tmp_path: Path, few_voices: Path) -> None:
    with pytest.raises(RecipeError, match=f"freezing.vocoder: {message}"):
        train_vocoder("demo", few_voices, tmp_path / "out", [*FEW, f"freezing.vocoder={strategy}"], progress=False)
