"""A run's folder made by somebody hostile: loading it runs nothing, writes nothing and ends in one clear error."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import vczoo
from tests.support.hostile import NAMES, as_yaml, listing, outcome, tensor_file
from vczoo.errors import RecipeError, RunError, VczooError, VoiceError, WeightsError
from vczoo.hub.verify import verify
from vczoo.io.files import open_file
from vczoo.runs.config import parse_config
from vczoo.runs.run_folder import load_run
from vczoo.runs.voices_file import read_voices

ODD = "/\\\n\0\x1b\u202e\ufeff\U000e0041"
FILES = ("vczoo.yaml", "model.safetensors", "voices.safetensors", "metrics.json")


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = yaml.safe_load((folder / "vczoo.yaml").read_text())
    change(values)
    (folder / "vczoo.yaml").write_text(as_yaml(values))


# The configuration.


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\nseed: 0\n", "\nseed: 0\nhook: x\n", "hook: unknown field"),
        ("use: mel-conv", "use: os.system", "no backbone is called 'os.system'"),
        ("use: mel-conv", "use: vczoo.cli.app:main", "no backbone is called 'vczoo.cli.app:main'"),
        ("use: mel-conv", "use: ../../evil", "no backbone is called '../../evil'"),
        ("use: mel-conv", "use: !!python/object/apply:os.system [touch was-here]", "a tag"),
        ("use: mel-conv", "use: !!python/name:os.system", "a tag"),
        ("use: mel-conv", "use: " + "x" * 1_000_000, "no backbone is called 'xxx"),
        ("seed: 0\nten", "seed: .nan\nten", "seed: Input should be a valid integer"),
        ("seed: 0\nten", "seed: 1" + "0" * 90 + "\nten", "seed: "),
        ("seed: 0\nten", "seed: 1" + ":1" * 1_000_000 + "\nten", "a number of 2000001 characters"),
        ("seed: 0\nten", "seed: -1\nten", "seed: Input should be greater than or equal to 0"),
        ("seed: 0\nten", "seed: 0\nseed: 0\nten", "key 'seed' appears twice"),
        (
            "seed: 0\nten",
            "seed: 0\n? " + "k" * 1000 + "\n: 1\nten",
            "has unprintable characters or more than 500 characters",
        ),
        ("seed: 0\nten", 'seed: 0\n"\\e[2J": 1\nten', r"key '\x1b[2J' has unprintable characters"),
        ("licence: ''", "licence: [1]", "licence: Input should be a valid string"),
        ("files:\n", "files:\n  ../../x.safetensors: " + "0" * 64 + "\n", "files.../../x.safetensors"),
        ("files:\n", "files:\n  /etc/passwd: " + "0" * 64 + "\n", "files./etc/passwd"),
        ("- alice", "- ../alice", "the name "),
        ("- alice", "- '..'", "the name "),
        ("- alice", "- a\\b", "the name "),
        ("- alice", '- "\\ud800"', "not YAML"),
        ("- alice", "- bob", "the names must all be different"),
        ("    speaker:", "    ../speaker:", "head '../speaker': a name is letters"),
        ("    speaker:", "    __class__:", "torch modules already have an attribute '__class__'"),
    ],
)
def test_a_hostile_configuration_is_refused(run_folder: Path, old: str, new: str, message: str) -> None:
    text = (run_folder / "vczoo.yaml").read_text()
    assert old in text
    (run_folder / "vczoo.yaml").write_text(text.replace(old, new, 1))
    before = listing(run_folder)
    told = outcome(lambda: load_run(run_folder, foreign=True))
    assert message in told
    assert len(told) < 5000
    assert listing(run_folder) == before


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "an alias"),
        ("a: " + "[" * 100_000, "nested deeper than 50 levels"),
        ("a: [" + "[], " * 900_000 + "]", "more than 200000 values"),
        ("".join(f"k{number}: 1\n" for number in range(200_000)), "more than 200000 values"),
        ("a: " + "x" * 4_000_000, "4000003 characters, but the limit is 4000000"),
        ("\x00", "not YAML"),
        ("\ufeff", "got NoneType"),
        ("- a", "got list"),
    ],
    ids=["billion laughs", "deep", "wide", "keys", "long", "NUL", "BOM", "list"],
)
def test_what_would_grow_is_refused_before_it_does(text: str, message: str) -> None:
    with pytest.raises(VczooError, match=message):
        parse_config(text, "here")


def test_bytes_that_are_no_text_are_refused(run_folder: Path) -> None:
    (run_folder / "vczoo.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(RunError, match="cannot be read"):
        load_run(run_folder)
    with (run_folder / "vczoo.yaml").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(RunError, match="the limit for a run's configuration"):
        load_run(run_folder)


def test_a_recipe_with_a_thousand_faults_ends_in_one_message_of_bounded_length() -> None:
    error = RecipeError("n" * 1000, [f"{number} " + "x" * 10_000 for number in range(1000)])
    assert len(error.faults) == 1000
    assert "has 1000 faults" in str(error)
    assert str(error).endswith("and 950 more")
    assert len(str(error)) < 110_000


# Files in the place of others.


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def itself(path: Path) -> None:
    path.symlink_to(path)


def nowhere(path: Path) -> None:
    path.symlink_to("/nowhere")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("put", [pipe, folder, endless, itself, nowhere])
def test_what_is_no_file_is_not_read(run_folder: Path, name: str, put: Callable[[Path], None]) -> None:
    (run_folder / name).unlink()
    put(run_folder / name)
    with pytest.raises(RunError, match=r"no run is here|cannot be read|damaged"):
        load_run(run_folder)
    with pytest.raises(OSError, match=r"not a regular file|No such file|symbolic links"):
        open_file(run_folder / name)
    assert "failed" in {check.state for check in verify(run_folder)}


def test_a_file_without_the_right_to_read_it(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("vczoo.io.files.os.open", refuse)
    with pytest.raises(RunError, match="Permission denied"):
        load_run(run_folder)


def test_links_out_of_a_folder_are_not_published(run_folder: Path, tmp_path: Path) -> None:
    from vczoo.hub.push import _evaluation, _plots

    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "metrics.json").write_text('{"setup": {"trials": "secret"}}')
    run = load_run(run_folder)
    assert set(_plots(run)) == {"curves.png"}
    (run_folder / "curves.png").unlink()
    (run_folder / "curves.png").symlink_to(tmp_path / "secret" / "metrics.json")
    (run_folder / "evaluation").symlink_to(tmp_path / "secret")
    assert _plots(run) == {}
    assert _evaluation(run) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Expecting value"),
        (b"[]", "contains a list"),
        (b"nul", "Expecting value"),
        (b"[" * 1_000_000, "too deeply nested"),
        (b'{"a": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
        (b"\xff", "codec can't decode"),
        (b'"' + b"x" * 16_000_000 + b'"', "larger than 16000000 bytes"),
        (b'{"loss": NaN}', "metrics.json does not match its checksum in vczoo.yaml"),
    ],
)
def test_figures_that_are_none(run_folder: Path, content: bytes, message: str) -> None:
    (run_folder / "metrics.json").write_bytes(content)
    with pytest.raises(RunError, match=message):
        load_run(run_folder)


# The base.


def test_a_run_cannot_leave_tensors_to_a_base_that_there_is_not(run_folder: Path) -> None:
    """It would be built for real, and be as large as its options say, before anything is compared."""
    stages = {"backbone": {"stages": {"stem": "0" * 64}}}
    rewrite(run_folder, lambda values: values.update(base=stages))
    rewrite(run_folder, lambda values: values["recipe"]["backbone"].update(width=40_000))
    with pytest.raises(RunError, match="from the pretrained base of its backbone, but the recipe names no"):
        load_run(run_folder, foreign=True)


def test_a_model_beyond_all_memory_is_refused_before_its_file_is_read(run_folder: Path) -> None:
    """With a file to match, of no bytes on the disk, 10^12 values would be read."""
    rewrite(run_folder, lambda values: values["recipe"]["backbone"].update(width=600_000))
    with pytest.raises(RunError, match=r"its tensors take \d+ GiB; vczoo loads at most 32 GiB"):
        load_run(run_folder, foreign=True)


# Voices.


def test_ten_thousand_voices_load(run_folder: Path) -> None:
    tensors = load_file(run_folder / "voices.safetensors")
    own = {key.removeprefix("alice/"): tensor for key, tensor in tensors.items() if key.startswith("alice/")}
    names = [f"voice {number}" for number in range(10_000)]
    crowd = {f"{name}/{key}": tensor.clone() for name in names for key, tensor in own.items()}
    save_file(crowd, run_folder / "voices.safetensors")
    digest = hashlib.sha256((run_folder / "voices.safetensors").read_bytes()).hexdigest()
    rewrite(run_folder, lambda values: values.update(voices=names))
    rewrite(run_folder, lambda values: values["files"].update({"voices.safetensors": digest}))
    run = load_run(run_folder, foreign=True)
    assert tuple(run.voices) == tuple(names)
    assert torch.equal(run.voices["voice 9999"].tensors["pitch"], own["pitch"])


def test_a_million_voices_are_refused(run_folder: Path) -> None:
    rewrite(run_folder, lambda values: values.update(voices=[f"v{number}" for number in range(300_000)]))
    with pytest.raises(VczooError, match="more than 200000 values"):
        load_run(run_folder)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.strip(" .") or not set(name).isdisjoint(ODD)])
def test_names_of_voices_that_are_none(run_folder: Path, name: str) -> None:
    rewrite(run_folder, lambda values: values["voices"].append(name))
    with pytest.raises(VczooError, match=r"voices\.3: the name|not YAML"):
        load_run(run_folder)


def without(tensors: dict[str, torch.Tensor]) -> None:
    for key in [key for key in tensors if key.startswith("alice/")]:
        del tensors[key]


def of_no_frames(tensors: dict[str, torch.Tensor]) -> None:
    tensors["alice/voice.keys"] = torch.zeros(0, 16)


def of_integers(tensors: dict[str, torch.Tensor]) -> None:
    tensors["alice/pitch"] = torch.zeros(1, dtype=torch.int64)


@pytest.fixture(scope="module")
def knn(voices_folder: Path, small: tuple[str, ...]) -> vczoo.Converter:
    plain = [setting for setting in small if not setting.startswith("heads.voice")]
    converter = vczoo.load("demo", [*plain, "heads.voice.use=knn"])
    converter.enroll("alice", voices_folder / "alice" / "0.wav")
    return converter


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without, "voice 'alice': missing"),
        (of_no_frames, r"voice.keys has shape \(0, 16\)"),
        (of_integers, "pitch has dtype torch.int64, expected torch.float32"),
    ],
)
def test_voices_that_are_none(
    knn: vczoo.Converter, tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], None], message: str
) -> None:
    knn.save(tmp_path / "run")
    tensors = load_file(tmp_path / "run" / "voices.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "run" / "voices.safetensors")
    with pytest.raises(RunError, match=message):
        load_run(tmp_path / "run")


def test_a_voice_whose_frames_do_not_fit_each_other(knn: vczoo.Converter, voices_folder: Path) -> None:
    voice = dict(knn.run.voices["alice"].tensors)
    voice["voice.keys"] = torch.zeros(3, 16)
    knn.run.voices["broken"] = vczoo.Voice("broken", voice)
    with pytest.raises(VoiceError, match="this voice is damaged: 3 content frames but"):
        knn.convert(voices_folder / "bob" / "0.wav", "broken")


def test_voices_of_too_many_bytes_are_not_read(knn: vczoo.Converter, tmp_path: Path) -> None:
    """A file of 5 GB that takes none on the disk."""
    header = {"alice/voice.keys": {"dtype": "F32", "shape": [1_250_000_000], "data_offsets": [0, 5_000_000_000]}}
    path = tmp_path / "voices.safetensors"
    path.write_bytes(tensor_file(header))
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size + 5_000_000_000)
    with pytest.raises(WeightsError, match="the voices take 5000000000 bytes; vczoo reads at most 4000000000"):
        read_voices(path, ["alice"], knn.model)
