"""Recipes that start from a run: its tensors are taken where they fit, and every misfit is named."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import vczoo
from tests.support.paths import ROOT
from vczoo.errors import RecipeError, RunError
from vczoo.models import bundled as embedded
from vczoo.models.build import build, checked_recipe
from vczoo.models.portability import foreign_faults, pinned
from vczoo.models.recipe import Recipe, read_recipe
from vczoo.runs.config import read_config
from vczoo.runs.run import Run
from vczoo.runs.run_folder import load_run
from vczoo.runs.run_writer import save_run
from vczoo.runs.warm_start import build_initial_model, fingerprint_of_start
from vczoo.training.sweeps.cells import cells_of
from vczoo.training.sweeps.grid import read_grid
from vczoo.training.sweeps.schedule import filling

OUTPUT = "heads.speaker.output"


@pytest.fixture
def models(tmp_path: Path, trained_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs inside the package: `tiny` is one."""
    shutil.copytree(trained_folder, tmp_path / "models" / "tiny")
    monkeypatch.setattr(embedded, "embedded_runs", lambda: tmp_path / "models")
    return tmp_path / "models"


def shared_tensors(run: Run, other: Run) -> set[str]:
    """The names of tensors that are the same in both."""
    theirs = other.model.tensors()
    return {name for name, tensor in run.model.tensors().items() if name in theirs and tensor.equal(theirs[name])}


