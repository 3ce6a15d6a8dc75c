"""`vczoo plugin new` and `check`: what is written works at once, as a folder and as a wheel; faults are told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import vczoo
from vczoo.errors import PluginError, VczooError
from vczoo.testing.plugin_kit.check import _sample as sample
from vczoo.testing.plugin_kit.check import check_plugin
from vczoo.testing.plugin_kit.new import KINDS, new_plugin
from vczoo.testing.plugin_kit.source import find_plugin

ROOT = Path(vczoo.__file__).parent.parent
PARTS = {
    "backbone": "tiny-thing/net",
    "freezing": "tiny-thing/thaw",
    "head": "tiny-thing/voice",
    "vocoder": "tiny-thing/overlap",
    "pitch": "tiny-thing/autocorrelation",
    "metric": "tiny-thing/level",
    "recipes": "tiny-thing-small",
}


def run(*arguments: str | Path, cwd: Path, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A Python of its own, which finds `path` before what is installed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), str(ROOT)])}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


def broken(folder: Path, module: str, build: str = "", project: str = 'name = "vczoo-odd"\nversion = "2.0"') -> str:
    """A plugin's folder with this module; its path."""
    folder.mkdir(exist_ok=True)
    points = '\n[project.entry-points.vczoo]\nodd = "vczoo_odd"\n'
    (folder / "pyproject.toml").write_text(f"[project]\n{project}\n{points}")
    (folder / "vczoo_odd").mkdir()
    (folder / "vczoo_odd" / "__init__.py").write_text(module)
    (folder / "vczoo_odd" / "build.py").write_text(build)
    return str(folder)


