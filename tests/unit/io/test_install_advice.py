"""Commands in messages can be followed, also if vczoo was installed from a folder."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from vczoo.io.install_advice import pip_install


def installed_from(monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    recorded = json.dumps({"url": url}) if url else None
    monkeypatch.setattr(metadata, "distribution", lambda _: SimpleNamespace(read_text=lambda _: recorded))


def test_from_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = tmp_path / "my clone"
    (clone / "plugins" / "vczoo-timm").mkdir(parents=True)
    (clone / "pyproject.toml").touch()
    (clone / "plugins" / "vczoo-timm" / "pyproject.toml").touch()
    installed_from(monkeypatch, clone.as_uri())
    assert pip_install() == f"pip install '{clone}'"
    assert pip_install(extra="eval") == f"pip install '{clone}[eval]'"
    assert pip_install("vczoo-timm") == f"pip install '{clone}/plugins/vczoo-timm'"
    assert pip_install("vczoo-other") == "pip install vczoo-other"


@pytest.mark.parametrize("url", [None, "https://example.org/vczoo.whl", "file:///is/gone"])
def test_from_an_index_or_a_folder_that_is_gone(url: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    installed_from(monkeypatch, url)
    assert pip_install(extra="eval") == 'pip install "vczoo[eval]"'
    assert pip_install("vczoo-timm") == "pip install vczoo-timm"
