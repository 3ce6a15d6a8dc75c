"""Long recordings: what is made of pieces is what is made of the whole, and memory holds one piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import vczoo
from vczoo.audio.pitch import mean_log_hz
from vczoo.audio.waveform import Waveform
from vczoo.conversion import chunked as piecewise
from vczoo.conversion.chunked import Blocks, ChunkedConversion, estimate_pitch_statistics, file_plan, frame_grid
from vczoo.conversion.chunking import Chunker
from vczoo.errors import AudioError, VoiceError

SHORT = {"BLOCK": 1.6, "HISTORY": 0.96, "LOOKAHEAD": 0.8, "SEARCH": 0.4}


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 3 s where users get 30 s."""
    for name, seconds in SHORT.items():
        monkeypatch.setattr(piecewise, f"{name}_SECONDS", seconds)
    monkeypatch.setattr("vczoo.conversion.converted_blocks.WHOLE_SECONDS", 3.0)


@pytest.fixture(scope="module")
def source(voices_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven seconds of two speakers with short pauses."""
    parts = []
    for file in [*sorted((voices_folder / "alice").iterdir()), *sorted((voices_folder / "carol").iterdir())]:
        parts += [soundfile.read(file)[0], 0.001 * np.random.default_rng(0).standard_normal(1600)]
    path = tmp_path_factory.mktemp("long") / "long.wav"
    soundfile.write(path, np.concatenate(parts), 16000)
    assert soundfile.info(path).duration > 10
    return path


@pytest.fixture(scope="module")
def converter(made_run: Path) -> vczoo.Converter:
    return vczoo.load(made_run)


@pytest.fixture(scope="module")
def local(voices_folder: Path) -> vczoo.Converter:
    """A converter whose head keeps no statistics of a recording."""
    settings = ["backbone.width=16", "backbone.blocks=1", "heads.speaker=null", "vocoder.iterations=8"]
    made = vczoo.load("demo", [*settings, "heads.voice={use: knn, centre: false}"])
    made.enroll("bob", sorted((voices_folder / "bob").iterdir()))
    return made


@torch.inference_mode()
def test_the_frames_of_pieces_are_those_of_the_whole(local: vczoo.Converter, source: Path) -> None:
    model, wave = local.model, Waveform.read(source)
    voices = [(local.run.voices["bob"].tensors, 1.0)]
    whole = model.say(model.content(wave), model.pitch(wave), voices, 0.0).values[0]
    plan, compared = file_plan(model), 0
    cutter = Chunker(plan)
    for piece in [*cutter.push(wave.samples[0]), *cutter.finish()]:
        part = Waveform.of(piece.samples, 16000)
        frames = model.say(model.content(part), model.pitch(part), voices, 0.0).values[0]
        context = 40 if piece.start else 0  # frames at a cut: the mel's window, and what the network sees beyond
        kept = frames[context : None if piece.last else -40]
        first = piece.start // 160 + context
        torch.testing.assert_close(kept, whole[first : first + len(kept)], rtol=0, atol=1e-4)
        compared += len(kept)
    assert compared > len(whole)


def test_a_waveform_and_a_file_and_the_disk_get_the_same(
    converter: vczoo.Converter, source: Path, tmp_path: Path
) -> None:
    made = converter.convert(source, "bob")
    torch.testing.assert_close(converter.convert(Waveform.read(source), "bob").samples, made.samples)
    seen: list[float] = []
    seconds = converter.convert_file(source, tmp_path / "made.wav", "bob", watch=seen.append)
    assert seconds == pytest.approx(made.seconds)
    assert len(seen) > 3
    assert seen == sorted(seen)
    written = Waveform.read(tmp_path / "made.wav")
    torch.testing.assert_close(written.samples, made.samples.clamp(-1, 1), rtol=0, atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["made.wav"]


def test_a_short_file_is_converted_as_ever(converter: vczoo.Converter, voices_folder: Path, tmp_path: Path) -> None:
    source = voices_folder / "alice" / "0.wav"
    converter.convert_file(source, tmp_path / "made.flac", "bob", semitones=2)
    made = converter.convert(source, "bob", semitones=2)
    torch.testing.assert_close(
        Waveform.read(tmp_path / "made.flac").samples, made.samples.clamp(-1, 1), rtol=0, atol=1e-4
    )


def test_a_source_of_another_rate(local: vczoo.Converter, source: Path, tmp_path: Path) -> None:
    wave = Waveform.read(source, 44100)
    wave.save(tmp_path / "other.wav")
    made = local.convert(tmp_path / "other.wav", "bob", semitones=0)
    assert made.samples.shape[1] == Waveform.read(tmp_path / "other.wav", 16000).samples.shape[1]
    torch.testing.assert_close(
        made.samples, local.convert(Waveform.read(tmp_path / "other.wav"), "bob", semitones=0).samples
    )


@pytest.mark.parametrize("tracked", [True, False])
def test_no_more_than_a_piece_is_in_memory(
    converter: vczoo.Converter, source: Path, monkeypatch: pytest.MonkeyPatch, tracked: bool
) -> None:
    model = converter.model
    plan, lengths, kept = file_plan(model), [], []
    hear, add = model.content, piecewise.CrossfadeJoiner.add

    def recorded_content(wave: Waveform) -> object:
        lengths.append(wave.samples.shape[1])
        return hear(wave)

    def recorded_add(self: piecewise.CrossfadeJoiner, *positional: object, **named: object) -> object:
        ready = add(self, *positional, **named)  # type: ignore[arg-type]
        kept.append(len(self._joined))
        return ready

    monkeypatch.setattr(model, "content", recorded_content)
    monkeypatch.setattr(piecewise.CrossfadeJoiner, "add", recorded_add)
    converter.convert(source, "bob", semitones=None if tracked else 0)
    assert len(lengths) >= 5
    assert max(lengths) <= plan.longest
    assert max(kept) <= plan.history + plan.lookahead + plan.lag


def test_pitch_is_moved_by_the_mean_of_the_whole(converter: vczoo.Converter, source: Path) -> None:
    model, wave = converter.model, Waveform.read(source)
    found = estimate_pitch_statistics(model, Blocks(wave, 16000), pitch=True)
    assert found == pytest.approx(float(mean_log_hz(model.pitch(wave))), abs=0.005)
    assert np.isnan(estimate_pitch_statistics(model, Blocks(wave, 16000), pitch=False))


def test_a_fault_near_the_end_is_found_before_anything_is_written(
    converter: vczoo.Converter, source: Path, tmp_path: Path
) -> None:
    samples, _ = soundfile.read(source, dtype="float32")
    samples[-5] = np.inf
    soundfile.write(tmp_path / "bad.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match=rf"bad\.wav: 1 of {len(samples)} samples are NaN"):
        converter.convert_file(tmp_path / "bad.wav", tmp_path / "made.wav", "bob")
    with pytest.raises(AudioError, match="exists"):
        converter.convert_file(source, tmp_path / "bad.wav", "bob")
    with pytest.raises(AudioError, match=r"cannot write \.txt"):
        converter.convert_file(source, tmp_path / "made.txt", "bob")
    one = Waveform.read(source)
    with pytest.raises(AudioError, match=r"got a batch of 2; use wave\[i\]"):
        converter.convert(Waveform.batch([one, one]), "bob")
    with pytest.raises(VoiceError, match="did you mean 'bob'"):
        converter.convert_file(source, tmp_path / "made.wav", "bo")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.wav"]


def test_what_stops_it_leaves_no_half_file(converter: vczoo.Converter, source: Path, tmp_path: Path) -> None:
    def stop(seconds: float) -> None:
        if seconds > 4:
            raise KeyboardInterrupt

    (tmp_path / "made.wav").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        converter.convert_file(source, tmp_path / "made.wav", "bob", overwrite=True, watch=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["made.wav"]
    assert (tmp_path / "made.wav").read_bytes() == b"old"


def test_pieces_begin_where_frames_do(local: vczoo.Converter) -> None:
    model = local.model
    assert frame_grid(model) == 320  # frames of content every 320 samples, of mel every 160
    other = vczoo.load("demo", ["vocoder.sample_rate_hz=24000", "vocoder.hop_length=256"]).model
    assert frame_grid(other) == 3840  # 480 of content at 24 kHz
    rare = vczoo.load("demo", ["vocoder.sample_rate_hz=22050", "vocoder.hop_length=256"]).model
    assert frame_grid(rare) == 256


def test_a_voice_goes_to_the_device_once(converter: vczoo.Converter) -> None:
    model, tensors = converter.model, converter.run.voices["bob"].tensors
    conversion = ChunkedConversion(model, [(tensors, 1.0)], file_plan(model), shift=0.0, device="meta")
    ((moved, share),) = conversion.voices
    assert share == 1.0
    assert {name: tensor.device.type for name, tensor in moved.items()} == dict.fromkeys(tensors, "meta")
