"""What a user gets from `pip install vczoo`: the newest releases that the wheel allows, in an empty environment."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest

import vczoo

ROOT = Path(vczoo.__file__).parents[1]
NO_REGISTRY = ("dns error", "error sending request", "Connection refused", "Network is unreachable", "timed out")


def run(*command: object, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VCZOO_PLUGINS")}
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, cwd=cwd, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.network
def test_a_wheel_without_constraints_lists_and_converts(tmp_path: Path) -> None:
    pytest.importorskip("uv")
    pytest.importorskip("hatchling")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "wheels", cwd=ROOT)
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    run(sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, "env", cwd=tmp_path)
    scripts = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin")
    install = [sys.executable, "-m", "uv", "pip", "install", "--python", scripts / "python", wheel]
    done = subprocess.run([str(part) for part in install], capture_output=True, text=True, check=False, cwd=tmp_path)
    if done.returncode and any(sign in done.stderr for sign in NO_REGISTRY):
        pytest.skip(f"no package registry can be reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr

    with wave.open(str(tmp_path / "noise.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(range(256)) * 125)  # a second
    command = scripts / "vczoo"
    assert "base-partialfreeze" in run(command, "list", cwd=tmp_path)
    run(command, "convert", "base", "noise.wav", "--voice", "woman-1", "--out", "converted.wav", cwd=tmp_path)
    assert vczoo.Waveform.read(tmp_path / "converted.wav").seconds == pytest.approx(1, abs=0.05)
