"""Wheels and source distributions of vczoo and its plugins: licenses, metadata, and what they hold."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

import vczoo

pytestmark = pytest.mark.slow

ROOT = Path(vczoo.__file__).parents[1]
PROJECTS = {"vczoo": ROOT, **{folder.name: folder for folder in sorted((ROOT / "plugins").glob("vczoo-*"))}}
RELATIVE_LINK = re.compile(r"\]\((?!https?://|mailto:|#)")
BOUNDED = {
    "huggingface_hub",
    "timm",
    "transformers",
    "peft",
    "accelerate",
    "pydantic",
}  # a major version breaks callers


class Artifacts(NamedTuple):
    """What was built of one project.

    Attributes:
        wheel: Content of each file of the wheel, by name.
        sdist: The unpacked source distribution.
        metadata: Metadata of the wheel.
    """

    wheel: dict[str, bytes]
    sdist: Path
    metadata: Message


@pytest.fixture(scope="module", params=list(PROJECTS))
def project(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def artifacts(project: str, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp(project)
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(command, cwd=PROJECTS[project], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,), (archive,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    shutil.unpack_archive(archive, folder / "unpacked", filter="data")
    (sdist,) = (folder / "unpacked").iterdir()
    with zipfile.ZipFile(wheel) as file:
        content = {name: file.read(name) for name in file.namelist()}
    (metadata,) = (text for name, text in content.items() if name.endswith(".dist-info/METADATA"))
    return Artifacts(content, sdist, email.message_from_bytes(metadata))


def test_both_hold_the_license(project: str, artifacts: Artifacts) -> None:
    texts = [text for name, text in artifacts.wheel.items() if name.endswith(".dist-info/licenses/LICENSE")]
    assert [(artifacts.sdist / "LICENSE").read_bytes()] == texts
    assert b"Apache License" in texts[0]
    assert re.search(rb"Copyright 20\d\d \w", texts[0])
    expression = artifacts.metadata["License-Expression"]
    assert expression == ("Apache-2.0 AND CC-BY-SA-4.0 AND MIT" if project == "vczoo" else "Apache-2.0")


def test_the_metadata_say_who_and_where(project: str, artifacts: Artifacts) -> None:
    metadata = artifacts.metadata
    assert metadata["Author"] == "The vczoo authors"
    assert metadata.get_all("Project-URL")
    classifiers = metadata.get_all("Classifier") or []
    assert {"Typing :: Typed", "Topic :: Multimedia :: Sound/Audio :: Speech"} <= set(classifiers)
    assert not [name for name in classifiers if name.startswith("License ::")]  # License-Expression replaces them
    package = project.replace("-", "_")
    assert f"{package}/py.typed" in artifacts.wheel


def test_the_description_reads_on_a_package_index(artifacts: Artifacts) -> None:
    assert artifacts.metadata["Description-Content-Type"] == "text/markdown"
    description = str(artifacts.metadata.get_payload())
    assert len(description) > 200
    assert not RELATIVE_LINK.search(description)


def test_requirements_have_bounds_where_they_need_them(project: str, artifacts: Artifacts) -> None:
    requirements = [Requirement(text) for text in artifacts.metadata.get_all("Requires-Dist") or []]
    for requirement in requirements:
        if requirement.name in BOUNDED:
            assert "<" in str(requirement.specifier), requirement
    if project != "vczoo":
        assert "vczoo<0.2,>=0.1" in [f"{requirement.name}{requirement.specifier}" for requirement in requirements]


def test_the_version_is_written_once(project: str, artifacts: Artifacts) -> None:
    version = tomllib.loads((PROJECTS[project] / "pyproject.toml").read_text())["project"].get("version")
    modules = [text for name, text in artifacts.wheel.items() if name.endswith(".py")]
    assigned = [match[1].decode() for text in modules for match in re.finditer(rb"(?m)^__version__ = \"(.*)\"$", text)]
    assert [*assigned, *([version] if version else [])] == [artifacts.metadata["Version"]]


def test_the_source_holds_tests_and_nothing_made(project: str, artifacts: Artifacts) -> None:
    names = {path.relative_to(artifacts.sdist).as_posix() for path in artifacts.sdist.rglob("*") if path.is_file()}
    assert {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO"} <= names
    assert any(name.startswith("tests/") and name.endswith(".py") for name in names)
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".so"))]
    if project == "vczoo":
        assert {"docs/index.md", "CHANGELOG.md", "hatch_build.py", "recipes/base.yaml", "vczoo/py.typed"} <= names
        assert {name.partition("/")[0] for name in names if "/" in name} == {"vczoo", "recipes", "tests", "docs"}


@pytest.mark.parametrize("project", ["vczoo"], indirect=True)
def test_the_bundled_model_travels_with_its_card_and_licenses(artifacts: Artifacts) -> None:
    folder = ROOT / "vczoo" / "assets" / "base"
    files = {f"vczoo/assets/base/{path.name}" for path in folder.iterdir() if path.is_file()}
    assert files <= set(artifacts.wheel)
    card = artifacts.wheel["vczoo/assets/base/README.md"].decode()
    attribution = card + "".join(text.decode() for name, text in artifacts.wheel.items() if "ATTRIBUTION" in name)
    for source in ("LibriSpeech", "Asterisk", "Allison Smith", "creativecommons.org/licenses/by"):
        assert source in attribution
    assert b"Attribution-ShareAlike 4.0 International" in artifacts.wheel["vczoo/assets/base/LICENSE"]
    licenses = [name for name in artifacts.wheel if ".dist-info/licenses/" in name and name.endswith("/LICENSE")]
    assert len(licenses) == 2


def test_the_links_of_a_description_become_text(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT))
    try:
        import hatch_build
    finally:
        sys.path.remove(str(ROOT))
    text = "See [docs/a.md](docs/a.md), ![a plot](a.png), [us](https://x.org/a) and [below](#below)."
    assert (
        hatch_build.RELATIVE_LINK.sub(r"\1", text)
        == "See docs/a.md, a plot, [us](https://x.org/a) and [below](#below)."
    )
