"""Watermarks: what a plugin registers is embedded and found again, by name, and checked as other parts are."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import vczoo
from vczoo import ContractError, FolderError, UnknownNameError, VczooError, Waveform
from vczoo.cli.app import main
from vczoo.conversion.watermark import detect_watermark, embed_watermark, load_watermark
from vczoo.registry.zoo import the_zoo
from vczoo.testing import check_entry, check_watermark

# A plugin as it is installed: an entry point, entries, and a watermark that adds a noise which it knows, 22 dB down.
PLUGIN = {
    "vczoo_spread-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: vczoo-spread\nVersion: 1.0\n",
    "vczoo_spread-1.0.dist-info/entry_points.txt": "[vczoo]\nspread = vczoo_spread\n",
    "vczoo_spread.py": """
import vczoo

@vczoo.hookimpl
def vczoo_entries():
    noise, wrong = "known noise, 22 dB below", "gives half of what it is given"
    return [
        vczoo.Entry("spread/noise", "watermark", "vczoo_spread_part:Spread", noise, "Apache-2.0", source="here"),
        vczoo.Entry("spread/half", "watermark", "vczoo_spread_part:Half", wrong, "Apache-2.0", source="here"),
        vczoo.Entry("spread/none", "watermark", "fractions:Fraction", "is none", "Apache-2.0", source="here"),
    ]
""",
    "vczoo_spread_part.py": """
import math
import torch
from vczoo import Watermark, Waveform

def known(count):
    return torch.randn(count, generator=torch.Generator().manual_seed(7))

class Spread(Watermark):
    def __init__(self, gain: float = 0.08):
        super().__init__()
        self.gain = gain

    def embed(self, wave):
        samples = wave.samples[0]
        loud = samples.square().mean().sqrt()
        noise = known(len(samples))
        noise = noise / noise.square().mean().sqrt()
        return Waveform.of(samples + self.gain * loud * noise, wave.sample_rate_hz)

    def detect(self, wave):
        samples = wave.samples[0]
        noise = known(len(samples))
        scale = float(samples.norm() * noise.norm()) or 1.0
        score = float(samples @ noise) / scale * math.sqrt(len(samples))  # normal where there is no watermark
        return 1 / (1 + math.exp(4.0 - score)) if score > -100 else 0.0

