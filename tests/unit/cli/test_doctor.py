"""`vczoo doctor`: versions, devices, plugins, caches, and what is missing for what."""

from __future__ import annotations

import importlib.util
import json
from importlib import metadata
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command
from vczoo.cli import doctor
from vczoo.io.install_advice import pip_install


@pytest.fixture(autouse=True)
def _caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "deep").mkdir(parents=True)
    (tmp_path / "cache" / "deep" / "shard").write_bytes(bytes(3_000_000))
    (tmp_path / "cache" / "link").symlink_to(tmp_path / "cache" / "deep" / "shard")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "none"))


def test_it_shows_versions_devices_plugins_and_caches(command: Command, tmp_path: Path) -> None:
    code, out, err = command("doctor")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert f"vczoo {metadata.version('vczoo')}" in lines
    assert f"torch {metadata.version('torch')}" in lines
    assert any(line.startswith("cpu ") for line in lines)
    assert f"vczoo 3 MB {tmp_path / 'cache'}" in lines
    assert "to empty the cache of vczoo: remove the folder" in out
    assert "to empty the cache of torch" not in out  # it is empty
    advice = [line for line in out.splitlines() if line.startswith(("to empty", "VCZOO_CACHE"))]
    assert len(advice) == 2
    assert all(len(line) <= 80 for line in advice)


def test_it_says_what_is_missing_for_what(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "silero_vad" else find(name))
    facts = json.loads(command("doctor", "--json")[1])
    row = next(row for row in facts["missing"] if row["package"] == "silero_vad")
    assert row["install"] == pip_install(extra="prepare")
    assert "`vczoo prepare`" in row["for"]
    assert set(facts) == {"versions", "devices", "plugins", "caches", "missing"}
    assert facts["caches"][0]["bytes"] == pytest.approx(3_000_000, abs=1000)


def test_a_missing_plugin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = {row["package"]: row["install"] for row in doctor._missing(set())}
    assert missing["vczoo-timm"] == pip_install("vczoo-timm")
    assert "vczoo-timm" not in {row["package"] for row in doctor._missing({"vczoo-timm"})}
