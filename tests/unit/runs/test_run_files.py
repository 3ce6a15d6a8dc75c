"""The files of a run: replaced all at once, left as they are where nothing changed, read again while they change."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import vczoo
from vczoo.errors import RunError
from vczoo.hub.verify import verify
from vczoo.runs import run_files, run_model, run_writer
from vczoo.runs import run_folder as module
from vczoo.runs.config import read_config
from vczoo.runs.run import CONFIG
from vczoo.runs.run_files import MODEL, VOICES, path_of, read_again
from vczoo.runs.run_folder import describe_run, load_run
from vczoo.runs.run_writer import save_run

NAMES = ["metrics.json", "model.safetensors", "vczoo.yaml", "voices.safetensors"]


def run_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "manifest.jsonl")


def enroll(folder: Path, name: str, recording: Path) -> None:
    converter = vczoo.load(folder)
    converter.enroll(name, recording)
    converter.save(folder, overwrite=True)


def interrupted_after_commit(folder: Path, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enroll a voice, and end as if the process was killed between the commit and the tidying up."""

    def kill(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_files, "_sync", kill)
        with pytest.raises(KeyboardInterrupt):
            enroll(folder, "dora", recording)


def test_a_saved_run_has_the_plain_names_and_nothing_else(run_folder: Path, voices_folder: Path) -> None:
    assert run_names(run_folder) == NAMES
    enroll(run_folder, "dora", voices_folder / "alice" / "0.wav")
    assert run_names(run_folder) == NAMES


def test_what_stays_the_same_is_not_written(run_folder: Path, voices_folder: Path) -> None:
    before = {name: (run_folder / name).stat().st_ino for name in NAMES}
    enroll(run_folder, "dora", voices_folder / "alice" / "0.wav")
    changed = {name for name in NAMES if (run_folder / name).stat().st_ino != before[name]}
    assert changed == {"vczoo.yaml", "voices.safetensors"}