ENTRIES = """
import vczoo

@vczoo.hookimpl
def vczoo_entries():
    return [vczoo.Entry(f"odd/{{name}}", "freezing", f"vczoo_odd.build:{{name}}", "odd", "MIT", source="odd")
            for name in {names!r}]
"""
ADAPTER = """
import os
from vczoo import Freezing

class Good(Freezing):
    def multipliers(self, num_stages, epoch):
        return (1.0,) * num_stages

class Bad(Good):
    def multipliers(self, num_stages, epoch):
        return (1.0,)

class Crash(Good):
    def __init__(self):
        os.write(2, b"out of luck\\n")
        os._exit(7)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_works_as_a_folder_and_as_a_wheel(kind: str, tmp_path: Path) -> None:
    folder = new_plugin("tiny-thing", kind, tmp_path / "made", author="A. Person")
    assert "Copyright 20" in (folder / "LICENSE").read_text()
    assert " A. Person\n" in (folder / "LICENSE").read_text()
    for path in folder.rglob("*"):
        assert "@" not in path.name
        assert path.is_dir() or not re.search("@(plugin|package|distribution|author|year)@", path.read_text())
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check"], ["format", "--check"]):
        assert subprocess.run([*ruff, *command, "."], cwd=folder, check=False).returncode == 0
    done = run("-m", "hatchling", "build", "-t", "wheel", cwd=folder)
    assert done.returncode == 0, done.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    zipfile.ZipFile(wheel).extractall(site)
    elsewhere.mkdir()
    of_kind = [] if kind == "recipes" else ["--parts", kind]
    listed = run("-m", "vczoo", "list", "tiny*", *of_kind, cwd=elsewhere, path=site)
    assert PARTS[kind] in listed.stdout, listed.stderr
    assert "vczoo-tiny-thing" in listed.stdout
    checked = run("-m", "vczoo", "plugin", "check", "tiny-thing", "--json", cwd=elsewhere, path=site)
    assert checked.returncode == 0, checked.stderr
    found: dict[str, Any] = json.loads(checked.stdout)
    assert found["distribution"] == "vczoo-tiny-thing"
    assert [one["name"] for one in found["checked"]] == [PARTS[kind]]
    assert {result["outcome"] for one in found["checked"] for result in one["results"]} <= {"passed", "skipped"}
    tested = run("-m", "pytest", "-p", "vczoo.testing", "-q", folder / "tests", cwd=elsewhere, path=site)
    assert tested.returncode == 0, tested.stdout
    assert "conformance: 1 entries" in tested.stdout


def test_what_is_written_is_typed(tmp_path: Path) -> None:
    for kind in KINDS:
        new_plugin(f"typed-{kind}", kind, tmp_path / kind, author="A")
    packages = [f"{kind}/vczoo_typed_{kind}" for kind in KINDS]
    config = tmp_path / "mypy.ini"  # not this project's
    config.write_text("[mypy]\nignore_missing_imports = true\n")
    options = ["--strict", "--cache-dir", os.devnull, "--config-file", str(config)]
    command = [sys.executable, "-m", "mypy", *options, *packages]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout


def test_names_and_folders_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("My-Net", "1net", "net_1", "-net", "net--1", "", "vczoo-", "a/b", "né"):
        with pytest.raises(VczooError, match="is not a valid plugin name"):
            new_plugin(name, "head", author="A")
    with pytest.raises(VczooError, match="'heads' is not a kind of plugin; did you mean 'head'"):
        new_plugin("net", "heads", author="A")
    with pytest.raises(VczooError, match="vczoo-timm is an official plugin"):
        new_plugin("timm", "head", author="A")
    (tmp_path / "vczoo-net").mkdir()
    with pytest.raises(VczooError, match="vczoo-net already exists; choose another folder"):
        new_plugin("vczoo-net", "head", author="A")
    (tmp_path / "file").touch()
    with pytest.raises(VczooError, match="cannot be created"):
        new_plugin("net", "head", tmp_path / "file" / "net", author="A")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    with pytest.raises(VczooError, match="--author"):
        new_plugin("net", "head", tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "vczoo-net"]


def test_faults_are_told_and_the_rest_is_checked(tmp_path: Path) -> None:
    where = broken(tmp_path / "odd", ENTRIES.format(names=["Good", "Bad"]), ADAPTER)
    done = run("-m", "vczoo", "plugin", "check", where, cwd=tmp_path)
    assert done.returncode == 1
    good, bad = (line.split() for line in done.stdout.splitlines() if line.startswith("odd/"))
    assert good[2:5] == ["7", "of", "7"]
    assert bad[2:8] == ["4", "of", "7", "multipliers", "frozen", "finish"]
    assert "freezing 'odd/Bad', multipliers: `multipliers` must return one per stage for 2 stages" in done.stderr
    assert "odd/Good" in done.stdout
    assert "odd/Good" not in done.stderr
    assert run("-m", "vczoo", "plugin", "check", where, "--entry", "*Good", cwd=tmp_path).returncode == 0


def test_a_crash_is_told_with_its_place_and_the_rest_is_checked(tmp_path: Path) -> None:
    report = check_plugin(
        find_plugin(broken(tmp_path / "odd", ENTRIES.format(names=["Good", "Crash", "Bad"]), ADAPTER))
    )
    assert [one.name for one in report.checked] == ["odd/Good", "odd/Crash", "odd/Bad"]
    assert [len(one.faults) for one in report.checked] == [0, 0, 2]  # two of three checks ran into the same
    assert report.faults == [
        "the checking process ended with status 7 at freezing 'odd/Crash' after light: out of luck"
    ]


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("import not_there\n", "entry point 'odd' (vczoo_odd): ModuleNotFoundError"),
        ("raise ValueError('no')\n", "entry point 'odd' (vczoo_odd): ValueError: no"),
        ("", "entry point 'odd' (vczoo_odd): it registers nothing: it has none of the hooks vczoo_entries"),
        ("def vczoo_entries():\n    return [1]\n", "vczoo_entries is not marked with @vczoo.hookimpl"),
        ("vczoo_api = '99'\n", "it was written for vczoo_api '99', but this vczoo has '1'"),
        (ENTRIES.format(names=["Good", "Good"]), "'odd/Good'"),
        ("print('hello')\n" + ENTRIES.format(names=["Good"]), "print"),
        (ENTRIES.format(names=["Good"]).replace("vczoo_odd.build", "vczoo_odd.other"), "vczoo_odd.other"),
    ],
)
def test_plugins_that_do_not_load_or_load_with_a_remark(module: str, said: str, tmp_path: Path) -> None:
    faults = check_plugin(find_plugin(broken(tmp_path / "odd", module, ADAPTER))).faults
    assert len(faults) == 1
    assert said in faults[0]


def test_a_module_that_is_not_light_is_a_fault_of_the_plugin_and_of_its_entries(tmp_path: Path) -> None:
    where = broken(tmp_path / "odd", "import torch\n" + ENTRIES.format(names=["Good"]), ADAPTER)
    of_plugin, *_, of_entry = check_plugin(find_plugin(where)).all_faults
    assert "imports torch" in of_plugin
    assert "must load only the standard library" in of_entry


def test_what_the_environment_leaves_out_is_checked_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCZOO_PLUGINS", "")
    monkeypatch.setenv("VCZOO_STRICT", "1")
    where = broken(tmp_path / "odd", ENTRIES.format(names=["Good"]), ADAPTER)
    report = check_plugin(find_plugin(where))
    assert ([one.name for one in report.checked], report.all_faults) == (["odd/Good"], [])


def test_of_very_many_entries_a_sample_is_checked_and_said(tmp_path: Path) -> None:
    names = [f"Good{index}" for index in range(50)]
    parts = "".join(f"class {name}(Good): pass\n" for name in names)
    many = broken(tmp_path / "odd", ENTRIES.format(names=names), ADAPTER + parts)
    done = run("-m", "vczoo", "plugin", "check", many, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "56 checks of 8 entries" in done.stdout
    assert "(a sample of 50 registered entries; use --all to check all" in done.stdout
    assert len(check_plugin(find_plugin(many), everything=True).checked) == 50


def test_a_sample_leaves_out_what_is_very_large() -> None:
    sizes = [0, *[10**6] * 60, 10**10]  # 0: nobody says
    subjects = [(str(size), SimpleNamespace(weights=[SimpleNamespace(size_bytes=size)]), "m") for size in sizes]
    assert {name for name, _, _ in sample(subjects)} == {"1000000"}
    assert len(sample(subjects)) == 8
    assert len(sample(subjects[:1])) == 1


def test_what_is_no_plugin(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="no distribution is called 'vczoo-tim'"):
        find_plugin("vczoo-tim")
    with pytest.raises(PluginError, match=r"it has no pyproject\.toml"):
        find_plugin(str(tmp_path))
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    with pytest.raises(PluginError, match="no entry point of the group 'vczoo'"):
        find_plugin(str(tmp_path))
    assert find_plugin("vczoo").points == {"vczoo": "vczoo.registry.builtin"}


def test_the_wheel_of_vczoo_holds_the_templates(tmp_path: Path) -> None:
    done = run("-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    templates = {
        f"vczoo/{path.relative_to(ROOT / 'vczoo')}"
        for path in (ROOT / "vczoo" / "testing" / "plugin_kit" / "templates").rglob("*.tmpl")
    }
    assert len(templates) > 20
    assert templates <= names


def test_pytest_starts_without_torch() -> None:
    code = "import sys, vczoo.testing; print(sorted({'torch', 'numpy', 'pytest'} & set(sys.modules)))"
    assert run("-c", code, cwd=ROOT).stdout.strip() == "[]"


def test_a_replacement_that_is_not_there_is_told(tmp_path: Path) -> None:
    module = """
import vczoo

@vczoo.hookimpl
def vczoo_entries():
    return [vczoo.Entry(f"odd/{name}", "freezing", "vczoo_odd.build:Good", "odd", "MIT", source="odd", replaced_by=by)
            for name, by in {"new": "", "old": "odd/new", "older": "partial", "lost": "odd/newer"}.items()]
"""
    report = check_plugin(find_plugin(broken(tmp_path / "odd", module, ADAPTER)), "odd/*")
    assert [fault.partition(";")[0] for fault in report.all_faults] == [
        "freezing 'odd/lost': replaced_by names no part: no freezing is called 'odd/newer'"
    ]
    assert len(report.checked) == 4
