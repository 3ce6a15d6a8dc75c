"""The pinned requirements: every one has a checksum, and both lists of them agree with pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT

PROJECTS = (ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml")))
SHA256 = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def project(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text("utf-8"))


def pins() -> dict[str, list[Requirement]]:
    pinned: dict[str, list[Requirement]] = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        requirement = Requirement(line)
        pinned.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return pinned


def test_every_locked_package_has_a_checksum_and_no_address() -> None:
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    packages = [number for number, line in enumerate(lines) if not line.startswith(" ")]
    assert len(packages) > 100
    for number in packages:
        assert re.fullmatch(r"[a-z0-9.-]+==\S+( ; .+)? \\", lines[number])
        assert SHA256.fullmatch(lines[number + 1]), lines[number]
    assert all(SHA256.fullmatch(line) for line in lines if line.startswith(" "))


def test_the_constraints_are_the_locked_packages() -> None:
    locked = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    without_checksums = [line.removesuffix(" \\") for line in locked if not line.startswith(" ")]
    assert (ROOT / "constraints.txt").read_text("utf-8").splitlines() == without_checksums


@pytest.mark.parametrize("path", PROJECTS, ids=lambda path: path.parent.name)
def test_what_a_project_requires_is_locked_in_a_version_that_fits(path: Path) -> None:
    content = project(path)
    extras = content["project"].get("optional-dependencies", {})
    needed = [
        *content["build-system"]["requires"],
        *content["project"]["dependencies"],
        *extras.get("demo", []),
        *extras.get("eval", []),
        *extras.get("eval-all", []),
        *content.get("dependency-groups", {}).get("dev", []),
    ]
    pinned = pins()
    for requirement in map(Requirement, needed):
        name = canonicalize_name(requirement.name)
        if name != "vczoo":
            versions = [str(pin.specifier).removeprefix("==") for pin in pinned[name]]
            assert all(requirement.specifier.contains(version) for version in versions), (requirement, versions)


def test_all_projects_ask_for_the_same_pythons() -> None:
    wanted = {project(path)["project"]["requires-python"] for path in PROJECTS}
    assert len(wanted) == 1
    (ends,) = re.findall(r">=3\.(\d+),<3\.(\d+)", wanted.pop())
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8"))
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert tested == [f"3.{minor}" for minor in range(*map(int, ends))]
    listed = [f"Programming Language :: Python :: 3.{minor}" for minor in range(*map(int, ends))]
    classifiers = project(ROOT / "pyproject.toml")["project"]["classifiers"]
    assert [line for line in classifiers if line.startswith("Programming Language :: Python :: 3.")] == listed


def test_every_system_and_plugin_is_tested_and_the_docs_are_built() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8"))["jobs"]
    assert jobs["systems"]["strategy"]["matrix"]["system"] == ["macos-latest", "windows-latest"]
    plugins = [path.name.removeprefix("vczoo-") for path in sorted((ROOT / "plugins").glob("vczoo-*"))]
    assert jobs["plugins"]["strategy"]["matrix"]["plugin"] == plugins
    assert {"newest", "lowest", "docs", "audit", "wheels"} <= jobs.keys()
    named = {word for job in jobs.values() for step in job["steps"] for word in str(step.get("run", "")).split()}
    paths = [ROOT / word for word in named if word.startswith(("tests/", "docs/"))]
    assert [path for path in paths if not path.exists()] == []


def test_only_the_job_that_publishes_may_ask_for_an_identity() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert {name: job.get("permissions") for name, job in workflow["jobs"].items()} == {
        "build": None,
        "publish": {"id-token": "write"},
    }
    assert not re.search(
        r"secrets|password|(?<!id-)token:", (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    )


@pytest.mark.parametrize("name", ["test", "release"])
def test_the_workflow_runs_actions_by_commit(name: str) -> None:
    workflow = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text("utf-8")
    actions = re.findall(r"uses: (.+)", workflow)
    assert actions
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v[\d.]+", action) for action in actions), actions
