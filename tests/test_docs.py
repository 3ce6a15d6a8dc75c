"""Every fenced example of the README and the docs runs, in a folder as the text assumes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub_server import HubServer
from vczoo.assembly import checked_recipe

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\S+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str, note: str = "") -> list[str]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for name, rest, text in found if name == language and rest.strip() == note]


@pytest.fixture
def desk(tmp_path: Path, voices_folder: Path, monkeypatch: pytest.MonkeyPatch, hub: HubServer) -> Path:
    """A folder with the recordings that the examples speak of, and a Hub where they are `me`."""
    shutil.copytree(voices_folder, tmp_path / "voices", ignore=shutil.ignore_patterns("carol"))
    shutil.copytree(voices_folder / "carol", tmp_path / "more-voices" / "carla")
    for name, source in {
        "hello.wav": "bob/0.wav",
        "carol1.wav": "carol/1.wav",
        "carol2.wav": "carol/2.wav",
        "who.wav": "alice/3.wav",
    }.items():
        shutil.copy(voices_folder / source, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_pages_have_examples_of_known_kinds() -> None:
    kinds = {(name, rest.strip()) for page in PAGES for name, rest, _ in BLOCK.findall(page.read_text())}
    assert kinds <= {("python", ""), ("sh", ""), ("sh", "setup"), ("yaml", ""), ("text", "")}
    assert {("python", ""), ("sh", ""), ("yaml", "")} <= kinds


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.stem)
def test_python_examples_run(page: Path, desk: Path) -> None:
    code = "\n".join(blocks(page, "python"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=desk)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")], ids=lambda page: page.stem)
def test_shell_examples_run(page: Path, desk: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for block in blocks(page, "sh"):
        script = f"set -e\n{block}"
        done = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
        )
        assert done.returncode == 0, f"{block}\n{done.stderr}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=lambda page: page.stem)
def test_recipes_in_the_text_have_no_fault(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(page, "yaml")):
        file = tmp_path / f"example-{number}.yaml"
        file.write_text(text)
        assert checked_recipe(file).name == file.stem


def test_setup_examples_name_what_is_there() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for block in blocks(page, "sh", "setup"):
            for command, *words in (line.split() for line in block.splitlines()):
                assert command in {"make", "pip"}
                if command == "make":
                    assert set(words) <= targets
                else:
                    assert words[0] == "install"
                    assert all((ROOT / word / "pyproject.toml").is_file() for word in words[1:])


def test_the_table_of_recipes_is_complete() -> None:
    table = (ROOT / "README.md").read_text().partition("## Recipes")[2].partition("\n## ")[0]
    named = set(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))
    listed = {name for cell in named for name in re.findall(r"`([\w-]+)`", cell)}
    assert listed == {path.stem for path in (ROOT / "recipes").glob("*.yaml")}
