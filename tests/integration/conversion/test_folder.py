"""Folders: every recording below one, whatever is wrong with some of them, by one process or several."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import vczoo
from tests.support.sound_files import encode, speech_like
from vczoo.cli.app import main
from vczoo.conversion.workers import Job, Workers
from vczoo.errors import AudioError, AudioWarning, FolderError, RecipeError, VczooError, VoiceError


@pytest.fixture(scope="module")
def converter(trained_folder: Path) -> vczoo.Converter:
    return vczoo.load(trained_folder)


@pytest.fixture
def folder(tmp_path: Path, voices_folder: Path) -> Path:
    """a.wav, deep/b.WAV, deep/er/c.flac; a text file and hidden ones."""
    place = tmp_path / "in"
    (place / "deep" / "er").mkdir(parents=True)
    shutil.copy(voices_folder / "alice" / "0.wav", place / "a.wav")
    shutil.copy(voices_folder / "alice" / "1.wav", place / "deep" / "b.WAV")
    samples, rate = soundfile.read(voices_folder / "carol" / "2.wav")
    soundfile.write(place / "deep" / "er" / "c.flac", samples, rate)
    (place / "notes.txt").write_text("no sound")
    shutil.copy(voices_folder / "alice" / "0.wav", place / "._a.wav")
    return place


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Set the number of torch's threads for a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def files(place: Path) -> set[str]:
    return {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}


def test_the_folder_is_mirrored(converter: vczoo.Converter, folder: Path, tmp_path: Path) -> None:
    made = vczoo.convert_folder(converter, folder, tmp_path / "out", "bob", progress=False)
    assert files(tmp_path / "out") == {"a.wav", "deep/b.wav", "deep/er/c.wav"}
    assert [one.source.name for one in made] == ["a.wav", "b.WAV", "c.flac"]
    for one in made:
        assert one.seconds == pytest.approx(soundfile.info(one.source).duration)
        assert soundfile.info(one.out).duration == pytest.approx(one.seconds)
    alone = converter.convert_file(folder / "a.wav", tmp_path / "alone.wav", "bob")
    assert alone == made[0].seconds
    assert (tmp_path / "alone.wav").read_bytes() == (tmp_path / "out" / "a.wav").read_bytes()


def test_several_processes_make_the_same_files_with_voices_that_are_not_saved(
    trained_folder: Path, folder: Path, tmp_path: Path, voices_folder: Path, threads: Callable[[int], None]
) -> None:
    converter = vczoo.load(trained_folder)
    converter.enroll("dora", sorted((voices_folder / "carol").iterdir())[:3])
    (folder / "empty.wav").touch()
    for jobs in (1, 2):
        threads(jobs)  # which the processes share: one each, since sums in another order are other samples
        with pytest.raises(FolderError) as error:
            vczoo.convert_folder(
                converter, folder, tmp_path / f"out{jobs}", {"dora": 1.0}, jobs=jobs, suffix="keep", progress=False
            )
        assert list(error.value.faults) == [folder / "empty.wav"]
        assert [one.source.name for one in error.value.made] == ["a.wav", "b.WAV", "c.flac"]
    assert files(tmp_path / "out2") == {"a.wav", "deep/b.WAV", "deep/er/c.flac"}
    for name in files(tmp_path / "out1"):
        one, other = (soundfile.read(tmp_path / out / name)[0] for out in ("out1", "out2"))
        np.testing.assert_allclose(other, one, atol=1e-3)


def test_formats_of_phones_are_converted_and_other_files_are_counted(
    converter: vczoo.Converter, folder: Path, tmp_path: Path
) -> None:
    encode(folder / "deep" / "phone.m4a", speech_like(1.0))
    (folder / "notes.txt").write_text("take 2 is better")
    (folder / "cover.jpg").write_bytes(b"picture")
    with pytest.warns(AudioWarning, match=r"passed over 2 files without the suffix of a sound: cover\.jpg, notes\.txt"):
        vczoo.convert_folder(converter, folder, tmp_path / "out", "bob", suffix="keep", progress=False)
    assert (tmp_path / "out" / "deep" / "phone.wav").is_file()


def test_several_processes_know_lent_voices_and_mixes_of_them_with_own_ones(
    folder: Path, tmp_path: Path, voices_folder: Path, threads: Callable[[int], None]
) -> None:
    converter = vczoo.load("base")
    converter.enroll("dora", voices_folder / "carol" / "0.wav")
    for voice in ("woman-1", "woman-1:0.5,dora:0.5"):
        for jobs in (1, 2):
            threads(jobs)
            out = tmp_path / voice.replace(":", "") / str(jobs)
            vczoo.convert_folder(converter, folder, out, voice, jobs=jobs, progress=False)
        for name in files(out):
            one, other = (soundfile.read(out.parent / number / name)[0] for number in ("1", "2"))
            np.testing.assert_allclose(other, one, atol=1e-3)
    assert converter.run.voices["woman-1"].lent  # the caller's run is as it was


def test_several_processes_convert_to_voices_that_a_recipe_lends_and_to_recordings(
    folder: Path, tmp_path: Path, voices_folder: Path
) -> None:
    converter = vczoo.load("base")
    mix = {"woman-1": 0.5, str(voices_folder / "carol"): 0.5}
    made = vczoo.convert_folder(converter, folder, tmp_path / "out", mix, jobs=2, progress=False)
    assert len(made) == 3
    assert vczoo.read_mark(made[0].out).shares == {"woman-1": 0.5, "carol": 0.5}  # type: ignore[union-attr]
    assert "carol" not in converter.voices


def test_faults_do_not_stop_the_rest_and_are_all_told(converter: vczoo.Converter, folder: Path, tmp_path: Path) -> None:
    (folder / "empty.wav").touch()
    (folder / "deep" / "text.mp3").write_text("no sound at all" * 100)
    with pytest.raises(FolderError) as error:
        vczoo.convert_folder(converter, folder, tmp_path / "out", "bob", progress=False)
    told = str(error.value)
    assert "2 of 5 recordings could not be converted" in told
    assert "empty.wav: the file is empty" in told
    assert "text.mp3: not a sound file" in told
    assert set(error.value.faults) == {folder / "empty.wav", folder / "deep" / "text.mp3"}
    assert len(error.value.made) == 3
    assert files(tmp_path / "out") == {"a.wav", "deep/b.wav", "deep/er/c.wav"}


def test_what_exists_is_told_at_once_and_replaced_when_asked(
    converter: vczoo.Converter, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "deep").mkdir(parents=True)
    for name in ("a.wav", "deep/b.wav"):
        (out / name).write_bytes(b"old")
    with pytest.raises(AudioError) as error:
        vczoo.convert_folder(converter, folder, out, "bob", progress=False)
    assert f"{out / 'a.wav'} exists" in str(error.value)
    assert f"{out / 'deep' / 'b.wav'} exists" in str(error.value)
    assert files(out) == {"a.wav", "deep/b.wav"}
    vczoo.convert_folder(converter, folder, out, "bob", overwrite=True, progress=False)
    assert soundfile.info(out / "a.wav").frames > 0


def test_a_file_where_a_folder_is_to_be_is_told_before_any_work(
    converter: vczoo.Converter, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Job, "run", lambda *_: pytest.fail("a recording was converted"))
    (tmp_path / "file").write_text("here")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").write_text("here")
    for out, blocked in (("file", "file"), ("file/below", "file"), ("out", "out/deep")):
        with pytest.raises(AudioError) as error:
            vczoo.convert_folder(converter, folder, tmp_path / out, "bob", overwrite=True, progress=False)
        expected = "a file is in the place of an output folder; move it, or choose another folder:"
        assert str(error.value).startswith(expected)
        assert str(error.value).endswith(f"\n  {tmp_path / blocked}")


def test_two_recordings_never_become_one_file(converter: vczoo.Converter, folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "deep" / "er" / "c.flac", folder / "A.flac")
    with pytest.raises(AudioError, match=r"both .*A\.flac and .*a\.wav would become it; keep their suffixes"):
        vczoo.convert_folder(converter, folder, tmp_path / "out", "bob", overwrite=True, progress=False)
    made = vczoo.convert_folder(converter, folder, tmp_path / "out", "bob", suffix="keep", progress=False)
    assert len(made) == 4


def test_what_was_made_inside_the_folder_is_not_converted_again(converter: vczoo.Converter, folder: Path) -> None:
    for _ in range(2):
        vczoo.convert_folder(converter, folder, folder / "as-bob", "bob", overwrite=True, progress=False)
    assert files(folder / "as-bob") == {"a.wav", "deep/b.wav", "deep/er/c.wav"}


def test_mistakes_are_told_before_any_work(converter: vczoo.Converter, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="it is the folder of the recordings"):
        vczoo.convert_folder(converter, folder, folder, "bob")
    with pytest.raises(AudioError, match="no such folder"):
        vczoo.convert_folder(converter, tmp_path / "none", tmp_path / "out", "bob")
    (tmp_path / "bare").mkdir()
    with pytest.raises(AudioError, match="no recording below it"):
        vczoo.convert_folder(converter, tmp_path / "bare", tmp_path / "out", "bob")
    with pytest.raises(VoiceError, match="did you mean 'bob'"):
        vczoo.convert_folder(converter, folder, tmp_path / "out", "bo")
    with pytest.raises(VczooError, match=r"suffix is one of \.wav, .* or keep; got 'wav'"):
        vczoo.convert_folder(converter, folder, tmp_path / "out", "bob", suffix="wav")
    with pytest.raises(VczooError, match="jobs is 1 or more, got 0"):
        vczoo.convert_folder(converter, folder, tmp_path / "out", "bob", jobs=0)
    assert not (tmp_path / "out").exists()


def test_a_process_that_dies_costs_its_recording_alone(trained_folder: Path, folder: Path, tmp_path: Path) -> None:
    jobs = [Job(folder / "a.wav", tmp_path / f"{n}.wav", {"bob": 1.0}, 0.0, False) for n in range(4)]
    with Workers(trained_folder, "cpu", 2) as workers:
        outcomes = workers.map(jobs)
        first = next(outcomes)
        victim = next(iter(workers._processes.values()))
        assert victim.pid
        os.kill(victim.pid, signal.SIGSTOP)  # so that it has a recording in its hands
        os.kill(victim.pid, signal.SIGKILL)
        rest = list(outcomes)
    told = [outcome for _, outcome in [first, *rest] if isinstance(outcome, str)]
    assert len(rest) == 3
    assert len(told) <= 1
    assert all("its process ended (exit code -9)" in text for text in told)
    assert not any(process.is_alive() for process in workers._processes.values())


def test_a_run_that_cannot_be_loaded_there_is_told(tmp_path: Path) -> None:
    job = Job(tmp_path / "a.wav", tmp_path / "b.wav", {"bob": 1.0}, None, False)
    with Workers(tmp_path / "none", "cpu", 1) as workers, pytest.raises(VczooError, match="no such folder"):
        list(workers.map([job]))


def test_a_recipe_that_cannot_be_read_there_is_told_whole(run_folder: Path, tmp_path: Path) -> None:
    file = run_folder / "vczoo.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("use: mel-conv", "use: mel-cnv"), encoding="utf-8")
    job = Job(tmp_path / "a.wav", tmp_path / "b.wav", {"bob": 1.0}, None, False)
    with Workers(run_folder, "cpu", 1) as workers, pytest.raises(VczooError) as error:
        list(workers.map([job]))
    with pytest.raises(VczooError) as here:
        vczoo.load(run_folder)
    assert type(here.value) is RecipeError
    assert str(error.value) == str(here.value)


def test_the_command_converts_a_folder(
    trained_folder: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*options: object) -> tuple[int, str, str]:
        command = ["vczoo", "convert", trained_folder, folder, "--voice", "bob", "--out", *options]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        with pytest.raises(SystemExit) as done:
            main()
        told = capsys.readouterr()
        return int(done.value.code or 0), told.out, told.err

    (folder / "empty.wav").touch()
    code, _, told = run(tmp_path / "out", "--suffix", ".flac")
    assert code == 1
    assert "passed over 1 file" in told
    assert "\nerror: " in told
    assert "1 of 4 recordings could not be converted" in told
    assert files(tmp_path / "out") == {"a.flac", "deep/b.flac", "deep/er/c.flac"}
    (folder / "empty.wav").unlink()
    code, told, _ = run(tmp_path / "again", "--jobs", "1")
    assert (code, "3 recordings, " in told, "s in the voice of bob" in told) == (0, True, True)
    code, _, told = run(tmp_path / "again")
    assert (code, "3 files cannot be written" in told) == (1, True)
    assert run(tmp_path / "again", "--overwrite")[0] == 0


def test_ctrl_c_ends_every_process_and_leaves_no_half_file(trained_folder: Path, folder: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(folder / "a.wav")
    for number in range(300):  # of work for longer than a machine may stall between a look and the signal
        soundfile.write(folder / f"{number}.wav", np.tile(samples, 8), rate)
    command = [sys.executable, "-m", "vczoo", "convert", trained_folder, folder, "--voice", "bob"]
    with subprocess.Popen(
        [*command, "--out", tmp_path / "out", "--jobs", "2"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while not list((tmp_path / "out").rglob("[0-9]*.wav")) and process.poll() is None:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        _, told = process.communicate()
    assert process.returncode == 130, told
    assert "interrupted; finished files are kept, and no incomplete file was left\n" in told
    assert "Traceback" not in told
    made = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert 0 < len(made) < 300
    assert all(path.suffix == ".wav" and soundfile.info(path).frames > 0 for path in made)
    listed = subprocess.run(["ps", "-eo", "pgid=,args="], capture_output=True, text=True, check=True).stdout
    assert not [line for line in listed.splitlines() if line.split()[0] == str(process.pid) and "spawn_main" in line]