class Half(Spread):
    def embed(self, wave):
        return Waveform.of(wave.samples[0, : wave.samples.shape[1] // 2], wave.sample_rate_hz)
""",
}
NAME = "spread/noise"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    place = tmp_path / "site"
    for name, text in PLUGIN.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    monkeypatch.syspath_prepend(place)
    the_zoo.cache_clear()
    yield
    the_zoo.cache_clear()
    for module in ("vczoo_spread", "vczoo_spread_part"):
        sys.modules.pop(module, None)


@pytest.fixture(scope="module")
def source(voices_folder: Path) -> Path:
    return voices_folder / "alice" / "0.wav"


@pytest.fixture
def converter(plugin: None, made_run: Path) -> vczoo.Converter:
    return vczoo.load(made_run)


def found(path: Path) -> float:
    return detect_watermark(load_watermark(NAME), Waveform.read(path))


def test_what_is_converted_carries_it_if_asked_for(converter: vczoo.Converter, source: Path, tmp_path: Path) -> None:
    plain = converter.convert(source, "bob")
    marked = converter.convert(source, "bob", watermark=NAME)
    assert marked.mark == plain.mark is not None
    assert marked.samples.shape == plain.samples.shape
    apart_db = 10 * math.log10(float((marked.samples - plain.samples).square().mean() / plain.samples.square().mean()))
    assert apart_db == pytest.approx(-21.9, abs=0.1)
    assert found(plain.save(tmp_path / "plain.wav")) < 0.5 < found(marked.save(tmp_path / "marked.wav"))
    converter.convert_file(source, tmp_path / "file.wav", "bob", watermark=NAME)
    assert (tmp_path / "file.wav").read_bytes() == (tmp_path / "marked.wav").read_bytes()


def test_a_long_recording_carries_it(converter: vczoo.Converter, source: Path, tmp_path: Path) -> None:
    samples = Waveform.read(source).samples[0]
    long = Waveform.of(samples.repeat(31 * 16000 // len(samples) + 1), 16000)
    for watermark, expected in ((NAME, True), ("", False)):
        path = tmp_path / f"{expected}.flac"
        converter.convert_file(long, path, "bob", watermark=watermark)
        assert (found(path) > 0.5) == expected
    whole = converter.convert(long, "bob", watermark=NAME).samples
    assert whole.shape == long.samples.shape
    assert float((whole.clamp(-1, 1) - Waveform.read(tmp_path / "True.flac").samples).abs().max()) < 1e-4


def test_an_unknown_one_is_refused_before_any_work(converter: vczoo.Converter, source: Path, tmp_path: Path) -> None:
    with pytest.raises(VczooError, match="no watermark is called 'spread/nois'; did you mean 'spread/noise'"):
        converter.convert(source, "bob", watermark="spread/nois")
    with pytest.raises(UnknownNameError, match="no watermark is called"):
        vczoo.convert_folder(converter, source.parent, tmp_path / "out", "bob", watermark="noise")
    assert not (tmp_path / "out").exists()


def test_one_that_breaks_its_promise_is_named(converter: vczoo.Converter, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"Half\.embed returned .* expected"):
        converter.convert_file(source, tmp_path / "a.wav", "bob", watermark="spread/half")
    assert not (tmp_path / "a.wav").exists()
    with pytest.raises(ContractError, match="'spread/none' built a Fraction"):
        load_watermark("spread/none")
    with pytest.raises(FolderError, match=r"Half\.embed returned"):
        vczoo.convert_folder(converter, source.parent, tmp_path / "out", "bob", watermark="spread/half")


def test_embedding_keeps_the_mark_and_passes_over_nothing(plugin: None) -> None:
    mark = vczoo.Mark("demo", {"alice": 1.0})
    wave = Waveform(0.1 * torch.randn(1, 800), 16000, torch.tensor([800]), mark)
    part = load_watermark(NAME)
    made = embed_watermark(part, wave)
    assert made.mark == mark
    assert not torch.equal(made.samples, wave.samples)
    empty = Waveform.of(torch.zeros(0), 16000)
    assert embed_watermark(part, empty) is empty


def test_of_a_long_recording_a_part_is_enough(plugin: None) -> None:
    part = load_watermark(NAME)
    torch.manual_seed(0)
    clean = Waveform.of(0.1 * torch.randn(60 * 8000), 8000)
    second = embed_watermark(part, clean.parts()[1])
    spliced = Waveform.of(torch.cat([clean.samples[0, : 30 * 8000], second.samples[0]]), 8000)
    assert detect_watermark(part, clean) < 0.5 < detect_watermark(part, spliced)


def entry(name: str) -> vczoo.Entry:
    return the_zoo().find("watermark", name)[0]


def test_it_is_checked_as_other_parts_are(plugin: None) -> None:
    check_entry(entry(NAME))
    with pytest.raises(ContractError, match=r"spread/half.*must keep its shape"):
        check_entry(entry("spread/half"))
    with pytest.raises(ContractError, match="the part must be a Watermark, got Fraction"):
        check_entry(entry("spread/none"))
    with pytest.raises(ContractError, match="20 dB below the recording, got 14"):
        check_entry(entry(NAME), gain=0.2)
    with pytest.raises(ContractError, match=r"`detect` must return 0\.5 or more"):
        check_entry(entry(NAME), gain=0.001)


FAULTS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "must keep its rate": lambda part: {"embed": lambda wave: Waveform.of(wave.samples, 8000)},
    "must be finite": lambda part: {"embed": lambda wave: Waveform.of(wave.samples * math.nan, wave.sample_rate_hz)},
    "must give the same result": lambda part: {
        "embed": lambda wave: Waveform.of(wave.samples * (1 + 0.01 * torch.rand(())), wave.sample_rate_hz)
    },
    "must not change its input": lambda part: {
        "embed": lambda wave: Waveform.of(wave.samples.mul_(0.99), wave.sample_rate_hz)
    },
    "must return a probability": lambda part: {"detect": lambda wave: 2.0},
    "must return 0.5 or more": lambda part: {"detect": lambda wave: 0.7},
}


@pytest.mark.parametrize("promise", FAULTS)
def test_a_broken_promise_is_found(promise: str, plugin: None, monkeypatch: pytest.MonkeyPatch) -> None:
    part = load_watermark(NAME)
    for name, broken in FAULTS[promise](part).items():
        monkeypatch.setattr(type(part), name, lambda self, wave, broken=broken: broken(wave))
    with pytest.raises(ContractError, match=promise):
        check_watermark(part)
    if promise == "must return 0.5 or more":  # random weights are held to the rest alone
        check_watermark(part, trained=False)


def test_the_command_line_lists_embeds_and_finds_it(
    converter: vczoo.Converter,
    source: Path,
    made_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["vczoo", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
        captured = capsys.readouterr()
        return int(done.value.code or 0), captured.out + captured.err

    assert NAME in run("list", "--parts", "watermark")[1]
    made, bare = tmp_path / "made.wav", tmp_path / "bare.wav"
    command = ("convert", made_run, source, "--voice", "bob", "--no-mark", "--out")
    assert run(*command, made, "--watermark", NAME)[1].endswith(f" in the voice of bob, with the watermark {NAME}\n")
    assert run(*command, bare)[1].endswith(" in the voice of bob\n")
    code, told = run("provenance", "--watermark", NAME, made)
    assert (code, "no mark" in told, f"watermark {NAME} with probability " in told) == (0, True, True)
    assert run("provenance", "--watermark", NAME, bare)[0] == 1
    assert run("provenance", made)[0] == 1
    assert run("provenance", made, "--watermark", "none")[0] == 1


def test_without_a_plugin_it_is_said_that_there_is_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vczoo.list_parts("watermark") == []
    monkeypatch.setattr(sys, "argv", ["vczoo", "list", "--parts", "watermark"])
    with pytest.raises(SystemExit):
        main()
    assert "no watermark is installed" in capsys.readouterr().err
    with pytest.raises(VczooError, match=r"no watermark is called 'x'\. Registered: none"):
        load_watermark("x")