def test_a_run_is_whole_before_its_files_have_their_plain_names(
    run_folder: Path, voices_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_after_commit(run_folder, voices_folder / "alice" / "0.wav", monkeypatch)
    digest = read_config(run_folder / CONFIG).files[VOICES]
    assert run_names(run_folder) == sorted([*NAMES, f"voices-{digest[:16]}.safetensors"])
    assert path_of(run_folder, VOICES, {VOICES: digest}) == run_folder / f"voices-{digest[:16]}.safetensors"
    assert path_of(run_folder, MODEL, {VOICES: digest}) == run_folder / MODEL
    assert "dora" in load_run(run_folder).voices
    assert "- dora" in describe_run(run_folder)
    assert {check.state for check in verify(run_folder)} == {"ok"}
    enroll(run_folder, "eve", voices_folder / "bob" / "0.wav")
    assert run_names(run_folder) == NAMES
    assert {"dora", "eve"} < set(load_run(run_folder).voices)


def test_an_error_while_saving_leaves_the_old_run_and_nothing_more(
    run_folder: Path, voices_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: (run_folder / name).read_bytes() for name in NAMES}
    converter = vczoo.load(run_folder)
    converter.enroll("dora", voices_folder / "alice" / "0.wav")
    count = 0
    fsync = os.fsync

    def refuse(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count == 2:  # the voices are written by then, vczoo.yaml is not
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(RunError, match="the run cannot be written"):
        converter.save(run_folder, overwrite=True)
    assert run_names(run_folder) == NAMES
    assert {name: (run_folder / name).read_bytes() for name in NAMES} == before


def test_a_damaged_run_is_mended_by_saving_over_it(run_folder: Path) -> None:
    run = load_run(run_folder)
    (run_folder / VOICES).write_bytes(b"damaged")
    save_run(run, run_folder)
    assert set(load_run(run_folder).voices) == set(run.voices)
    assert run_names(run_folder) == NAMES


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_new_runs_are_private_and_shared_ones_stay_shared(tmp_path: Path, made_run: Path, voices_folder: Path) -> None:
    run = load_run(made_run)
    save_run(run, tmp_path / "run")
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    assert {(tmp_path / "run" / name).stat().st_mode & 0o777 for name in NAMES} == {0o600}
    for name in NAMES:
        (tmp_path / "run" / name).chmod(0o644)
    enroll(tmp_path / "run", "dora", voices_folder / "alice" / "0.wav")
    assert {(tmp_path / "run" / name).stat().st_mode & 0o777 for name in NAMES} == {0o644}


def test_saving_sweeps_what_a_killed_save_left(run_folder: Path) -> None:
    left = run_folder / ".voices-00000000-9999999-1-00000000.partial"
    stale = run_folder / f"model-{'0' * 16}.safetensors"
    for path in (left, stale):
        path.write_bytes(b"half")
    os.utime(left, (0, 0))
    save_run(load_run(run_folder), run_folder)
    assert run_names(run_folder) == NAMES


def test_a_read_is_repeated_only_if_the_run_was_saved_meanwhile(tmp_path: Path, run_folder: Path) -> None:
    tries: list[int] = []

    def saved_meanwhile() -> str:
        tries.append(1)
        if len(tries) < 3:
            shutil.copyfile(run_folder / CONFIG, tmp_path / "new")
            os.replace(tmp_path / "new", run_folder / CONFIG)
            raise RunError("torn")
        return "read"

    assert read_again(run_folder, saved_meanwhile) == "read"
    assert len(tries) == 3

    def damaged() -> None:
        tries.append(1)
        raise RunError("damaged")

    tries.clear()
    with pytest.raises(RunError, match="damaged"):
        read_again(run_folder, damaged)
    assert len(tries) == 1


def test_a_run_saved_while_it_is_loaded_is_the_new_one(
    run_folder: Path, voices_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converter = vczoo.load(run_folder)
    converter.enroll("dora", voices_folder / "alice" / "0.wav")
    reads: list[int] = []
    builds: list[int] = []
    read_voices, build_on_base = module.read_voices, run_model.build_on_base

    def save_first(*arguments: Any) -> Any:
        reads.append(1)
        if len(reads) == 1:
            converter.save(run_folder, overwrite=True)
        return read_voices(*arguments)

    def count(config: Any) -> Any:
        builds.append(1)
        return build_on_base(config)

    monkeypatch.setattr(module, "read_voices", save_first)
    monkeypatch.setattr(run_model, "build_on_base", count)
    run = load_run(run_folder)
    assert len(reads) == 2
    assert len(builds) == 1  # the model did not change
    assert "dora" in run.voices
    assert run.revision == hashlib.sha256((run_folder / CONFIG).read_bytes()).hexdigest()[:12]


def test_what_could_not_be_loaded_is_not_saved(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (run_folder / CONFIG).read_bytes()
    run = load_run(run_folder)
    run.voices["alice"].tensors["speaker.embedding"][0] = torch.nan
    with pytest.raises(RunError, match=r"NaN or infinity in the voice alice\. Enroll it again"):
        save_run(run, run_folder)

    run = load_run(run_folder)
    name, tensor = next((name, t) for name, t in run.model.tensors().items() if t.is_floating_point())
    with torch.no_grad():
        tensor.view(-1)[0] = torch.inf
    with pytest.raises(RunError, match=f"NaN or infinity in the model's {name}. The training diverged"):
        save_run(run, run_folder)

    run = load_run(run_folder)
    run.voices["a\u202eb"] = run.voices["alice"]
    with pytest.raises(RunError, match=r"could not be loaded again:\n  - voices\.3: the name "):
        save_run(run, run_folder)

    run = load_run(run_folder)
    monkeypatch.setattr(run_writer, "LARGEST_VOICES", 10)
    with pytest.raises(RunError, match=r"voices.safetensors would hold \d+ bytes of at most 10; leave voices out"):
        save_run(run, run_folder)
    monkeypatch.undo()

    def refuse(text: str, where: str) -> None:
        raise RunError("more than 200000 values")

    monkeypatch.setattr(run_writer, "parse_config", refuse)  # as for 60,000 voices, which take long
    with pytest.raises(RunError, match="could not be loaded again: more than 200000 values"):
        save_run(run, run_folder)
    assert (run_folder / CONFIG).read_bytes() == before
