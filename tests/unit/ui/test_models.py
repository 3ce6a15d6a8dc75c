from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vczoo
from vczoo.errors import VczooError, VoiceError
from vczoo.ui.models import ModelPool, SessionVoices


@pytest.fixture
def pool(made_run: Path) -> ModelPool:
    """A pool whose model in the package is a small one."""
    loaded: dict[str, Any] = {}

    def load(name: str | Path, device: str | None = None) -> vczoo.Converter:
        loaded[str(name)] = vczoo.load(made_run, device="cpu")
        return loaded[str(name)]

    return ModelPool([made_run], load=load)


def test_voices_of_further_runs_name_their_run(pool: ModelPool, made_run: Path) -> None:
    voices = SessionVoices(pool)
    assert voices.labels() == {
        "alice (run)": (str(made_run), "alice"),
        "bob (run)": (str(made_run), "bob"),
        "carol (run)": (str(made_run), "carol"),
        "alice": ("base", "alice"),
        "bob": ("base", "bob"),
        "carol": ("base", "carol"),
    }


def test_a_voice_that_one_visitor_enrolls_is_not_in_anothers_list(pool: ModelPool, voices_folder: Path) -> None:
    one, other = SessionVoices(pool), SessionVoices(pool)
    one.base.enroll("dora", voices_folder / "alice" / "0.wav")
    assert next(iter(one.labels())) == "dora"
    assert "dora" not in other.labels()
    assert "dora" not in SessionVoices(pool).labels()
    assert one.base.model is other.base.model


def test_a_mix_is_of_one_model(pool: ModelPool) -> None:
    voices = SessionVoices(pool)
    assert voices.chosen("alice")[1] == {"alice": 1.0}
    assert voices.chosen("alice", "bob", 0.25)[1] == {"alice": 0.75, "bob": 0.25}
    assert voices.chosen("alice", "bob", 1.0)[1] == {"bob": 1.0}
    assert voices.chosen("alice", "bob", 0.0)[1] == {"alice": 1.0}
    with pytest.raises(VoiceError, match="different models"):
        voices.chosen("alice", "bob (run)", 0.5)
    with pytest.raises(VoiceError, match="no voice is called 'alicia'; did you mean 'alice'"):
        voices.chosen("alicia")


@pytest.mark.parametrize("name", ["", "alice", "./runs/mine", "/etc/passwd", "../x", "a/b/c", "~/run", "a\\b/c"])
def test_visitors_name_no_folders(pool: ModelPool, name: str) -> None:
    with pytest.raises(VczooError, match="not the name of a run on the Hub"):
        pool.published(name)


def test_published_runs_are_loaded_once_and_the_oldest_is_forgotten(pool: ModelPool) -> None:
    first = pool.published("me/one")
    assert pool.published("me/one") is first
    for number in range(3):
        pool.published(f"me/other-{number}")
    assert pool.published("me/one") is not first


def test_a_visitor_has_only_so_many_models(pool: ModelPool) -> None:
    voices = SessionVoices(pool)
    for number in range(5):
        voices.add(f"me/{number}", pool.published("me/one"))
    with pytest.raises(VczooError, match="at most 5 models"):
        voices.add("me/6", pool.published("me/one"))
