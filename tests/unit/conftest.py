"""Unit tests train nothing, start no process and serve nothing: this is what keeps `make check` fast."""

from __future__ import annotations

import multiprocessing.process
import shutil
import socketserver
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SMALL, SPEAKERS

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The conformance check `light` imports a plugin in a process of its own."""
    for item in items:
        if (
            item.path.is_relative_to(HERE)
            and item.name.startswith("test_conformance[")
            and item.name.endswith("-light]")
        ):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def nothing_slow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse a training, a process and a server."""
    if request.node.get_closest_marker("slow"):
        return

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("a unit test trains, starts a process or serves: move it to tests/integration")

    monkeypatch.setattr("vczoo.training.trainer.Trainer.fit", refuse)
    monkeypatch.setattr("vczoo.training.lr_finder.train_step", refuse)
    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", refuse)
    monkeypatch.setattr(socketserver.TCPServer, "__init__", refuse)


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory, voices_folder: Path) -> Path:
    """A run of the small demo as it is before training, with the voices of `voices_folder`. Read only."""
    import torch

    import vczoo
    from vczoo.models.build import checked_recipe
    from vczoo.runs.run import MANIFEST
    from vczoo.runs.warm_start import build_initial_model

    torch.manual_seed(0)
    corpus = vczoo.read_corpus(voices_folder)
    run = build_initial_model(checked_recipe("demo", SMALL), len(SPEAKERS))
    run.speakers = corpus.speakers
    run.metrics = {"speakers": len(SPEAKERS), "epochs": 0}
    run.data = {"fingerprint": corpus.fingerprint(), "minutes": {}}
    converter = vczoo.Converter(run)
    for speaker in corpus.speakers:
        converter.enroll(speaker, [utterance.path for utterance in corpus.utterances if utterance.speaker == speaker])
    folder = tmp_path_factory.mktemp("made") / "run"
    converter.save(folder)
    (folder / MANIFEST).write_text(corpus.to_jsonl(), encoding="utf-8")
    return folder


@pytest.fixture
def run_folder(tmp_path: Path, made_run: Path) -> Path:
    """A copy of `made_run`, to be written to."""
    return Path(shutil.copytree(made_run, tmp_path / "run"))