def faults_of(name: str | Path, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        vczoo.load(name, overrides)
    return "\n".join(caught.value.faults)


def test_a_recipe_holds_the_tensors_of_its_start(
    models: Path, trained_folder: Path, voices_folder: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    trained = load_run(trained_folder)
    for start in ("tiny", str(trained_folder)):
        converter = vczoo.load("demo", [*small, f"start={start}"])
        kept = {name for name in trained.model.tensors() if not name.startswith(OUTPUT)}
        assert shared_tensors(converter.run, trained) == kept
        assert converter.model.speaker_heads["speaker"].logits(content_of(converter)).shape == (1, 1)
        assert (converter.voices, converter.speakers, converter.recipe.start) == (tuple(trained.voices), (), "")
        assert load_run(converter.save(tmp_path / f"saved-{start == 'tiny'}")).voices == {}  # they are the start's
    recordings = [voices_folder / "alice" / f"{number}.wav" for number in range(3)]
    converter.enroll("alice", recordings)
    heard = vczoo.load(trained_folder)
    heard.enroll("again", recordings)
    source = voices_folder / "bob" / "0.wav"
    assert torch.equal(converter.convert(source, "alice").samples, heard.convert(source, "again").samples)

    converter.save(tmp_path / "saved")
    shutil.rmtree(models)
    assert "start" not in read_config(tmp_path / "saved" / "vczoo.yaml").recipe
    again = vczoo.load(tmp_path / "saved")
    assert torch.equal(again.convert(source, "alice").samples, converter.convert(source, "alice").samples)


def content_of(converter: vczoo.Converter) -> vczoo.Frames:
    return converter.model.content(vczoo.Waveform.of(torch.zeros(1, 16000), 16000))


def test_what_only_one_of_both_has_is_fresh_or_left_out(
    models: Path, trained_folder: Path, small: tuple[str, ...]
) -> None:
    overrides = [word for word in small if "voice" not in word]
    recipe = checked_recipe("demo", [*overrides, "start=tiny", "heads.voice=null", "heads.match.use=speaker-aam"])
    run, trained = build_initial_model(recipe, 4), load_run(trained_folder)
    assert list(run.model.heads) == ["speaker", "match"]
    assert {name.split(".")[1] for name in run.model.tensors() if name.startswith("heads.")} == {"speaker", "match"}
    taken = {
        name
        for name in trained.model.tensors()
        if name.startswith(("backbone.", "heads.speaker.")) and not name.startswith(OUTPUT)
    }
    assert shared_tensors(run, trained) == taken
    assert [head.num_speakers for head in run.model.speaker_heads.values()] == [4, 4]


def test_every_misfit_is_named(models: Path, small: tuple[str, ...]) -> None:
    told = faults_of("demo", *small, "start=tiny", "backbone.width=8", "heads.voice.width=24")
    assert "start: the backbone of tiny does not fit: " in told
    assert "start: the heads.voice of tiny does not fit: " in told
    assert "has shape (16," in told
    told = faults_of("demo", *small, "start=tiny", "backbone.blocks=2")
    assert "start: the backbone of tiny does not fit: missing backbone.block2" in told
    without = [word for word in small if "voice" not in word]
    told = faults_of("demo", *without, "start=tiny", "heads.voice={use: knn}")
    assert "start: the heads.voice of tiny does not fit: not expected heads.voice." in told


def test_a_start_that_is_not_there_is_a_fault_among_others(
    models: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    def told(*overrides: str) -> str:
        with pytest.raises(RecipeError) as caught:
            checked_recipe("demo", [*small, *overrides])
        return "\n".join(caught.value.faults)

    found = told("start=tinny", "training.epoch=3", "freezing.use=parital")
    assert "start: no bundled run is called 'tinny'; did you mean 'tiny'? There are: tiny." in found
    assert "training.epoch: no such setting" in found
    assert "did you mean 'partial'" in found
    assert f"start: {tmp_path}/none: no run is here (vczoo.yaml is missing)" in told(f"start={tmp_path}/none")
    assert "no run is here" in told("start=/" + "x" * 300)
    (tmp_path / "models" / "empty").mkdir()
    assert "There are: tiny." in told("start=empty")
    found = told("start=tiny", f"backbone.weights={tmp_path}/x.safetensors")
    assert f"backbone.weights: {tmp_path}/x.safetensors and start 'tiny' both set the backbone's weights" in found
    assert checked_recipe("demo", [*small, "start=tiny", "start=null"]).start == ""


def test_the_package_has_a_folder_of_runs() -> None:
    assert embedded.embedded_runs() == ROOT / "vczoo" / "assets"
    for name in embedded.embedded_names():
        assert load_run(embedded.find_start(name)).speakers == ()


def test_a_damaged_start_is_told(models: Path, small: tuple[str, ...]) -> None:
    content = (models / "tiny" / "model.safetensors").read_bytes()
    (models / "tiny" / "model.safetensors").write_bytes(content[:-8])
    with pytest.raises(RunError, match="tiny"):
        vczoo.load("demo", [*small, "start=tiny"])


def test_a_fine_tune_begins_with_the_start_and_inherits_its_terms(
    models: Path, voices_folder: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    giver = load_run(models / "tiny")
    giver.licence = "cc-by-nc-4.0"
    save_run(giver, models / "tiny")
    data = tmp_path / "two"
    for speaker in ("bob", "carol"):
        shutil.copytree(voices_folder / speaker, data / speaker)
    overrides = [*small, "start=tiny", "freezing.use=full", "training.epochs=1"]
    made = vczoo.finetune("demo", data, tmp_path / "run", overrides, progress=False, cache=False)
    run = load_run(tmp_path / "run")
    assert run.speakers == made.speakers == ("bob", "carol")
    assert run.model.speaker_heads["speaker"].num_speakers == 2
    assert {n for n in giver.model.tensors() if n.startswith("backbone.")} <= shared_tensors(run, giver)
    assert run.licence == "cc-by-nc-4.0"
    assert made.recipe.start == run.recipe.start == ""
    assert "start" not in read_config(tmp_path / "run" / "vczoo.yaml").recipe
    with pytest.raises(RecipeError, match="start: a run's parts cannot be changed"):
        vczoo.finetune(tmp_path / "run", data, tmp_path / "next", ["start=tiny"], progress=False)


def test_what_is_resumed_has_the_same_start(
    models: Path, voices_folder: Path, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [*small, "start=tiny"]
    with monkeypatch.context() as patch:
        patch.setattr("vczoo.training.trainable_model.evaluate", crash)
        with pytest.raises(ZeroDivisionError):
            vczoo.finetune("demo", voices_folder, tmp_path / "run", overrides, progress=False, cache=False)
    recipe = checked_recipe("demo", overrides)
    before = fingerprint_of_start(recipe)
    giver = load_run(models / "tiny")
    giver.model.heads["voice"].state_dict()[next(iter(giver.model.heads["voice"].state_dict()))].add_(1)
    save_run(giver, models / "tiny")
    assert fingerprint_of_start(recipe) != before
    with pytest.raises(RunError, match="resume"):
        vczoo.finetune("demo", voices_folder, tmp_path / "run", overrides, progress=False, cache=False, resume=True)


def crash(*_: object) -> None:
    raise ZeroDivisionError


def test_what_the_start_gives_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("vczoo_torchvision")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    overrides = ["backbone.out_stage=1", "vocoder.iterations=1"]
    giver = vczoo.load("resnet18-partialfreeze", [*overrides, "backbone.weights=random"])
    giver.save(tmp_path / "giver")
    converter = vczoo.load("resnet18-partialfreeze", [*overrides, f"start={tmp_path / 'giver'}"])
    names = {name for name in giver.model.tensors() if name.startswith("backbone.")}
    assert names <= shared_tensors(converter.run, giver.run)
    assert converter.recipe.backbone.options["weights"] == "random"


def test_what_a_start_leaves_to_its_base_is_left_to_it_again(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    weights = tmp_path / "base.safetensors"
    save_file(vczoo.load("demo", small).model.backbone.trunk.state_dict(), weights)  # type: ignore[union-attr]
    frozen = ["freezing.use=partial", "freezing.trainable_stages=1", "training.epochs=1"]
    first = [*small, *frozen, f"backbone.weights={weights}"]
    vczoo.finetune("demo", voices_folder, tmp_path / "first", first, progress=False, cache=False)
    second = [*small, *frozen, f"start={tmp_path / 'first'}"]
    made = vczoo.finetune("demo", voices_folder, tmp_path / "second", second, progress=False, cache=False)
    stored = {name.split(".")[1] for name in load_file(tmp_path / "second" / "model.safetensors") if name[0] == "b"}
    assert stored == {"block1"}
    shutil.rmtree(tmp_path / "first")
    assert shared_tensors(load_run(tmp_path / "second"), made.run) == set(made.model.tensors())

    told = read_config(tmp_path / "second" / "vczoo.yaml").base["backbone"]
    assert told.source == "base.safetensors"


def test_labels_stay_or_are_those_at_hand(tmp_path: Path, small: tuple[str, ...]) -> None:
    overrides = [*small, "heads.mood.use=classifier"]
    giver = build_initial_model(checked_recipe("demo", overrides), 1, ("high", "low"))
    assert giver.labels == ("high", "low")
    save_run(giver, tmp_path / "giver")
    started = checked_recipe("demo", [*overrides, f"start={tmp_path / 'giver'}"])
    again = build_initial_model(started, 1)
    assert again.labels == ("high", "low")
    assert {"heads.mood.output.weight", "heads.mood.output.bias"} <= shared_tensors(again, giver)
    other = build_initial_model(started, 1, ("low", "flat"))
    assert other.labels == ("low", "flat")
    row = other.model.tensors()["heads.mood.output.weight"][0]
    assert torch.equal(row, giver.model.tensors()["heads.mood.output.weight"][1])
    beside = build_initial_model(
        checked_recipe("demo", [*overrides, "heads.age.use=classifier", f"start={tmp_path / 'giver'}"]), 1
    )
    assert beside.labels == ()
    assert {head.labels for head in beside.model.label_heads.values()} == {("unknown",)}


def test_an_alphabet_is_more_than_its_length(tmp_path: Path, small: tuple[str, ...]) -> None:
    text = "heads.text={use: ctc, width: 8, blocks: 1, alphabet: '%s'}"
    giver = vczoo.load("demo", [*small, text % "ab"])
    giver.save(tmp_path / "giver")
    start = f"start={tmp_path / 'giver'}"
    assert "heads.text of " in faults_of("demo", *small, text % "ac", start)
    vczoo.load("demo", [*small, text % "ab", start])


VOCOS = ("vocoder={use: vocos/small-16khz, width: 8, blocks: 1}",)


def test_the_vocoder_is_the_starts_where_both_use_the_same(
    tmp_path: Path, small: tuple[str, ...], voices_folder: Path
) -> None:
    pytest.importorskip("vczoo_vocos")
    small = tuple(word for word in small if "iterations" not in word)
    giver = vczoo.load("demo", [*small, *VOCOS, "training.seed=5"])
    giver.save(tmp_path / "giver")
    start = f"start={tmp_path / 'giver'}"
    own = {name for name in giver.model.tensors() if name.startswith("vocoder.")}
    assert own
    assert own <= shared_tensors(vczoo.load("demo", [*small, *VOCOS, start]).run, giver.run)
    assert not {name for name in vczoo.load("demo", [*small, start]).model.tensors() if name.startswith("vocoder.")}
    assert "start: the vocoder of" in faults_of("demo", *small, *VOCOS, "vocoder.width=16", start)

    file = tmp_path / "mine.safetensors"
    save_file(vczoo.load("demo", [*small, *VOCOS]).model.vocoder.state_dict(), file)  # type: ignore[union-attr]
    chosen = vczoo.load("demo", [*small, *VOCOS, start, f"vocoder.weights={file}"])
    assert all(t.equal(load_file(file)[n]) for n, t in chosen.model.vocoder.state_dict().items())  # type: ignore[union-attr]

    training = ["vocoder_training.steps=1", "vocoder_training.learning_rate=1e-12", "vocoder_training.batch_size=1"]
    trained = vczoo.train_vocoder(
        "demo", voices_folder, tmp_path / "vocoder", [*small, *VOCOS, start, *training], progress=False
    )
    theirs = giver.model.vocoder.state_dict()  # type: ignore[union-attr]
    assert all(torch.allclose(t, theirs[name]) for name, t in load_file(trained.file).items())


def test_a_run_from_elsewhere_has_no_start(run_folder: Path, trained_folder: Path) -> None:
    config = run_folder / "vczoo.yaml"
    config.write_text(config.read_text().replace("\n  backbone:", f"\n  start: {trained_folder}\n  backbone:", 1))
    with pytest.raises(RunError, match="this recipe cannot be loaded from somebody else's run:\n  - start: "):
        load_run(run_folder, foreign=True)
    with pytest.raises(RecipeError, match=r"start: .* is not allowed here"):
        load_run(run_folder)
    recipe = Recipe.parse({**read_recipe("demo").to_plain(), "start": "tiny"})
    assert len(foreign_faults(recipe)) == 1
    with pytest.raises(RecipeError, match="is not allowed here"):
        build(recipe, 1)


def test_a_run_names_no_recognizer(tmp_path: Path, run_folder: Path) -> None:
    recipe = read_recipe("demo", ["training.recognizer=/somewhere/model.safetensors"])
    assert foreign_faults(recipe) == ["training.recognizer: it is a file, and a run must not name one"]
    assert pinned(recipe, load_run(run_folder).model, whole=False).training.recognizer == ""


def test_cells_share_stages_of_one_start_alone(models: Path, small: tuple[str, ...]) -> None:
    shutil.copytree(models / "tiny", models / "other")
    cells = cells_of("demo", [*small, "freezing.use=full"], read_grid(["start=tiny,other"]))
    assert filling(cells) == []
    with pytest.raises(RecipeError, match=r"did you mean 'tiny'.*\(in "):
        cells_of("demo", small, read_grid(["start=tiny,tinny"]))


def test_a_plain_recipe_says_nothing_of_a_start(models: Path, small: tuple[str, ...]) -> None:
    assert "start" not in read_recipe("demo").to_plain()
    assert read_recipe("demo", ["start=tiny"]).to_plain()["start"] == "tiny"
    assert Recipe.parse(read_recipe("demo", ["start=tiny"]).to_plain()).start == "tiny"


def test_runs_inside_the_package_travel_with_it(tmp_path: Path, trained_folder: Path) -> None:
    pytest.importorskip("hatchling")
    project = tmp_path / "project"
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "CHANGELOG.md", ".gitignore"):
        project.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, project / name)
    shutil.copytree(ROOT / "recipes", project / "recipes")
    (project / "vczoo").mkdir()
    shutil.copy(ROOT / "vczoo" / "__init__.py", project / "vczoo" / "__init__.py")
    files = {"vczoo.yaml", "model.safetensors", "voices.safetensors", "metrics.json"}
    (project / "vczoo" / "assets" / "tiny").mkdir(parents=True)
    for name in files:
        shutil.copy(trained_folder / name, project / "vczoo" / "assets" / "tiny" / name)
    (project / "vczoo" / "assets" / "base").mkdir()
    for name in ("LICENSE", "README.md"):
        shutil.copy(ROOT / "vczoo" / "assets" / "base" / name, project / "vczoo" / "assets" / "base" / name)
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path / "dist")]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    (archive,) = (tmp_path / "dist").glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    within = {f"vczoo/assets/tiny/{name}" for name in files}
    names = set(zipfile.ZipFile(wheel).namelist())
    assert within <= names
    # The weights are under CC BY-SA, which asks for the license and for attribution.
    assert {"vczoo/assets/base/LICENSE", "vczoo/assets/base/README.md"} <= names
    (top,) = (tmp_path / "unpacked").iterdir()
    assert all((top / name).is_file() for name in within)
