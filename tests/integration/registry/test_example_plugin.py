"""The example plugin of docs/examples, installed from its wheel into a fresh virtual environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import vczoo

ROOT = Path(vczoo.__file__).parents[1]
EXAMPLE = ROOT / "docs" / "examples" / "vczoo-surgical"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a virtual environment `env`, in which vczoo and the example are installed from wheels.

    Their dependencies come from the environment that runs the tests, so nothing is downloaded.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    for source in (ROOT, EXAMPLE):
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "wheels", cwd=source)
    venv.create(folder / "env", symlinks=os.name != "nt")
    python = folder / "env" / "bin" / "python"
    wheels = sorted((folder / "wheels").glob("*.whl"))
    assert len(wheels) == 2
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", *wheels, cwd=folder)
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    # addsitedir also finds editable installations there. Both wheels come first on the path.
    outer = sysconfig.get_path("purelib")
    (site / "outer.pth").write_text(f"import site; site.addsitedir({outer!r})\n", encoding="utf-8")
    return folder


def run(*command: object, cwd: Path, status: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VCZOO_PLUGINS")}
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, cwd=cwd, env=environment
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_it_is_installed_from_its_wheel_beside_a_vczoo_from_its_own(place: Path) -> None:
    python = place / "env" / "bin" / "python"
    plugins = {
        plugin["name"]: plugin for plugin in json.loads(run(python, "-m", "vczoo", "plugins", "--json", cwd=place))
    }
    assert plugins["vczoo"]["path"].startswith(str(place))
    surgical = plugins["surgical"]
    assert (surgical["distribution"], surgical["version"], surgical["state"]) == ("vczoo-surgical", "0.1.0", "loaded")
    assert (surgical["entries"], surgical["recipes"], surgical["editable"]) == (1, 2, False)
    assert surgical["path"].startswith(str(place))


def test_its_recipes_are_listed_as_its_own(place: Path) -> None:
    listed = run(place / "env" / "bin" / "vczoo", "list", "surgical-*", cwd=place)
    demo, vgg16 = (line for line in listed.splitlines() if line.startswith("surgical-"))
    assert "surgical/stages" in demo
    assert "vczoo-surgical" in demo.split()
    assert {"vczoo-surgical", "vczoo-torchvision"} <= set(vgg16.split())  # its distribution, and what else it needs


def test_it_conforms_and_its_own_tests_pass(place: Path) -> None:
    assert "13 checks of 3 entries" in run(
        place / "env" / "bin" / "vczoo", "plugin", "check", "vczoo-surgical", cwd=place
    )
    output = run(place / "env" / "bin" / "python", "-m", "pytest", "-p", "no:cacheprovider", EXAMPLE, cwd=place)
    assert "passed" in output
    assert "conformance: 3 entries, 13 passed" in output


def test_a_voice_is_trained_with_it_and_the_run_says_what_it_needs(place: Path, voices_folder: Path) -> None:
    command = place / "env" / "bin" / "vczoo"
    run(command, "train", "surgical-demo", "--data", voices_folder, "--out", "mine", "training.epochs=1", cwd=place)
    recording = voices_folder / "alice" / "0.wav"
    run(command, "convert", "mine", recording, "--voice", "bob", "--out", "as-bob.wav", cwd=place)
    assert (place / "as-bob.wav").stat().st_size > 1000
    assert "vczoo-surgical" in (place / "mine" / "vczoo.yaml").read_text(encoding="utf-8")
    (epoch,) = (json.loads(line) for line in (place / "mine" / "metrics.jsonl").read_text().splitlines())
    assert epoch["trained_stages"] == 1
    without = run(
        sys.executable,
        "-m",
        "vczoo",
        "convert",
        "mine",
        recording,
        "--voice",
        "bob",
        "--out",
        "no.wav",
        cwd=place,
        status=1,
    )
    assert "this run needs the plugin 'vczoo-surgical' (0.1.0), which is not installed" in without
    assert not (place / "no.wav").exists()


def test_a_stage_that_the_backbone_does_not_have_is_found_before_anything_is_trained(place: Path) -> None:
    output = run(
        place / "env" / "bin" / "vczoo", "check", "surgical-demo", "freezing.stages=[0,9]", cwd=place, status=1
    )
    assert "freezing: the backbone has 4 stages, 0 to 3" in output
    assert "none that is 9" in output
