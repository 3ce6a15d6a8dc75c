from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

import vczoo
from vczoo.audio.waveform import Waveform
from vczoo.errors import AudioError, VczooError
from vczoo.ui.bounds import Bounds
from vczoo.ui.conversion_job import Choice, change_level, convert_batch, convert_clip
from vczoo.ui.models import ModelPool, SessionVoices
from vczoo.ui.sessions import Session


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session("token", tmp_path / "session")


@pytest.fixture(scope="module")
def voices(made_run: Path) -> SessionVoices:
    return SessionVoices(ModelPool(load=lambda name, device=None: vczoo.load(made_run, device="cpu")))


@pytest.fixture
def clip(voices_folder: Path) -> Path:
    return voices_folder / "alice" / "0.wav"


def test_source_and_result_are_as_long_as_each_other(session: Session, voices: SessionVoices, clip: Path) -> None:
    source, result = (Waveform.read(path) for path in convert_clip(session, voices, clip, Choice("bob"), Bounds()))
    assert abs(source.seconds - result.seconds) < 0.01
    assert result.mark is not None
    assert result.mark.shares == {"bob": 1.0}


def test_what_is_too_long_is_refused(session: Session, voices: SessionVoices, clip: Path) -> None:
    with pytest.raises(AudioError, match="at most 0 s"):
        convert_clip(session, voices, clip, Choice("bob"), Bounds(source_seconds=0.1))
    with pytest.raises(VczooError, match="longer than -1 s"):
        convert_clip(session, voices, clip, Choice("bob"), Bounds(conversion_seconds=-1.0))
    assert not [path for path in session.folder.iterdir() if path.suffix == ".partial"]


def test_a_batch_keeps_what_could_be_converted(
    session: Session, voices: SessionVoices, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "letter.wav").write_text("no sound")
    made = convert_batch(session, voices, [clip, tmp_path / "letter.wav", clip], Choice("bob"), Bounds())
    with zipfile.ZipFile(made.zip_file) as archive:
        assert archive.namelist() == ["01-0.wav", "03-0.wav"]
    assert made.files == 2
    assert len(made.faults) == 1
    assert "letter.wav" in made.faults[0]
    assert list(session.folder.iterdir()) == [made.zip_file]


def test_a_batch_is_bounded(session: Session, voices: SessionVoices, clip: Path) -> None:
    with pytest.raises(VczooError, match="at most 2 recordings at once, got 3"):
        convert_batch(session, voices, [clip] * 3, Choice("bob"), Bounds(clips=2))
    with pytest.raises(VczooError, match="choose one recording or more"):
        convert_batch(session, voices, [], Choice("bob"), Bounds())
    with pytest.raises(VczooError, match="no recording could be converted"):
        convert_batch(session, voices, [clip], Choice("bob"), Bounds(clips_seconds=0.1))
    assert list(session.folder.iterdir()) == []


@pytest.mark.parametrize(("level_db", "peak"), [(-6.0, 0.2506), (3.0, 0.7063), (12.0, 0.98)])
def test_levels_change_without_cutting_off(tmp_path: Path, level_db: float, peak: float) -> None:
    sine = 0.5 * torch.sin(torch.arange(16000) * 0.1)
    path = Waveform.of(sine, 16000).save(tmp_path / "sine.wav")
    change_level(path, level_db)
    assert float(Waveform.read(path).samples.abs().max()) == pytest.approx(peak, abs=2e-3)


def test_a_level_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VczooError, match="-12 to 12 dB, got 60"):
        change_level(tmp_path / "sine.wav", 60.0)
