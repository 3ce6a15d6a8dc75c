"""Fine-tuning: reproducible, interruptible, extensible, and honest about what it cannot do."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import vczoo
from vczoo.errors import ContractError, CorpusError, RecipeError, RunError, VczooError
from vczoo.io.progress import NullProgress
from vczoo.models.model import Model
from vczoo.runs.run import is_run
from vczoo.runs.run_folder import load_run
from vczoo.runs.run_writer import save_run
from vczoo.training import optimizer, trainable_model
from vczoo.training import trainer as loop


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


class Interrupt(NullProgress):
    """A watcher that does something when it has seen so many steps."""

    def __init__(self, after: int, action: Any) -> None:
        self.left, self.action = after, action

    def step(self, loss: float) -> None:
        self.left -= 1
        if self.left == 0:
            self.action()


def test_a_run_holds_these_files_and_no_pickle(trained_folder: Path) -> None:
    assert {path.name for path in trained_folder.iterdir()} == {
        "vczoo.yaml",
        "model.safetensors",
        "voices.safetensors",
        "metrics.json",
        "metrics.jsonl",
        "curves.png",
        "manifest.jsonl",
    }


def test_training_teaches_speakers_and_mels(trained_folder: Path) -> None:
    history = [json.loads(line) for line in (trained_folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in history] == list(range(25))
    assert history[-1]["validation"]["voice.l1"] < 0.7 * history[0]["validation"]["voice.l1"]
    metrics = json.loads((trained_folder / "metrics.json").read_text())
    assert history[-1]["train"]["speaker.accuracy"] > 0.9
    assert metrics["test"]["speaker.accuracy"] >= 2 / 3  # of three recordings; chance is 1 / 3
    best = min(history, key=lambda record: record["validation"]["loss"])
    assert metrics["best_epoch"] == best["epoch"]
    assert metrics["validation"]["loss"] == pytest.approx(best["validation"]["loss"], rel=1e-5)


def test_a_seed_decides_the_weights(tmp_path: Path, voices_folder: Path, small: tuple[str, ...]) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(hash(name) % 1000)  # what the caller drew before must not matter
        vczoo.finetune("demo", voices_folder, tmp_path / name, [*small, f"training.seed={seed}"], progress=False)
    assert same(tensors_of(tmp_path / "a"), tensors_of(tmp_path / "b"))
    assert not same(tensors_of(tmp_path / "a"), tensors_of(tmp_path / "c"))


def test_the_callers_random_state_is_left_alone(tmp_path: Path, voices_folder: Path, small: tuple[str, ...]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    vczoo.finetune("demo", voices_folder, tmp_path / "run", [*small, "training.epochs=1"], progress=False)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("steps", [1, 3, 5])
@pytest.mark.parametrize("optimizer", ["adamw", "adam"])
def test_ctrl_c_and_resume_give_the_weights_of_an_uninterrupted_run(
    tmp_path: Path,
    voices_folder: Path,
    small: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
    optimizer: str,
) -> None:
    overrides = [*small, f"training.optimizer={optimizer}", "freezing.use=gradual"]
    vczoo.finetune("demo", voices_folder, tmp_path / "whole", overrides, progress=False)
    with monkeypatch.context() as patch:
        press = Interrupt(steps, lambda: os.kill(os.getpid(), signal.SIGINT))
        patch.setattr("vczoo.training.finetune.NullProgress", lambda: press)
        with pytest.raises(KeyboardInterrupt):
            vczoo.finetune("demo", voices_folder, tmp_path / "cut", overrides, progress=False)
    assert (tmp_path / "cut" / "checkpoint.safetensors").is_file()
    assert not (tmp_path / "cut" / "vczoo.yaml").exists()
    vczoo.finetune("demo", voices_folder, tmp_path / "cut", overrides, resume=True, progress=False)
    assert same(tensors_of(tmp_path / "whole"), tensors_of(tmp_path / "cut"))
    assert not (tmp_path / "cut" / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("keep", ["best", "last"])
def test_averaged_weights_are_validated_kept_and_resumed(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, keep: str
) -> None:
    settings = [*small, "freezing.use=gradual", f"training.keep={keep}", "training.learning_rate=0.02"]
    averaged = [*settings, "training.average=0.9"]
    vczoo.finetune("demo", voices_folder, tmp_path / "plain", settings, progress=False)
    whole = vczoo.finetune("demo", voices_folder, tmp_path / "whole", averaged, progress=False)
    assert not same(tensors_of(tmp_path / "plain"), tensors_of(tmp_path / "whole"))
    history = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    kept = history[whole.metrics["kept_epoch"]]
    assert whole.metrics["validation"]["loss"] == pytest.approx(kept["validation"]["loss"], rel=1e-5)
    with monkeypatch.context() as patch:
        press = Interrupt(3, lambda: os.kill(os.getpid(), signal.SIGINT))
        patch.setattr("vczoo.training.finetune.NullProgress", lambda: press)
        with pytest.raises(KeyboardInterrupt):
            vczoo.finetune("demo", voices_folder, tmp_path / "cut", averaged, progress=False)
    vczoo.finetune("demo", voices_folder, tmp_path / "cut", averaged, resume=True, progress=False)
    assert same(tensors_of(tmp_path / "whole"), tensors_of(tmp_path / "cut"))


def test_ctrl_c_in_the_last_step_of_an_epoch_is_resumed(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    class AtTheEnd(Interrupt):
        def begin(self, epochs: int, steps: int, done: int) -> None:
            self.left = steps

    vczoo.finetune("demo", voices_folder, tmp_path / "whole", small, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(
            "vczoo.training.finetune.NullProgress", lambda: AtTheEnd(0, lambda: os.kill(os.getpid(), signal.SIGINT))
        )
        with pytest.raises(KeyboardInterrupt):
            vczoo.finetune("demo", voices_folder, tmp_path / "cut", small, progress=False)
    vczoo.finetune("demo", voices_folder, tmp_path / "cut", small, resume=True, progress=False)
    assert same(tensors_of(tmp_path / "whole"), tensors_of(tmp_path / "cut"))
    logs = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "cut")]
    rates = [[json.loads(line)["learning_rate"] for line in log] for log in logs]
    assert rates[0] == rates[1]


@pytest.mark.parametrize("steps", [2, 7])
def test_a_crash_is_resumed_from_the_last_epoch(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    def crash() -> None:
        raise MemoryError("killed")

    vczoo.finetune("demo", voices_folder, tmp_path / "whole", small, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr("vczoo.training.finetune.NullProgress", lambda: Interrupt(steps, crash))
        with pytest.raises(MemoryError):
            vczoo.finetune("demo", voices_folder, tmp_path / "cut", small, progress=False)
    vczoo.finetune("demo", voices_folder, tmp_path / "cut", small, resume=True, progress=False)
    assert same(tensors_of(tmp_path / "whole"), tensors_of(tmp_path / "cut"))


def test_a_crash_after_the_last_epoch_is_resumed_with_the_same_voices(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frozen stages run one recording at a time there, too, which rounds otherwise than in batches."""

    class Crash(NullProgress):
        def epoch(self, record: Mapping[str, Any]) -> None:
            if record["epoch"] == 2:
                raise MemoryError("killed")

    settings = [*small, "freezing.use=full"]
    vczoo.finetune("demo", voices_folder, tmp_path / "whole", settings, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr("vczoo.training.finetune.NullProgress", Crash)
        with pytest.raises(MemoryError):
            vczoo.finetune("demo", voices_folder, tmp_path / "cut", settings, progress=False)
    vczoo.finetune("demo", voices_folder, tmp_path / "cut", settings, resume=True, progress=False)
    assert same(tensors_of(tmp_path / "whole"), tensors_of(tmp_path / "cut"))
    voices = [vczoo.load(tmp_path / name).run.voices for name in ("whole", "cut")]
    for speaker, voice in voices[0].items():
        assert same(dict(voice.tensors), dict(voices[1][speaker].tensors)), speaker


@pytest.mark.parametrize("strategy", ["none", "gradual"])
def test_an_interrupted_run_is_resumed_with_more_epochs(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    """With a constant learning rate, that is a fine-tune with more epochs from the start."""
    settings = [*small, f"freezing.use={strategy}", "training.schedule=constant", "training.warmup=0"]
    vczoo.finetune("demo", voices_folder, tmp_path / "whole", settings, progress=False)
    with monkeypatch.context() as patch:
        press = Interrupt(1, lambda: os.kill(os.getpid(), signal.SIGINT))
        patch.setattr("vczoo.training.finetune.NullProgress", lambda: press)
        with pytest.raises(KeyboardInterrupt):
            vczoo.finetune("demo", voices_folder, tmp_path / "cut", [*settings, "training.epochs=1"], progress=False)
    vczoo.finetune("demo", voices_folder, tmp_path / "cut", settings, resume=True, progress=False)
    assert same(tensors_of(tmp_path / "whole"), tensors_of(tmp_path / "cut"))


def test_a_finished_run_goes_on_with_more_epochs(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    settings = [*small, "training.keep=last", "training.epochs=2"]
    first = vczoo.finetune("demo", voices_folder, out, settings, progress=False)
    lines = (out / "metrics.jsonl").read_text().splitlines()
    kept = tensors_of(out)
    for overrides, text in (
        (settings, r"finished run of 2 epochs is here; to train it further, set training\.epochs above 2"),
        ([*settings, "training.epochs=4", "heads.voice.width=8"], r"heads\.voice\.width was 16, now 8"),
    ):
        with pytest.raises(RunError, match=text):
            vczoo.finetune("demo", voices_folder, out, overrides, resume=True, progress=False)
    assert same(kept, tensors_of(out))
    more = [*settings, "training.epochs=4"]
    longer = vczoo.finetune("demo", voices_folder, out, more, resume=True)
    said = capsys.readouterr().err
    assert said.count("the weights of the last epoch are kept") == 1
    assert "continuing after 2 epochs" in said
    assert max(map(len, said.splitlines())) <= 80
    history = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [json.dumps(record) for record in history[:2]] == lines
    assert [record["epoch"] for record in history] == [0, 1, 2, 3]
    # It goes on from the weights of the run, under the rest of the longer schedule.
    assert history[2]["train"]["loss"] < history[0]["train"]["loss"]
    rates = [record["learning_rate"] for record in history]
    assert rates[0] > rates[1] < rates[2] > rates[3]
    assert longer.metrics["epochs"] == 4
    assert longer.metrics["seconds"] > first.metrics["seconds"]
    assert vczoo.load(out).recipe.training.epochs == 4


def test_a_run_whose_patience_has_run_out_needs_more_of_it(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([2.0, 3.0, *[1.0] * 6])
    monkeypatch.setattr(trainable_model, "evaluate", lambda *_: {"loss": next(losses)})
    out, settings = tmp_path / "run", [*small, "training.patience=1", "training.epochs=4"]
    vczoo.finetune("demo", voices_folder, out, settings, progress=False)
    settings += ["training.epochs=8"]
    with pytest.raises(RunError, match=r"ended after 2 epochs, .* epoch 0; .* raise training\.patience above 1, too"):
        vczoo.finetune("demo", voices_folder, out, settings, resume=True, progress=False)
    more = vczoo.finetune("demo", voices_folder, out, [*settings, "training.patience=3"], resume=True, progress=False)
    assert more.metrics["best_epoch"] == 2


def test_a_checkpoint_of_another_recipe_is_refused(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    press = Interrupt(1, lambda: os.kill(os.getpid(), signal.SIGINT))
    with monkeypatch.context() as patch:
        patch.setattr("vczoo.training.finetune.NullProgress", lambda: press)
        with pytest.raises(KeyboardInterrupt):
            vczoo.finetune("demo", voices_folder, tmp_path / "cut", small, progress=False)
    with pytest.raises(RunError, match=r"other settings or data: training\.seed was 0, now 9\. Resume"):
        vczoo.finetune(
            "demo", voices_folder, tmp_path / "cut", [*small, "training.seed=9"], resume=True, progress=False
        )
    with pytest.raises(RunError, match=r"training\.epochs was 3 and can only grow, not become 2\."):
        vczoo.finetune(
            "demo", voices_folder, tmp_path / "cut", [*small, "training.epochs=2"], resume=True, progress=False
        )
    (tmp_path / "cut" / "checkpoint.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(RunError, match="damaged"):
        vczoo.finetune("demo", voices_folder, tmp_path / "cut", small, resume=True, progress=False)


def test_a_checkpoint_that_began_with_other_weights_is_refused(
    tmp_path: Path, voices_folder: Path, run_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs of one recipe and one corpus, to be tuned: frozen stages of the one under trained ones of the other."""
    run = load_run(run_folder)
    with torch.no_grad():
        next(run.model.parameters()).add_(0.01)
    other = save_run(run, tmp_path / "other")
    press = Interrupt(1, lambda: os.kill(os.getpid(), signal.SIGINT))
    with monkeypatch.context() as patch:
        patch.setattr("vczoo.training.finetune.NullProgress", lambda: press)
        with pytest.raises(KeyboardInterrupt):
            vczoo.finetune(run_folder, voices_folder, tmp_path / "tuned", rehearse=False, progress=False)
    with pytest.raises(RunError, match="other initial weights"):
        vczoo.finetune(other, voices_folder, tmp_path / "tuned", rehearse=False, progress=False, resume=True)


def test_an_output_that_exists_is_refused(tmp_path: Path, voices_folder: Path, run_folder: Path) -> None:
    with pytest.raises(RunError, match="a finished run is here"):
        vczoo.finetune("demo", voices_folder, run_folder, progress=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="not empty"):
        vczoo.finetune("demo", voices_folder, tmp_path / "full", progress=False)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]
    with pytest.raises(RunError, match="to resume"):
        vczoo.finetune("demo", voices_folder, tmp_path / "new", resume=True, progress=False)
    assert not (tmp_path / "new").exists()


def test_training_stops_when_validation_no_longer_improves(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([3.0, 2.0, 2.5, 2.4, 9.0, 9.0, 9.0, 9.0])
    monkeypatch.setattr(trainable_model, "evaluate", lambda *_: {"loss": next(losses)})
    overrides = [*small, "training.epochs=8", "training.patience=2"]
    converter = vczoo.finetune("demo", voices_folder, tmp_path / "run", overrides, progress=False)
    assert converter.metrics["epochs"] == 4  # the best is epoch 1, and two more did not improve on it
    assert converter.metrics["best_epoch"] == converter.metrics["kept_epoch"] == 1


def test_metrics_name_the_best_epoch_and_the_last_one_that_was_kept(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([3.0, 2.0, 2.5, 9.0, 9.0])
    monkeypatch.setattr(trainable_model, "evaluate", lambda *_: {"loss": next(losses)})
    overrides = [*small, "training.epochs=3", "training.keep=last"]
    vczoo.finetune("demo", voices_folder, tmp_path / "run", overrides, progress=False)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (metrics["best_epoch"], metrics["kept_epoch"]) == (1, 2)


def test_divergence_is_told_with_what_to_change(tmp_path: Path, voices_folder: Path, small: tuple[str, ...]) -> None:
    overrides = [*small, "training.learning_rate=1000", "training.warmup=0"]
    with pytest.raises(VczooError, match=r"loss is .* at epoch 0, step \d+.*learning_rate"):
        vczoo.finetune("demo", voices_folder, tmp_path / "run", overrides, progress=False)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_divergence_in_the_last_step_is_told(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], keep: str
) -> None:
    """The loss of a step is that before the step, so only the validation shows what the last one did."""
    overrides = [*small, f"training.keep={keep}", "training.learning_rate=1000", "training.warmup=0"]
    one_step = ["training.epochs=1", "training.batch_size=64"]
    with pytest.raises(
        VczooError, match=r"validation after epoch 0 is not finite \(.*loss nan.*Lower training\.learning"
    ):
        vczoo.finetune("demo", voices_folder, tmp_path / "run", [*overrides, *one_step], progress=False)
    assert not is_run(tmp_path / "run")
    assert all(tensor.isfinite().all() for tensor in load_file(tmp_path / "run" / "checkpoint.safetensors").values())


@pytest.mark.parametrize("criterion", ["loss", "accuracy"])
def test_an_epoch_whose_validation_is_nan_is_not_kept(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, criterion: str
) -> None:
    figures = {"loss": float("nan") if criterion == "loss" else 1.0, "speaker.accuracy": float("nan")}
    monkeypatch.setattr(trainable_model, "evaluate", lambda *_: figures)
    overrides = [*small, f"training.criterion={criterion}"]
    with pytest.raises(VczooError, match=r"validation after epoch 0 is not finite \(.*nan"):
        vczoo.finetune("demo", voices_folder, tmp_path / "run", overrides, progress=False)


def test_weights_that_are_not_finite_replace_no_checkpoint(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    before = trainable_model.evaluate

    def spoil(model: Model, *rest: Any) -> dict[str, float]:
        figures = before(model, *rest)
        next(model.heads["speaker"].parameters()).data.fill_(float("nan"))
        return figures

    monkeypatch.setattr(trainable_model, "evaluate", spoil)
    with pytest.raises(VczooError, match=r"NaN or infinity in .*speaker.* after epoch 1, step 0: training diverged"):
        vczoo.finetune("demo", voices_folder, tmp_path / "run", small, progress=False)
    assert all(tensor.isfinite().all() for tensor in load_file(tmp_path / "run" / "checkpoint.safetensors").values())


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1, 1, 0.8536, 0.5, 0.1464]),
    ],
)
def test_schedules(schedule: str, expected: list[float]) -> None:
    from vczoo.models.training_settings import Training

    settings = Training.model_validate({"schedule": schedule, "warmup": 2 / 6})
    rates = [optimizer.rate_share(settings, step, 6) for step in range(6)]
    assert rates == pytest.approx(expected, abs=1e-4)


def test_a_run_learns_another_speaker_and_keeps_the_old(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    for folder, names in (("two", ("alice", "bob")), ("third", ("carol",))):
        for name in names:
            shutil.copytree(voices_folder / name, tmp_path / folder / name)
    overrides = [*small, "training.epochs=20", "training.learning_rate=0.004", "training.patience=20"]
    vczoo.finetune("demo", tmp_path / "two", tmp_path / "run", overrides, progress=False)
    grown = vczoo.finetune(tmp_path / "run", tmp_path / "third", tmp_path / "grown", progress=False)
    assert grown.speakers == ("alice", "bob", "carol")
    assert set(grown.voices) == {"alice", "bob", "carol"}
    extension = grown.metrics["extension"]
    assert {age: figures["before"]["utterances"] for age, figures in extension.items()} == {"old": 2, "new": 1}
    assert all(0 <= figures[when]["accuracy"] <= 1 for figures in extension.values() for when in ("before", "after"))
    again = vczoo.load(tmp_path / "grown")
    files = sorted(voices_folder.rglob("*.wav"))
    heard = [again.speakers[int(again.model.logits(vczoo.Waveform.read(file)).argmax())] for file in files]
    right = [name == file.parent.name for name, file in zip(heard, files, strict=True)]
    assert sum(right) >= 14  # of 18, most of them trained on; chance is 6
    assert {"alice", "bob", "carol"} == set(heard)


def test_growing_keeps_the_rows_of_the_old_speakers(tmp_path: Path, voices_folder: Path, run_folder: Path) -> None:
    shutil.copytree(voices_folder / "carol", tmp_path / "new" / "dave")
    before = tensors_of(run_folder)["heads.speaker.output.weight"]
    overrides = ["freezing.use=full", "training.epochs=1", "training.learning_rate=1.0e-12"]
    vczoo.finetune(run_folder, tmp_path / "new", tmp_path / "grown", overrides, progress=False)
    after = tensors_of(tmp_path / "grown")["heads.speaker.output.weight"]
    assert after.shape == (4, before.shape[1])
    assert torch.allclose(after[:3], before, atol=1e-6)


def test_old_speakers_without_recordings_would_be_forgotten(
    tmp_path: Path, voices_folder: Path, run_folder: Path
) -> None:
    shutil.copytree(voices_folder / "alice", tmp_path / "new" / "dave")
    rows = [json.loads(line) for line in (run_folder / "manifest.jsonl").read_text().splitlines()]
    for row in rows:
        row["path"] = row["path"].replace(str(voices_folder), str(tmp_path / "elsewhere"))
        row.pop("relative_path")
    (run_folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(CorpusError, match=r"(?s)no recordings of alice, bob, carol.*elsewhere.*forgotten"):
        vczoo.finetune(run_folder, tmp_path / "new", tmp_path / "grown", progress=False)
    (run_folder / "manifest.jsonl").unlink()
    with pytest.raises(CorpusError, match=r"no recordings of alice, bob, carol.*forgotten"):
        vczoo.finetune(run_folder, tmp_path / "new", tmp_path / "grown", progress=False)
    with pytest.raises(RecipeError, match="backbone: a run's parts cannot be changed"):
        vczoo.finetune(run_folder, tmp_path / "new", tmp_path / "grown", ["backbone.width=4"], progress=False)


def test_a_recipe_with_nothing_to_train_is_fitted_by_enrolment(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    (tmp_path / "knn.yaml").write_text(
        "summary: kNN alone\nbackbone: {use: mel-conv, width: 8}\nfreezing: {use: full}\n"
        "heads: {voice: {use: knn}}\nvocoder: {use: griffin-lim, iterations: 2}\n"
    )
    converter = vczoo.finetune(tmp_path / "knn.yaml", voices_folder, tmp_path / "run", progress=False)
    assert converter.metrics["epochs"] == 0
    assert converter.convert(voices_folder / "alice" / "0.wav", "bob").samples.abs().max() > 0.01


def test_one_speaker_is_enough_and_a_test_split_is_not_needed(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    splits = ["train"] * 4 + ["validation"] * 2
    rows = [
        f"{path},alice,{split}" for path, split in zip(sorted((voices_folder / "alice").iterdir()), splits, strict=True)
    ]
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(["path,speaker,split", *rows]))
    converter = vczoo.finetune("demo", manifest, tmp_path / "run", small, progress=False)
    assert converter.metrics["test"] == {}
    assert converter.convert(voices_folder / "bob" / "0.wav", "alice").samples.abs().max() > 0.01
    manifest.write_text(manifest.read_text().replace("validation", "train"))
    with pytest.raises(CorpusError, match="marked for validation"):
        vczoo.finetune("demo", manifest, tmp_path / "again", small, progress=False)


TUNING = {"epochs": 2, "batch_size": 2, "crop_seconds": 0.64, "learning_rate": 0.003}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, voices_folder: Path, small: tuple[str, ...]) -> Path:
    """A run of three speakers whose recipe says how it is to be tuned. Read only."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "mine.yaml").write_text(f"extends: demo\nsummary: tuned later\ntuning: {json.dumps(TUNING)}\n")
    vczoo.finetune(folder / "mine.yaml", voices_folder, folder / "run", small, progress=False)
    return folder / "run"


@pytest.fixture
def dora(tmp_path: Path, voices_folder: Path) -> Path:
    """Recordings of one speaker whom no run has heard of."""
    shutil.copytree(voices_folder / "alice", tmp_path / "new" / "dora")
    return tmp_path / "new"


def test_tuning_to_one_speaker_forgets_the_others(tmp_path: Path, many: Path, dora: Path) -> None:
    before = {path.name: path.read_bytes() for path in many.iterdir()}
    tuned = vczoo.finetune(many, dora, tmp_path / "tuned", rehearse=False, progress=False)
    assert tuned.speakers == tuned.voices == ("dora",)
    assert tuned.metrics["speakers"] == 1
    assert "extension" not in tuned.metrics
    assert {path.name: path.read_bytes() for path in many.iterdir()} == before
    again = vczoo.load(tmp_path / "tuned")
    assert again.speakers == again.voices == ("dora",)
    assert tensors_of(tmp_path / "tuned")["heads.speaker.output.weight"].shape[0] == 1
    source = dora / "dora" / "0.wav"
    assert torch.equal(again.convert(source, "dora").samples, tuned.convert(source, "dora").samples)
    manifest = [json.loads(line) for line in (tmp_path / "tuned" / "manifest.jsonl").read_text().splitlines()]
    assert {row["speaker"] for row in manifest} == {"dora"}  # none of the others is trained on


def test_tuning_takes_the_recipes_settings_for_it_and_overrides_win(tmp_path: Path, many: Path, dora: Path) -> None:
    plain = vczoo.finetune(many, dora, tmp_path / "plain", rehearse=False, progress=False)
    assert plain.recipe.training == vczoo.Recipe.parse({**plain.recipe.to_plain(), "training": TUNING}).training
    assert plain.metrics["epochs"] == TUNING["epochs"]
    told = ["training.epochs=1", "freezing.use=full"]
    other = vczoo.finetune(many, dora, tmp_path / "told", told, rehearse=False, progress=False)
    assert (other.recipe.training.epochs, other.recipe.training.batch_size) == (1, TUNING["batch_size"])
    assert other.metrics["epochs"] == 1
    assert other.recipe.freezing.use == "full"


def test_rehearsal_keeps_the_settings_of_training(tmp_path: Path, many: Path, dora: Path) -> None:
    grown = vczoo.finetune(many, dora, tmp_path / "grown", ["training.epochs=1"], progress=False)
    assert grown.speakers == ("alice", "bob", "carol", "dora")
    assert grown.recipe.training.batch_size != TUNING["batch_size"]


def test_tuning_starts_from_the_runs_weights(tmp_path: Path, many: Path, dora: Path) -> None:
    still = ["training.learning_rate=1.0e-12", "training.epochs=1", "freezing.use=full"]
    vczoo.finetune(many, dora, tmp_path / "tuned", still, rehearse=False, progress=False)
    before, after = tensors_of(many), tensors_of(tmp_path / "tuned")
    fresh = {name for name in before if name.startswith("heads.speaker.output")}
    assert fresh
    assert before.keys() == after.keys()
    assert all(torch.allclose(after[name], before[name], atol=1e-6) for name in before.keys() - fresh)


def test_without_a_tuning_the_settings_of_training_serve(
    tmp_path: Path, trained_folder: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    shutil.copytree(voices_folder / "bob", tmp_path / "new" / "dave")
    tuned = vczoo.finetune(
        trained_folder, tmp_path / "new", tmp_path / "tuned", ["training.epochs=1"], rehearse=False, progress=False
    )
    assert tuned.recipe.training.batch_size == vczoo.load(trained_folder).recipe.training.batch_size
    assert tuned.voices == ("dave",)


def test_a_speaker_held_out_for_validation_stays_unheard(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    """A decoder for unseen voices is chosen by how it does on one: no classifier can be wrong about a stranger."""
    rows = ["path,speaker,split"]
    for path in sorted(voices_folder.rglob("*.wav")):
        stranger = path.parent.name == "carol"
        rows.append(f"{path},{path.parent.name},{'validation' if stranger else 'train'}")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(rows))
    converter = vczoo.finetune("demo", manifest, tmp_path / "run", small, progress=False)
    assert converter.speakers == converter.voices == ("alice", "bob")
    assert tensors_of(tmp_path / "run")["heads.speaker.output.weight"].shape[0] == 2
    assert set(converter.metrics["validation"]) == {"loss", "voice.loss", "voice.l1"}
    history = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all("speaker.accuracy" in record["train"] for record in history)
    assert not any(name.startswith("speaker.") for record in history for name in record["validation"])


@pytest.mark.parametrize("freezing", ["full", "partial"])
def test_speeds_are_for_a_frozen_backbone(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], freezing: str
) -> None:
    overrides = [*small, "training.epochs=1", "training.content_speeds=[0.9, 1.0, 1.1]", f"freezing.use={freezing}"]
    if freezing == "partial":
        with pytest.raises(ContractError, match=r"content_speeds is \[0\.9, 1\.0, 1\.1\].*wholly frozen"):
            vczoo.finetune("demo", voices_folder, tmp_path / "run", overrides, progress=False)
        return
    converter = vczoo.finetune("demo", voices_folder, tmp_path / "run", overrides, progress=False)
    assert converter.metrics["epochs"] == 1
    vczoo.finetune(
        "demo", voices_folder, tmp_path / "plain", [*overrides, "training.content_speeds=[1.0]"], progress=False
    )
    assert not same(tensors_of(tmp_path / "run"), tensors_of(tmp_path / "plain"))


PERTURBED = ("backbone.use=content-conv", "backbone.channels=8", "training.epochs=6")


def test_consistent_content_stays_as_it_is_when_it_is_heard_otherwise(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    wave = vczoo.Waveform.read(next(voices_folder.rglob("*.wav")), 16000)

    def spread(name: str, *overrides: str) -> float:
        """How far content of differently perturbed hearings is apart; its channels have deviation 1."""
        run = vczoo.finetune("demo", voices_folder, tmp_path / name, [*small, *PERTURBED, *overrides], progress=False)
        backbone = run.model.backbone.train()
        with torch.inference_mode():
            torch.manual_seed(0)
            heard = torch.cat([backbone(wave).values for _ in range(16)])
        return float(heard.std(dim=0).mean())

    loose, consistent = spread("loose"), spread("consistent", "training.consistency=3")
    assert consistent < 0.5 * loose
    history = [json.loads(line) for line in (tmp_path / "consistent" / "metrics.jsonl").read_text().splitlines()]
    apart = [record["train"]["consistency.l1"] for record in history]
    assert apart[-1] < 0.5 * apart[0]
    assert all("consistency.l1" not in record["validation"] for record in history)
    first = history[0]["train"]
    parts = first["voice.loss"] + first["speaker.loss"] * 0.3 + 3 * first["consistency.l1"]
    assert first["loss"] == pytest.approx(parts, rel=1e-4)


def test_a_frozen_backbone_cannot_be_made_consistent(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    overrides = [*small, *PERTURBED, "training.consistency=1", "freezing.use=full"]
    with pytest.raises(ContractError, match=r"consistency is 1,.*wholly frozen; unfreeze part of it"):
        vczoo.finetune("demo", voices_folder, tmp_path / "run", overrides, progress=False)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ContractError, match=r"consistency is 1,.*wholly frozen"):
        vczoo.find_learning_rate("demo", voices_folder, overrides, progress=False)


def test_minutes_bound_what_training_hears(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    run = vczoo.finetune("demo", voices_folder, tmp_path / "run", [*small, "training.epochs=1"], minutes=0.04)
    assert set(run.voices) == {"alice", "bob", "carol"}
    assert all(0 < minutes <= 0.04 for minutes in run.metrics["training_minutes"].values())
    rows = [json.loads(line) for line in (tmp_path / "run" / "manifest.jsonl").read_text().splitlines()]
    whole = vczoo.read_corpus(voices_folder)
    assert sum(row["split"] == "test" for row in rows) == len(whole.split("test"))
    assert sum(row["split"] == "train" for row in rows) < len(whole.split("train"))
    vczoo.finetune("demo", voices_folder, tmp_path / "all", [*small, "training.epochs=1"], minutes=3)
    said = capsys.readouterr().err
    assert said.count("alice has 0.058 minutes for training, not 3") == 1


def test_a_crowd_is_told_in_short(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(12):
        shutil.copytree(voices_folder / "alice", tmp_path / "voices" / f"s{number:02}")
    vczoo.finetune("demo", tmp_path / "voices", tmp_path / "run", [*small, "training.epochs=1"], minutes=3)
    said = capsys.readouterr().err
    assert said.count("minutes for training, not 3") == 10
    assert said.count("and 2 more") == 2  # after the voices too


def test_what_trains_is_counted(tmp_path: Path, voices_folder: Path, small: tuple[str, ...]) -> None:
    found = {}
    for name, settings in {
        "all": ["freezing.use=none"],
        "none": ["freezing.use=full"],
        "last": ["freezing.use=partial"],
        "gradual": ["freezing.use=gradual", "freezing.every_epochs=1", "training.epochs=2"],
    }.items():
        run = vczoo.finetune(
            "demo", voices_folder, tmp_path / name, [*small, "training.epochs=1", *settings], progress=False
        )
        model = run.model
        found[name] = run.metrics["trainable_parameters"]
        if name == "all":
            stages = [sum(p.numel() for p in stage.module.parameters()) for stage in model.backbone.stages()]
            heads = sum(p.numel() for p in model.heads.parameters())
    assert found == {
        "all": sum(stages) + heads,
        "none": heads,
        "last": stages[-1] + heads,
        "gradual": stages[-1] + heads,
    }


def test_an_interrupt_during_validation_keeps_the_epoch(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NullProgress, "epoch", lambda self, record: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        vczoo.finetune("demo", voices_folder, tmp_path / "run", small, progress=False)
    monkeypatch.setattr(NullProgress, "epoch", lambda self, record: None)
    log = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert len(log.splitlines()) == 1
    vczoo.finetune("demo", voices_folder, tmp_path / "run", small, progress=False, resume=True)
    assert (tmp_path / "run" / "metrics.jsonl").read_text().startswith(log)  # with its seconds: not trained again
