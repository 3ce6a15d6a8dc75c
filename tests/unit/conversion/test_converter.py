"""What a user holds: names that are clear, voices that are kept, errors that say what to do."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import vczoo
from vczoo.audio.pitch import mean_log_hz
from vczoo.audio.waveform import Waveform
from vczoo.errors import AudioError, ContractError, RunError, UnknownNameError, VoiceError


@pytest.fixture(scope="module")
def converter(made_run: Path) -> vczoo.Converter:
    return vczoo.load(made_run)


def test_semitones_move_the_pitch_by_what_they_say(converter: vczoo.Converter, voices_folder: Path) -> None:
    source = Waveform.read(voices_folder / "alice" / "1.wav")
    low, high = (converter.convert(source, "alice", semitones=value) for value in (0.0, 5.0))
    assert not torch.equal(low.samples, high.samples)


@pytest.mark.parametrize("semitones", [math.nan, math.inf, -math.inf])
def test_semitones_that_are_no_number(
    converter: vczoo.Converter, voices_folder: Path, tmp_path: Path, semitones: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, told = voices_folder / "alice" / "1.wav", f"semitones must be a finite number .* got {semitones}"
    for seconds in (30.0, 0.1):  # whole, and in pieces
        monkeypatch.setattr("vczoo.conversion.converted_blocks.WHOLE_SECONDS", seconds)
        with pytest.raises(ContractError, match=told):
            converter.convert(file, "bob", semitones=semitones)
        with pytest.raises(ContractError, match=told):
            converter.convert_file(file, tmp_path / "a.wav", "bob", semitones=semitones)
    with pytest.raises(ContractError, match=told):
        vczoo.convert_folder(converter, voices_folder, tmp_path / "out", "bob", semitones=semitones)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("semitones", [24.5, -100.0])
def test_semitones_that_would_not_be_speech(converter: vczoo.Converter, voices_folder: Path, semitones: float) -> None:
    with pytest.raises(ContractError, match="semitones must be -24 to 24, two octaves"):
        converter.convert(voices_folder / "alice" / "1.wav", "bob", semitones=semitones)


def test_a_source_of_another_rate_is_resampled(converter: vczoo.Converter, voices_folder: Path) -> None:
    source = Waveform.read(voices_folder / "alice" / "0.wav", 44100)
    assert converter.convert(source, "bob").seconds == pytest.approx(source.seconds, abs=0.001)


def test_enrolment_adds_a_voice_that_save_keeps(tmp_path: Path, made_run: Path, voices_folder: Path) -> None:
    converter = vczoo.load(made_run)
    files = sorted((voices_folder / "carol").iterdir())
    converter.enroll("dora", files[:3])
    assert converter.voices == ("alice", "bob", "carol", "dora")
    again = vczoo.load(converter.save(tmp_path / "saved"))
    source = voices_folder / "alice" / "0.wav"
    assert torch.equal(again.convert(source, "dora").samples, converter.convert(source, "dora").samples)
    scores = again.identify(files[4])
    assert next(iter(scores)) in {"carol", "dora"}
    assert scores["dora"] > scores["bob"]


@pytest.mark.parametrize("name", ["", "  ", "a/b", "a\nb", "a\\b", "..", "x" * 201, "a\u202eb"])
def test_a_name_that_cannot_be_a_voices(converter: vczoo.Converter, voices_folder: Path, name: str) -> None:
    with pytest.raises(VoiceError, match=r"the name .*; choose another name for the voice"):
        converter.enroll(name, voices_folder / "alice" / "0.wav")


def test_a_voice_that_is_there_is_not_replaced_by_accident(made_run: Path, voices_folder: Path) -> None:
    converter = vczoo.load(made_run)
    with pytest.raises(VoiceError, match="'alice' already exists"):
        converter.enroll("Alice", voices_folder / "bob" / "0.wav")
    before = converter.run.voices["alice"].tensors["speaker.embedding"]
    converter.enroll("alice", voices_folder / "bob" / "0.wav", overwrite=True)
    assert not torch.equal(converter.run.voices["alice"].tensors["speaker.embedding"], before)


@pytest.mark.parametrize(
    "name",
    [
        "Jean\u00a0Luc",
        "\u7530\u4e2d\u3000\u592a\u90ce",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0915\u094d\u200d\u0937",
    ],
)
def test_real_names_are_enrolled_saved_and_loaded(
    tmp_path: Path, made_run: Path, voices_folder: Path, name: str
) -> None:
    converter = vczoo.load(made_run)
    converter.enroll(name, voices_folder / "alice" / "0.wav")
    again = vczoo.load(converter.save(tmp_path / "run"))
    assert name in again.voices
    assert again.convert(voices_folder / "bob" / "0.wav", name).mark.voice  # type: ignore[union-attr]
    with pytest.raises(VoiceError, match="already exists"):
        again.enroll(name.replace("\u00a0", " ").replace("\u3000", " ").replace("\u200c", "").replace("\u200d", ""), [])


def test_of_two_threads_that_enroll_one_name_one_gets_the_error(
    made_run: Path, voices_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converter = vczoo.load(made_run)
    enroll, both = converter.model.enroll, threading.Barrier(2)

    def enroll_together(waves: list[vczoo.Waveform]) -> dict[str, torch.Tensor]:
        both.wait(10)  # both threads have passed the first check by now
        return enroll(waves)

    monkeypatch.setattr(converter.model, "enroll", enroll_together)
    outcomes: list[str] = []

    def add() -> None:
        try:
            converter.enroll("dora", voices_folder / "alice" / "0.wav")
            outcomes.append("enrolled")
        except VoiceError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["enrolled", "voice 'dora' already exists; choose another name, or set overwrite"]


def test_enrolling_leaves_alone_the_voices_that_another_thread_goes_through(
    made_run: Path, voices_folder: Path
) -> None:
    converter = vczoo.load(made_run)
    voices = iter(converter.run.voices.items())
    next(voices)
    converter.enroll("dora", voices_folder / "alice" / "0.wav")
    assert len(list(voices)) == len(converter.voices) - 2  # no RuntimeError


def test_a_run_that_was_changed_meanwhile_is_not_saved_over(run_folder: Path, voices_folder: Path) -> None:
    first, second = vczoo.load(run_folder), vczoo.load(run_folder)
    first.enroll("dora", voices_folder / "alice" / "0.wav")
    first.save(run_folder, overwrite=True)
    first.save(run_folder, overwrite=True)
    second.enroll("eve", voices_folder / "bob" / "0.wav")
    with pytest.raises(RunError, match="was changed after it was loaded"):
        second.save(run_folder, overwrite=True)
    assert "dora" in vczoo.load(run_folder).voices


def test_a_bad_recording_adds_no_voice(tmp_path: Path, converter: vczoo.Converter, voices_folder: Path) -> None:
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioError, match=r"empty.wav: the file is empty"):
        converter.enroll("eve", [voices_folder / "alice" / "0.wav", tmp_path / "empty.wav"])
    with pytest.raises(VoiceError, match="at least one recording"):
        converter.enroll("eve", [])
    assert "eve" not in converter.voices


def test_an_unknown_voice_gets_its_nearest(converter: vczoo.Converter, voices_folder: Path) -> None:
    with pytest.raises(VoiceError, match="no voice is called 'alicia'; did you mean 'alice'"):
        converter.convert(voices_folder / "bob" / "0.wav", "alicia")


def test_a_recording_is_a_voice_for_one_conversion(
    converter: vczoo.Converter, voices_folder: Path, made_run: Path
) -> None:
    source, reference = voices_folder / "bob" / "0.wav", voices_folder / "carol" / "2.wav"
    enrolled = vczoo.load(made_run)
    enrolled.enroll("dora", reference)
    expected = enrolled.convert(source, "dora").samples
    made = converter.convert(source, voice=reference)
    assert torch.equal(made.samples, expected)
    assert made.mark is not None
    assert made.mark.voice == "2.wav"
    assert converter.voices == ("alice", "bob", "carol")
    blocks = Waveform.read(source).samples[0].split(4000)
    assert len(list(converter.stream(blocks, reference))) == len(list(converter.stream(blocks, "alice")))


def test_the_whole_share_of_a_mix_is_the_voice_itself(converter: vczoo.Converter, voices_folder: Path) -> None:
    source = voices_folder / "carol" / "1.wav"
    alone = converter.convert(source, "alice").samples
    assert torch.equal(converter.convert(source, "alice:1").samples, alone)
    assert torch.equal(converter.convert(source, {"alice": 1.0}).samples, alone)


def test_the_pitch_of_a_mix_lies_between_by_its_shares(converter: vczoo.Converter, voices_folder: Path) -> None:
    source = Waveform.read(voices_folder / "carol" / "1.wav")
    alice, bob = (float(converter.run.voices[name].tensors["pitch"]) for name in ("alice", "bob"))
    own = float(mean_log_hz(converter.model.pitch(source)))
    semitones = 12 * (0.25 * alice + 0.75 * bob - own) / math.log(2)
    mix = {"alice": 0.25, "bob": 0.75}
    by_hand = converter.convert(source, mix, semitones=semitones).samples
    torch.testing.assert_close(converter.convert(source, mix).samples, by_hand, rtol=0, atol=5e-3)
    assert not torch.allclose(converter.convert(source, mix, semitones=0).samples, by_hand, atol=2e-2)


@pytest.mark.parametrize("head", ["{use: knn}", "{use: linear, width: 8, blocks: 1}"])
def test_heads_without_an_embedding_mix_too(voices_folder: Path, small: tuple[str, ...], head: str) -> None:
    plain = [setting for setting in small if not setting.startswith("heads.voice")]
    converter = vczoo.load("demo", [*plain, f"heads.voice={head}"])
    for name in ("alice", "bob"):
        converter.enroll(name, sorted((voices_folder / name).iterdir()))
    source = Waveform.read(voices_folder / "carol" / "1.wav")
    alone = [converter.convert(source, name, semitones=0).samples for name in ("alice", "bob")]
    mixed = converter.convert(source, "alice:0.5,bob:0.5", semitones=0).samples
    assert mixed.shape == source.samples.shape
    assert all(not torch.equal(mixed, one) for one in alone)
    assert torch.equal(converter.convert(source, {"alice": 1.0}, semitones=0).samples, alone[0])


def test_the_shares_of_a_mix_add_up_to_one(converter: vczoo.Converter, voices_folder: Path) -> None:
    with pytest.raises(VoiceError, match=r"add up to 1, got alice:0\.7, bob:0\.7, which add up to 1\.4"):
        converter.convert(voices_folder / "carol" / "1.wav", "alice:0.7,bob:0.7")


def test_a_recipe_loads_with_fresh_heads_and_no_voice(voices_folder: Path, small: tuple[str, ...]) -> None:
    converter = vczoo.load("demo", small)
    assert converter.voices == ()
    with pytest.raises(VoiceError, match="no voice yet"):
        converter.convert(voices_folder / "bob" / "0.wav", "alice")
    embedding = converter.embed(voices_folder / "bob" / "0.wav")
    assert embedding.shape == (16,)
    assert float(embedding.norm()) == pytest.approx(1.0, abs=1e-5)


def test_names_mean_one_thing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_folder: Path, small: tuple[str, ...]
) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'demo'"):
        vczoo.load("dmeo")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(vczoo.HubError, match=r"me/alice-and-bob@v1 is not in the cache"):
        vczoo.load("me/alice-and-bob@v1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    run_folder.rename(tmp_path / "runs" / "mine")
    with pytest.raises(UnknownNameError, match=r"write ./runs/mine for the folder"):
        vczoo.load("runs/mine")
    assert vczoo.load("./runs/mine").voices == ("alice", "bob", "carol")
    with pytest.raises(RunError, match=r"^runs/other: no such folder; check the path"):
        vczoo.load("./runs/other")
    with pytest.raises(UnknownNameError, match=r"^runs/other: there is no such folder in runs; .* runs/other@main"):
        vczoo.load("runs/other")
    with pytest.raises(UnknownNameError, match=r"there is no such folder in runs"):
        vczoo.verify("runs/other")
    with pytest.raises(RunError, match=r"^runs/other: no such folder"):
        vczoo.load("runs/other/")
    with pytest.raises(UnknownNameError, match=r"^runs: this folder is not a run, .* the runs in it: runs/mine$"):
        vczoo.load("runs")
    with pytest.raises(RunError, match="a trained run cannot take overrides"):
        vczoo.load("./runs/mine", small)


def test_a_conversion_never_replaces_its_source(
    tmp_path: Path, converter: vczoo.Converter, tone: Callable[..., Path]
) -> None:
    source = tone(tmp_path / "hello.wav")
    (tmp_path / "link.wav").symlink_to(source)
    before = source.read_bytes()
    for out in (source, tmp_path / "link.wav"):
        with pytest.raises(AudioError, match="is the source itself, which the conversion would replace"):
            converter.convert_file(source, out, "bob", overwrite=True)
    assert source.read_bytes() == before


def test_save_refuses_a_path_that_exists(tmp_path: Path, converter: vczoo.Converter) -> None:
    (tmp_path / "notes").mkdir()
    with pytest.raises(RunError, match="exists"):
        converter.save(tmp_path / "notes", overwrite=True)  # it is no run, so it is not ours to overwrite
    assert list((tmp_path / "notes").iterdir()) == []
