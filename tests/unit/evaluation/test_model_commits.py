from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support.paths import ROOT
from vczoo.evaluation.measures import Measures
from vczoo.evaluation.metrics import asr, speaker_embedding
from vczoo.evaluation.model_commits import COMMITS, commit_to_load, loaded_commit

OTHER = "1234567890abcdef1234567890abcdef12345678"


class Library:
    """Stands for faster_whisper and transformers; records what it is asked to load."""

    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING = ()

    def __init__(self) -> None:
        self.requests: list[tuple[str, str | None]] = []
        self.utils = SimpleNamespace(_MODELS={"tiny.en": "Systran/faster-whisper-tiny.en"}, logging=None)

    def available_models(self) -> list[str]:
        return ["tiny.en"]

    def WhisperModel(self, place: str, *, revision: str | None, **_: Any) -> Any:  # noqa: N802 # the library's name
        self.requests.append((place, revision))
        return SimpleNamespace(model=SimpleNamespace(is_multilingual=False))

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(from_pretrained=self._load)

    def _load(self, place: str, *, revision: str | None, **_: Any) -> Any:
        self.requests.append((place, revision))
        model = SimpleNamespace(config=SimpleNamespace(model_type="wavlm"), can_generate=lambda: False)
        model.to = lambda device: model
        model.eval = lambda: model
        return model


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    stand_in = Library()
    for module in (asr, speaker_embedding):
        monkeypatch.setattr(module, "require", lambda *names: stand_in)
    return stand_in


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def cache(hub: Path, repository: str, commit: str) -> None:
    folder = hub / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "snapshots" / commit / "config.json").write_text("{}")


def test_pins_are_full_commits() -> None:
    assert all(re.fullmatch(r"[\w-]+/[\w.-]+", repository) for repository in COMMITS)
    assert all(re.fullmatch(r"[0-9a-f]{40}", commit) for commit in COMMITS.values())


def test_every_model_that_the_documentation_names_is_pinned() -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text("utf-8")
    named = re.findall(r"(?:xvector|transformers):([\w-]+/[\w.-]*\w)", text)
    sizes = re.findall(r"faster-whisper:([\w.-]*\w)", text)
    named += [f"Systran/faster-whisper-{size}" for size in sizes]
    assert {*named} - {"owner/name"} <= COMMITS.keys()
    assert len(named) > 3


def test_a_known_model_is_loaded_from_its_pin_and_a_requested_commit_replaces_it(library: Library) -> None:
    asr.load_recogniser("faster-whisper:tiny.en")
    asr.load_recogniser(f"transformers:openai/whisper-tiny.en@{OTHER}")
    speaker_embedding.load_speaker_model("xvector:microsoft/wavlm-base-plus-sv")
    whisper, wavlm = "Systran/faster-whisper-tiny.en", "microsoft/wavlm-base-plus-sv"
    assert {*library.requests} == {
        (whisper, COMMITS[whisper]),
        ("openai/whisper-tiny.en", OTHER),
        (wavlm, COMMITS[wavlm]),
    }


def test_another_model_tells_the_commit_that_its_main_branch_had(library: Library, hub: Path) -> None:
    cache(hub, "someone/voices", OTHER)
    speaker = speaker_embedding.load_speaker_model("xvector:someone/voices")
    assert {*library.requests} == {("someone/voices", None)}
    assert Measures(speaker).commits == {"xvector:someone/voices": OTHER}


def test_a_folder_has_no_commit(library: Library, hub: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    speaker = speaker_embedding.load_speaker_model(f"xvector:{tmp_path / 'model'}")
    assert Measures(speaker).commits == {}
    assert loaded_commit("someone/absent", "") == ""
    assert commit_to_load("") == ""


class Plain:
    """A speaker model of a caller's own: without a commit."""

    name = family = "plain"

    def embed(self, waves: Any) -> Any:
        return np.zeros((len(waves), 2))


def test_models_of_a_caller_need_no_commit() -> None:
    assert Measures(Plain()).commits == {}
