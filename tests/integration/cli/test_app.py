"""The command line, as a person meets it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from vczoo.cli.app import main


def vczoo(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["vczoo", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        main()
    captured = capsys.readouterr()
    return int(done.value.code or 0), captured.out, captured.err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    return lambda *arguments: vczoo(capsys, monkeypatch, *arguments)


def test_list_shows_what_a_recipe_is_made_of_its_licence_and_where_it_is_from(run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("list", "demo*")
    assert code == 0
    row = next(line for line in out.splitlines() if line.startswith("demo "))
    for part in ("mel-conv", "none", "speaker-classifier + mel-decoder", "griffin-lim", "Apache-2.0", "vczoo"):
        assert part in row
    assert run("list", "no-such-*")[0] == 1


def test_list_parts_names_kinds(run) -> None:  # type: ignore[no-untyped-def]
    _, out, _ = run("list", "--parts", "freezing")
    assert {line.split()[0] for line in out.splitlines()[1:]} == {
        "adapters",
        "autofreeze",
        "bitfit",
        "characteristic-specific",
        "discriminative",
        "dora",
        "film-only",
        "full",
        "gradual",
        "ia3",
        "l2-sp",
        "lora",
        "none",
        "norms",
        "partial",
        "probe-then-tune",
        "selected",
        "transformers/lora",
    }
    code, _, err = run("list", "--parts", "heads")
    assert (code, "did you mean 'head'" in err) == (1, True)


def test_listing_imports_no_torch() -> None:
    script = (
        "import sys\nfrom vczoo.cli.app import app\n"
        "for command in (['list'], ['list', '--parts', 'all'], ['plugins']):\n"
        "    app(command, standalone_mode=False)\n"
        "heavy = {'torch', 'timm', 'torchvision', 'torchaudio', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_show_copy_check(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    mine = tmp_path / "mine.yaml"
    assert run("copy", "demo", mine)[0] == 0
    assert run("copy", "demo", mine)[0] == 1  # it exists
    text = mine.read_text()
    for setting in ("#   iterations: 16", "#     dropout: 0.1", "#   warmup: 0.05"):  # defaults that no recipe names
        assert setting in text.splitlines()
    (tmp_path / "all.yaml").write_text(
        text.replace("\n# ", "\n").replace("Every", "# Every").replace("Remove", "# Remove")
    )
    assert run("check", tmp_path / "all.yaml")[0] == 0
    mine.write_text(text + "training:\n  epochs: 7\n")
    _, shown, _ = run("show", mine)
    assert "epochs: 7" in shown
    assert "use: mel-conv" in shown
    assert run("check", mine)[1] == "mine: no problems found\n"
    code, _, err = run("check", mine, "training.epoch=1", "backbone.wdth=3", "freezing.use=parital")
    assert code == 1
    for nearest in ("'training.epochs'", "'width'", "'partial'"):
        assert f"did you mean {nearest}" in err


def test_train_convert_enroll_identify(run, tmp_path: Path, voices_folder: Path, small: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    folder, made = tmp_path / "run", tmp_path / "out" / "made.wav"
    code, out, _ = run("train", "demo", "--data", voices_folder, "--out", folder, *small)
    assert (code, "voices alice, bob, carol" in out) == (0, True)
    source = voices_folder / "alice" / "0.wav"
    assert run("convert", folder, source, "--voice", "bob", "--out", made)[0] == 0
    assert soundfile.info(made).duration == pytest.approx(soundfile.info(source).duration)
    code, _, err = run("convert", folder, source, "--voice", "bob", "--out", made)
    assert (code, "--overwrite" in err) == (1, True)
    assert run("convert", folder, source, "--voice", "carol", "--out", made, "--overwrite")[0] == 0
    assert run("enroll", folder, "dora", voices_folder / "carol" / "0.wav", voices_folder / "carol" / "1.wav")[0] == 0
    _, out, _ = run("identify", folder, voices_folder / "carol" / "2.wav")
    assert {line.split()[0] for line in out.splitlines()[1:]} == {"alice", "bob", "carol", "dora"}
    _, out, _ = run("show", folder)
    assert "dora" in out
    assert "best_epoch" in out


def test_a_mistake_is_one_message_and_status_1(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run("train", "vgg16-partalfreeze", "--data", tmp_path, "--out", tmp_path / "run")
    assert (code, out) == (1, "")
    assert err.startswith("error: no recipe is called 'vgg16-partalfreeze'; did you mean 'vgg16-partialfreeze'")
    assert "Traceback" not in err


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, voices_folder: Path, small: tuple[str, ...]) -> None:
    command = [
        sys.executable,
        "-m",
        "vczoo",
        "train",
        "demo",
        "--data",
        str(voices_folder),
        "--out",
        str(tmp_path / "run"),
    ]
    with subprocess.Popen([*command, *small, "training.epochs=5000"], stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "run" / "metrics.jsonl").exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert "--resume" in err
    assert "Traceback" not in err
    assert (tmp_path / "run" / "checkpoint.safetensors").is_file()
