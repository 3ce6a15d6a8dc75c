"""The folder of a Hugging Face Space, written and started."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
import yaml
from packaging.requirements import Requirement

import vczoo
from vczoo.errors import VczooError
from vczoo.ui.space import write_space


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_space(tmp_path_factory.mktemp("spaces") / "space")


def test_the_settings_and_requirements_are_those_of_a_gradio_space(space: Path) -> None:
    front = yaml.safe_load((space / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    lines = (space / "requirements.txt").read_text().splitlines()
    requirements = {
        requirement.name: requirement for line in lines if line[0] != "-" for requirement in [Requirement(line)]
    }
    assert requirements["vczoo"].extras == {"ui"}
    assert requirements["gradio"].specifier.contains(front["sdk_version"])
    assert [vczoo.Waveform.read(path).seconds > 1 for path in (space / "examples").iterdir()] == [True, True]
    assert len(front["short_description"]) <= 60


def test_it_runs(space: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "TMPDIR": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=space, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(1800):
            if "serving at" in (tmp_path / "log").read_text() or process.poll() is not None:
                break
            time.sleep(0.1)
        assert process.poll() is None, (tmp_path / "log").read_text()
        page = f"http://127.0.0.1:{port}"
        config = httpx2.get(f"{page}/config").json()
        labels = {component["props"].get("label") for component in config["components"]}
        assert {"Recording to convert", "Recordings to try"} <= labels
        assert not labels & {"Published run", "Epochs"}
        samples = re.findall(r"/[^\"]+sentence-1\.wav", str(config))
        assert samples
        assert httpx2.get(f"{page}/gradio_api/file={space / 'app.py'}").status_code == 403
    finally:
        process.kill()
        process.wait(60)


def test_only_published_runs_are_for_everybody(tmp_path: Path, trained_folder: Path) -> None:
    with pytest.raises(VczooError, match="publish the run first"):
        write_space(tmp_path / "space", [str(trained_folder)])
    assert not (tmp_path / "space").exists()
    text = (write_space(tmp_path / "space", ["me/alice"]) / "app.py").read_text()
    assert "RUNS = ['me/alice']" in text
    with pytest.raises(VczooError, match="exists"):
        write_space(tmp_path / "space")
