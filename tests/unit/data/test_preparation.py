"""Recordings prepared for training: cut, trimmed and leveled; noise, silence and broken files; never half a folder."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch

from vczoo.audio.espeak import SENTENCES, SYNTHETIC_VOICES, write_corpus
from vczoo.audio.speech_detection import load_speech_detector
from vczoo.audio.waveform import Waveform
from vczoo.data import preparation
from vczoo.data.pauses import cut_at_pauses
from vczoo.data.preparation import prepare
from vczoo.errors import AudioError

RATE_HZ = 16000


@pytest.fixture(autouse=True)
def _without_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "load_speech_detector", lambda: None)


def spoken(seconds: float, level: float = 0.1) -> torch.Tensor:
    """Bursts of noise with pauses between them, as syllables are, after and before half a second of silence."""
    count = round(seconds * RATE_HZ)
    times = torch.arange(count) / RATE_HZ
    loudness = (torch.sin(2 * math.pi * 2 * times) > -0.3).float() + 0.001
    sound = torch.randn(count, generator=torch.Generator().manual_seed(0)) * loudness * level
    silence = torch.randn(RATE_HZ // 2, generator=torch.Generator().manual_seed(1)) * level * 0.001
    return torch.cat([silence, sound, silence])


def save(path: Path, samples: torch.Tensor) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return Waveform.of(samples, RATE_HZ).save(path)


def test_a_long_recording_is_cut_trimmed_and_leveled(tmp_path: Path) -> None:
    source = save(tmp_path / "me.wav", spoken(30.0, level=0.01))
    (recording,) = prepare(source, tmp_path / "out")
    assert len(recording.kept) == len(cut_at_pauses(Waveform.read(source)))  # the cuts of a training
    assert [piece.file for piece in recording.kept] == sorted((tmp_path / "out").iterdir())
    assert recording.kept[0].file == tmp_path / "out" / "me-001.wav"
    assert recording.kept[0].start == pytest.approx(0.4, abs=0.03)
    for piece in recording.kept:
        assert piece.file is not None
        wave = Waveform.read(piece.file)
        assert wave.seconds == pytest.approx(piece.seconds, abs=0.001)
        assert 1.0 <= wave.seconds <= 9.0
        levels = preparation.frame_levels(wave)
        speech = levels[levels > levels.max() * 10 ** (-35 / 20)]
        assert 20 * math.log10(float(speech.square().mean().sqrt())) == pytest.approx(-23, abs=0.2)


def test_a_folder_keeps_its_structure(tmp_path: Path) -> None:
    save(tmp_path / "in" / "alice" / "a.wav", spoken(4.0))
    save(tmp_path / "in" / "bob" / "b.wav", spoken(20.0))
    (tmp_path / "in" / "bob" / "notes.txt").touch()
    prepare(tmp_path / "in", tmp_path / "out")
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.wav"))
    assert names[0] == "alice/a.wav"
    assert names[1] == "bob/b-001.wav"


def test_its_own_output_stays_as_it_is(tmp_path: Path) -> None:
    save(tmp_path / "in" / "alice" / "a.wav", spoken(25.0))
    prepare(tmp_path / "in", tmp_path / "once")
    twice = prepare(tmp_path / "once", tmp_path / "twice")
    names = [sorted(path.name for path in (tmp_path / name / "alice").iterdir()) for name in ("once", "twice")]
    assert names[0] == names[1]
    for recording in twice:
        (piece,) = recording.kept
        assert piece.file is not None
        before, after = Waveform.read(recording.path), Waveform.read(piece.file)
        assert abs(before.seconds - after.seconds) < 0.05
        count = min(before.samples.shape[1], after.samples.shape[1])
        assert after.samples[:, :count].abs().max() == pytest.approx(float(before.samples.abs().max()), rel=0.01)


def test_what_is_unfit_is_dropped_with_a_reason(tmp_path: Path) -> None:
    noise = torch.randn(4 * RATE_HZ, generator=torch.Generator().manual_seed(2)) * 0.1
    save(tmp_path / "in" / "good.wav", spoken(4.0))
    save(tmp_path / "in" / "noise.wav", noise)
    save(tmp_path / "in" / "short.wav", spoken(0.5))
    (tmp_path / "in" / "broken.wav").write_bytes(b"RIFF")
    (tmp_path / "in" / "silent.wav").write_bytes((tmp_path / "in" / "good.wav").read_bytes()[:44] + bytes(4 * RATE_HZ))
    outcome = {recording.path.stem: recording for recording in prepare(tmp_path / "in", tmp_path / "out")}
    assert [piece.reason for piece in outcome["good"].pieces] == [""]
    assert [piece.reason for piece in outcome["noise"].pieces] == ["too noisy"]
    assert [piece.reason for piece in outcome["short"].pieces] == ["too short"]
    assert outcome["broken"].fault
    assert outcome["silent"].fault
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.wav"]
    kept = prepare(tmp_path / "in" / "noise.wav", tmp_path / "noisy", keep_noisy=True)
    assert len(kept[0].kept) == 1


def test_what_is_not_speech_is_dropped_where_a_detector_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "load_speech_detector", lambda: lambda wave: 0.1 if wave.seconds > 5 else 0.9)
    save(tmp_path / "in" / "music.wav", spoken(7.0))
    save(tmp_path / "in" / "speech.wav", spoken(3.0))
    music, speech = prepare(tmp_path / "in", tmp_path / "out")
    assert ([piece.reason for piece in music.pieces], len(speech.kept)) == (["no speech"], 1)


def test_the_detector_tells_music_from_speech(tmp_path: Path) -> None:
    pytest.importorskip("silero_vad")
    pytest.importorskip("espeakng_loader")
    threads = torch.get_num_threads()
    share = load_speech_detector()
    assert share is not None
    assert torch.get_num_threads() == threads
    times = torch.arange(4 * RATE_HZ) / RATE_HZ
    notes = [torch.sin(2 * math.pi * hz * times) * torch.exp(-((times * 3 + hz) % 1) * 4) for hz in (262, 330, 392)]
    assert share(Waveform.of(torch.stack(notes).sum(dim=0) * 0.1, RATE_HZ)) < 0.1
    voice = next(iter(SYNTHETIC_VOICES))
    (sentence,) = (write_corpus(tmp_path / "speech", [voice], SENTENCES[:1]) / voice).iterdir()
    assert share(Waveform.read(sentence)) > 0.5


def test_nothing_fit_leaves_nothing(tmp_path: Path) -> None:
    source = save(tmp_path / "in" / "tone.wav", torch.sin(torch.arange(3 * RATE_HZ) * 0.1) * 0.1)
    with pytest.raises(AudioError, match=r"no piece is fit to train on:\n  .*tone\.wav: too noisy"):
        prepare(source, tmp_path / "out")
    assert os.listdir(tmp_path) == ["in"]


def test_a_place_that_is_taken_is_refused_before_any_work(tmp_path: Path) -> None:
    source = save(tmp_path / "in" / "a.wav", spoken(3.0))
    (tmp_path / "file").touch()
    for out, message in {
        "in": "is not an empty folder",
        "file": "is not an empty folder",
        "file/out": "is a file",
    }.items():
        with pytest.raises(AudioError, match=message):
            prepare(source, tmp_path / out)
    with pytest.raises(AudioError, match="no such"):
        prepare(tmp_path / "none.wav", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioError, match="no recording is in this folder"):
        prepare(tmp_path / "empty", tmp_path / "out")
    prepare(source, tmp_path / "empty")
    assert os.listdir(tmp_path / "empty") == ["a.wav"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save(tmp_path / "a.wav", spoken(3.0))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(AudioError, match=r"out cannot be written \(Permission denied\); choose another folder"):
        prepare(source, tmp_path / "out")


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.wav", spoken(3.0))
    save(tmp_path / "in" / "b.wav", spoken(3.0))

    def interrupt(name: str) -> None:
        if name.endswith("b.wav"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "in", tmp_path / "out", watch=interrupt)
    assert os.listdir(tmp_path) == ["in"]


def test_two_recordings_of_one_name_stay_two(tmp_path: Path) -> None:
    wave = Waveform.of(spoken(3.0), RATE_HZ)
    wave.save(tmp_path / "in" / "a.wav")
    wave.save(tmp_path / "in" / "a.flac")
    prepare(tmp_path / "in", tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == ["a.wav", "a_2.wav"]
