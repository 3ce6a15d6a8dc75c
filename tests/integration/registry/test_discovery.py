"""Discovery of plugins: distributions that are broken in every known way must not affect the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import vczoo
from vczoo.errors import PluginError, UnknownNameError
from vczoo.registry import installer
from vczoo.registry.discovery import Candidate, candidates, normalised, select, version_fault

ROOT = Path(vczoo.__file__).parents[1]
GOOD = """
import vczoo

vczoo_api = "1"

@vczoo.hookimpl
def vczoo_entries():
    return [vczoo.Entry("{name}/net", "backbone", "vczoo_{name}:build", "an example", "MIT")]

def build():
    pass
"""
HOOKS = GOOD.replace("{name}", "bad")
ENTRY = 'vczoo.Entry("bad/net", "backbone", "vczoo_bad:build", "an example", "MIT")'
RECIPES = """
from pathlib import Path

@vczoo.hookimpl
def vczoo_recipes():
    return Path(__file__).parent / "recipes"
"""


def write(site: Path, name: str, files: Mapping[str, str | bytes] | None = None, **more: str) -> None:
    """Write a distribution `vczoo-NAME`: its metadata and a package `vczoo_NAME`, both overridden by `files`."""
    info = f"vczoo_{name}-{more.get('version', '1.2')}.dist-info"
    files = {f"vczoo_{name}/__init__.py": GOOD.replace("{name}", name), **(files or {})}
    metadata = f"Metadata-Version: 2.1\nName: vczoo-{name}\nVersion: {more.get('version', '1.2')}\n"
    files = {
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {line}\n" for line in (more.get("requires"),) if line),
        f"{info}/entry_points.txt": f"[console_scripts]\nx = y:z\n\n[vczoo]\n{name} = vczoo_{name}\n",
        **{path.replace("INFO", info): text for path, text in files.items()},
    }
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(text if isinstance(text, bytes) else text.encode())


def code(text: str) -> dict[str, str | bytes]:
    return {"vczoo_bad/__init__.py": text}


# Files that differ from those of a working plugin, the expected state, and part of the expected reason.
BROKEN: dict[str, tuple[dict[str, str | bytes], str, str]] = {
    "raises": (code("1 / 0\n"), "broken", "ZeroDivisionError: division by zero (vczoo_bad/__init__.py:1)"),
    "library absent": (
        code("import no_such_library\n"),
        "broken",
        "ModuleNotFoundError: No module named 'no_such_library' (vczoo_bad/__init__.py:1)",
    ),
    "syntax": (code("def vczoo_entries(:\n"), "broken", "SyntaxError: invalid syntax (__init__.py, line 1)"),
    "ends the program": (code("raise SystemExit(3)\n"), "broken", "SystemExit: 3 (vczoo_bad/__init__.py:1)"),
    "never returns": (
        code("import time\ntime.sleep(10**6)\n"),
        "broken",
        "its import did not end within 4 s, at vczoo_bad/__init__.py:2; raise VCZOO_PLUGIN_SECONDS, or set "
        "VCZOO_PLUGINS to load only other plugins",
    ),
    "asks at a prompt": (code("input('licence? ')\n"), "broken", "EOFError"),
    "module absent": (
        {"INFO/entry_points.txt": "[vczoo]\nbad = vczoo_gone\n"},
        "broken",
        "No module named 'vczoo_gone'",
    ),
    "registers twice": (
        code(HOOKS.replace(f"[{ENTRY}]", f"[{ENTRY}, {ENTRY}]")),
        "broken",
        "backbone 'bad/net' is registered twice; rename one of the two",
    ),
    "takes the core's name": (
        code(HOOKS.replace("bad/net", "mel-conv")),
        "broken",
        "backbone 'mel-conv' is part of vczoo, and a plugin cannot replace it; give it another name",
    ),
    "no entry": (code(HOOKS.replace(ENTRY, "'net'")), "broken", "vczoo_entries returned a str, expected vczoo.Entry"),
    "wrong kind": (code(HOOKS.replace('"backbone"', '"backboen"')), "broken", "entry 'bad/net': kind is"),
    "hook with a wrong signature": (
        code(HOOKS.replace("vczoo_entries()", "vczoo_entries(zoo)")),
        "broken",
        "a hook has a wrong signature: Plugin 'vczoo_bad' for hook 'vczoo_entries'",
    ),
    "unknown hook": (
        code(HOOKS.replace("vczoo_entries", "vczoo_entrys")),
        "broken",
        "no hook is called 'vczoo_entrys'; did you mean 'vczoo_entries' or 'vczoo_recipes'? Hooks: vczoo_entries",
    ),
    "unmarked hook": (
        code(HOOKS.replace("@vczoo.hookimpl", "")),
        "broken",
        "it registers nothing: vczoo_entries is not marked with @vczoo.hookimpl",
    ),
    "another API": (
        code('raise RuntimeError("imported")\nvczoo_api = "2"\n'),
        "broken",
        "it was written for vczoo_api '2', but this vczoo has '1'",
    ),
    "another vczoo": (
        {"INFO/METADATA": "Name: vczoo-bad\nVersion: 1.2\nRequires-Dist: vczoo<0.1,>=0.0.1\n"} | code("1 / 0\n"),
        "broken",
        "it requires vczoo<0.1,>=0.0.1, but this is vczoo 0.1.0",
    ),
    "metadata without a version": (
        {"INFO/METADATA": "Name: vczoo-bad\n\nVersion: 3\n"},
        "broken",
        "its metadata have no version; reinstall it",
    ),
    "no metadata": ({"INFO/METADATA": ""}, "broken", "its metadata have no name or version; reinstall it"),
    "unreadable entry points": (
        {"INFO/entry_points.txt": b"[vczoo]\nbad = vczoo_bad\xff\n"},
        "broken",
        "its entry_points.txt cannot be read",
    ),
    "malformed entry point": (
        {"INFO/entry_points.txt": "[vczoo]\nbad vczoo_bad\n"},
        "broken",
        "entry_points.txt: 'bad vczoo_bad' is not NAME = MODULE; reinstall it",
    ),
    "folder of recipes absent": (code(HOOKS + RECIPES), "broken", "FileNotFoundError"),
    "factory absent": (
        code(HOOKS.replace("vczoo_bad:build", "vczoo_bad.adaptr:build")),
        "loaded, but",
        "backbone 'bad/net': there is no module vczoo_bad.adaptr, which the factory should be in",
    ),
    "recipe that is no YAML": (
        {**code(HOOKS + RECIPES), "vczoo_bad/recipes/bad-recipe.yaml": "a: [1\n"},
        "loaded, but",
        "recipe 'bad-recipe': not YAML",
    ),
    "recipe in Latin-1": (
        {**code(HOOKS + RECIPES), "vczoo_bad/recipes/bad-recipe.yaml": "summary: é\n".encode("latin-1")},
        "loaded, but",
        "recipe 'bad-recipe' of vczoo-bad cannot be read",
    ),
    "recipe of a wrong shape": (
        {**code(HOOKS + RECIPES), "vczoo_bad/recipes/bad-recipe.yaml": "heads: [1]\nbackbone: 3\n"},
        "loaded",
        "",
    ),
    "prints": (
        code("import sys\nprint('hello')\nsys.stdout.close()\n" + HOOKS),
        "loaded, but",
        "prints while it is imported: 'hello'",
    ),
    "imports torch": (
        {**code("import torch\n" + HOOKS), "torch/__init__.py": ""},
        "loaded, but",
        "imports torch, which makes every listing slow",
    ),
    "changes what is everybody's": (
        code("import os, random, sys\nos.environ['X']='1'\nos.chdir('/')\nrandom.seed(1)\nsys.path.clear()\n" + HOOKS),
        "loaded, but",
        "changes the environment, the working directory, sys.path, random's state while it is imported",
    ),
    "asks for the zoo": (code(HOOKS + "vczoo.list_models()\n"), "broken", "it requested the zoo during its own import"),
    "another version beside it": (
        {"vczoo_bad-1.1.dist-info/METADATA": "Name: vczoo-bad\nVersion: 1.1\n"}
        | {"vczoo_bad-1.1.dist-info/entry_points.txt": "[vczoo]\nbad = vczoo_bad\n"},
        "loaded, but",
        "also holds the metadata of version",
    ),
}

# Expected versions that are not 1.2. Of two versions in one folder, the first that the file system lists is used.
VERSIONS = {"metadata without a version": "?", "no metadata": "?", "another version beside it": ("1.1", "1.2")}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `vczoo` in a process with the folder `tmp_path / "site"` on its path, and load no other plugins."""

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("VCZOO_")}
        path = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
        return subprocess.run(
            [sys.executable, "-m", "vczoo", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=inherited
            | {"PYTHONPATH": path, "VCZOO_PLUGINS": "vczoo-bad,good", "VCZOO_PLUGIN_SECONDS": "4"}
            | environment,
        )

    return call


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    return tmp_path / "site"


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_told_and_the_rest_work(kind: str, site: Path, run: Run) -> None:
    files, state, reason = BROKEN[kind]
    write(site, "bad", files)
    write(site, "good")
    patience = {} if kind == "never returns" else {"VCZOO_PLUGIN_SECONDS": "60"}
    done = run("plugins", "--json", **patience)
    assert done.returncode == 0, done.stderr
    rows = {row["distribution"]: row for row in json.loads(done.stdout)}
    bad, good = rows["vczoo-bad"] if "vczoo-bad" in rows else rows["vczoo_bad"], rows["vczoo-good"]
    assert bad["state"] == state
    assert reason in "; ".join(bad["reasons"])
    assert bool(bad["reasons"]) == bool(reason)
    assert bad["version"] in VERSIONS.get(kind, "1.2")
    assert (good["state"], good["entries"], good["reasons"]) == ("loaded", 1, [])
    listed = run("list", "--parts", "backbone", **patience)
    parts = [line.split()[0] for line in listed.stdout.splitlines()]
    assert listed.returncode == 0
    assert parts[0] == "part"
    assert {"good/net", "mel-conv"} <= set(parts)
    assert ("bad/net" in parts) == (state != "broken")
    warnings = [line for line in listed.stderr.splitlines() if "does not load" in line]
    assert len(warnings) == (state == "broken")
    assert all("(vczoo" in line and reason in line for line in warnings)
    recipes = run("list", **patience)
    assert recipes.returncode == 0
    assert "\ndemo " in recipes.stdout
    assert ("\nbad-recipe " in recipes.stdout) == ("recipe that" in kind or "recipe in" in kind or "recipe of" in kind)


def test_while_an_import_takes_long_it_is_said_which_and_what_to_do(site: Path, run: Run) -> None:
    write(site, "bad", code("import time\ntime.sleep(10**6)\n"))
    done = run("list", VCZOO_PLUGIN_SECONDS="1")
    note = (
        "plugin bad (vczoo-bad 1.2) is still being imported, at vczoo_bad/__init__.py:2; its limit is 1 s. "
        "Set VCZOO_PLUGINS to the names"
    )
    assert note in done.stderr
    assert done.returncode == 0
    assert run("list", VCZOO_PLUGIN_SECONDS="soon").returncode == 1


def test_strict_makes_every_failure_fatal_and_lists_all(site: Path, run: Run) -> None:
    write(site, "bad", code("1 / 0\n"))
    write(site, "good", {"vczoo_good/__init__.py": GOOD.format(name="good").replace("_good:", "_good.gone:")})
    assert run("list", VCZOO_STRICT="0").returncode == 0
    for command in ("list", "plugins"):
        done = run(command, VCZOO_STRICT="1", VCZOO_PLUGINS="bad,good,ugly")
        assert done.returncode == 1
        assert "VCZOO_STRICT is set and plugins have 3 faults:" in done.stderr
        assert "bad (vczoo-bad 1.2): ZeroDivisionError" in done.stderr
        assert "good (vczoo-good 1.2): backbone 'good/net': there is no module vczoo_good.gone" in done.stderr
        assert "ugly (? ?): VCZOO_PLUGINS names it, but no such plugin is installed" in done.stderr
    assert "vczoo-bad" in done.stdout  # the table is printed all the same
    assert run("list", VCZOO_STRICT="1", VCZOO_PLUGINS="").returncode == 0


def test_the_environment_selects(site: Path, run: Run) -> None:
    write(site, "bad", code("1 / 0\n"))
    write(site, "good")

    def states(selection: str) -> dict[str, str]:
        done = run("plugins", "--json", VCZOO_PLUGINS=selection)
        return {row["name"]: row["state"] for row in json.loads(done.stdout) if row["name"] in ("bad", "good", "ugly")}

    assert states("") == {"bad": "left out", "good": "left out"}
    assert states("good") == states("VCZOO_Good") == states("vczoo-good:good") == {"bad": "left out", "good": "loaded"}
    assert states("good, ugly") == {"bad": "left out", "good": "loaded", "ugly": "absent"}
    assert run("list", VCZOO_PLUGINS="").stderr == ""
    error = run("check", "demo", "backbone.use=good/net", VCZOO_PLUGINS="").stderr
    assert "'good/net' comes with vczoo-good, which does not load (VCZOO_PLUGINS= does not name it)" in error


def test_two_distributions_with_one_entry_point_and_one_recipe(site: Path, run: Run) -> None:
    recipe = "extends: demo\nsummary: of {}\n"
    for name in ("one", "two"):
        text = GOOD.replace("{name}/net", "shared/net").replace("{name}", name) + RECIPES
        files = {f"vczoo_{name}/__init__.py": text, "INFO/entry_points.txt": f"[vczoo]\nshared = vczoo_{name}\n"}
        write(site, name, {**files, f"vczoo_{name}/recipes/shared-recipe.yaml": recipe.format(name)})
    done = run("plugins", "--json", VCZOO_PLUGINS="shared")
    rows = [row for row in json.loads(done.stdout) if row["state"] == "loaded, but"]
    assert [row["distribution"] for row in rows] == ["vczoo-one", "vczoo-two"]
    assert rows[0]["reasons"][0] == "backbone 'shared/net' is also registered by vczoo-two: write vczoo-one:shared/net"
    listed = run("list", VCZOO_PLUGINS="shared").stdout
    assert "\nvczoo-one:shared-recipe " in listed
    assert "\nvczoo-two:shared-recipe " in listed
    shown = run("show", "vczoo-two:shared-recipe", VCZOO_PLUGINS="shared").stdout
    assert "summary: of two" in shown
    assert "name: shared-recipe\n" in shown
    done = run("show", "shared-recipe", VCZOO_PLUGINS="shared")
    assert done.returncode == 1
    assert "vczoo-one:shared-recipe or vczoo-two:shared-recipe" in done.stderr
    checked = run("check", "vczoo-one:shared-recipe", VCZOO_PLUGINS="shared")
    assert "no problems found" in checked.stdout
    script = "import vczoo; print(vczoo.load('vczoo-two:shared-recipe').recipe.summary)"
    environment = {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "VCZOO_PLUGINS": "shared"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=os.environ | environment)
    assert done.stdout == "of two\n", done.stderr


@pytest.mark.parametrize(
    ("requires", "version", "holds"),
    [
        (">=0.1", "0.1.0", True),
        (">=0.1,<0.2", "0.2.0", False),
        (">0.1", "0.1.0", False),
        ("==0.1", "0.1.0", True),
        ("!=0.1.0", "0.1", False),
        ("<=0.9", "0.10", False),
        ("~=0.1", "0.9", True),
        ("==0.1.*", "0.2", False),
        (">=0.1", "0.2.dev1", True),
        ("", "0.1", True),
    ],
)
def test_versions_are_compared_as_installers_do(requires: str, version: str, holds: bool) -> None:
    fault = version_fault(Candidate("a", "a", "vczoo-a", "1", requires), version)
    assert (not fault) == holds
    assert holds or f"requires vczoo{requires}, but this is vczoo {version}" in fault


@pytest.mark.parametrize(
    ("line", "requires"),
    [
        ("vczoo>=0.1", ">=0.1"),
        ("vczoo (>=0.1)", ">=0.1"),
        ("vczoo[eval]<0.3,>=0.1", "<0.3,>=0.1"),
        ("vczoo>=9; extra == 'dev'", ""),
        ("vczoo>=9; python_version < '3'", ""),
        ("vczoo>=0.1; python_version > '3'", ">=0.1"),
        ("vczoo-timm>=9", ""),
        ("vczoo", ""),
    ],
)
def test_the_range_is_read_from_the_metadata(
    line: str, requires: str, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(site, "here", requires=line)
    monkeypatch.syspath_prepend(site)
    (candidate,) = [plugin for plugin in candidates() if plugin.name == "here"]
    assert (candidate.requires, candidate.fault) == (requires, "")


def test_of_two_folders_on_the_path_the_first_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("late", "early"):
        write(tmp_path / folder, "here", version=folder)
        monkeypatch.syspath_prepend(tmp_path / folder)
    (candidate,) = [plugin for plugin in candidates() if plugin.name == "here"]
    assert (candidate.version, candidate.remark, candidate.place()) == ("early", "", (str(tmp_path / "early"), False))


def test_an_editable_installation_is_where_its_source_is(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = {"url": "file:///home/me/my%20plugin", "dir_info": {"editable": True}}
    write(site, "here", {"INFO/direct_url.json": json.dumps(url)})
    monkeypatch.syspath_prepend(site)
    (candidate,) = [plugin for plugin in candidates() if plugin.name == "here"]
    assert candidate.place() == ("/home/me/my plugin", True)


def test_names_select_points_and_distributions() -> None:
    here = [Candidate("a", "m", "vczoo_A", "1"), Candidate("b", "m", "vczoo-a", "1"), Candidate("a", "m", "other", "1")]
    assert select(here, None) == (here, [], [])
    assert select(here, " ") == ([], here, [])
    assert select(here, "a")[0] == [here[0], here[2]]
    assert select(here, "vczoo-a")[0] == here[:2]
    assert select(here, "other:a,vczoo,other:b") == ([here[2]], here[:2], ["other:b"])


def wheel(folder: Path, name: str, group: str = "vczoo") -> Path:
    """A wheel of a plugin that raises when it is imported."""
    path = folder / f"{name.replace('-', '_')}-0.3-py3-none-any.whl"
    info, module = f"{name.replace('-', '_')}-0.3.dist-info", f"{name.replace('-', '_')}.py"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(module, "raise RuntimeError('broken')\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.3\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/entry_points.txt", f"[{group}]\nthing = {module[:-3]}\n")
        rows = "".join(
            f"{row},,\n" for row in (module, f"{info}/METADATA", f"{info}/WHEEL", f"{info}/entry_points.txt")
        )
        file.writestr(f"{info}/RECORD", f"{rows}{info}/RECORD,,\n")
    return path


def test_install_and_uninstall_in_a_fresh_environment(tmp_path: Path) -> None:
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    (own,) = place.glob("**/site-packages")
    here = [str(ROOT), *(path for path in sys.path if path.endswith("-packages"))]  # vczoo and what it needs
    (own / "here.pth").write_text("".join(f"{path}\n" for path in here))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("VCZOO_", "PIP_", "PYTHON"))}
    environment = inherited | {
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [str(python), "-m", "vczoo", "plugins", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    done = call("install", wheel(tmp_path, "acme-thing"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(
        f"install {tmp_path / 'acme_thing-0.3-py3-none-any.whl'} into {place} "
    )
    assert "thing (acme-thing 0.3): installed" in done.stdout
    row = next(row for row in json.loads(call("--json").stdout) if row["name"] == "thing")
    assert (row["distribution"], row["version"], row["state"]) == ("acme-thing", "0.3", "broken")
    assert row["path"].startswith(str(place))
    assert "RuntimeError: broken (" in row["reasons"][0]
    done = call("uninstall", "thing")  # its code raises, which does not matter here
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(f"uninstall acme-thing from {place} ")
    assert done.stdout.splitlines()[-1] == "acme-thing: uninstalled"
    assert "thing" not in {row["name"] for row in json.loads(call("--json").stdout)}
    done = call("install", wheel(tmp_path, "acme-other", group="elsewhere"))
    assert done.returncode == 1
    assert "is now installed but registers no plugin" in done.stderr
    done = call("uninstall", "acme-other")
    assert done.returncode == 1
    assert "'acme-other' is not an installed plugin" in done.stderr
    done = call("install", tmp_path / "absent.whl")
    assert done.returncode == 1
    assert "; its output is above" in done.stderr


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of the installer, recorded and not run."""
    ran: list[list[str]] = []

    def record(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(installer.subprocess, "run", record)
    return ran


@pytest.mark.parametrize(
    ("modules", "programs", "command"),
    [
        ({"pip", "uv"}, {"uv"}, ["PYTHON", "-m", "pip", "install", "vczoo-timm"]),
        ({"uv"}, set(), ["PYTHON", "-m", "uv", "pip", "install", "--python", "PYTHON", "vczoo-timm"]),
        (set(), {"uv"}, ["/bin/uv", "pip", "install", "--python", "PYTHON", "vczoo-timm"]),
        (set(), set(), None),
    ],
)
def test_it_is_this_interpreters_installer(modules, programs, command, commands, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(installer.importlib.util, "find_spec", lambda name: name if name in modules else None)
    monkeypatch.setattr(installer.shutil, "which", lambda name: f"/bin/{name}" if name in programs else None)
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr(installer, "candidates", lambda: [Candidate("timm", "vczoo_timm", "vczoo-timm", "1")])
    lines: list[str] = []
    if command is None:
        with pytest.raises(PluginError, match="neither pip nor uv is installed"):
            installer.install("timm", lines.append)
        assert not commands
        return
    assert [plugin.name for plugin in installer.install("timm", lines.append)] == ["timm"]
    assert commands == [[sys.executable if word == "PYTHON" else word for word in command]]
    assert lines == [
        line for line in lines if f"install vczoo-timm into {sys.prefix} " in line and sys.executable in line
    ]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("vczoo", "the zoo itself"),
        ("numpy", "'numpy' is not an installed plugin"),
        ("vczoo-tim", "did you mean 'vczoo-timm'"),
        ("same", "'same' is a plugin of acme-a and acme-b; use the name of one of these distributions"),
    ],
)
def test_what_is_no_plugin_is_not_uninstalled(name: str, part: str, commands, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    here = [Candidate("same", "a", "acme-a", "1"), Candidate("same", "b", "acme-b", "1")]
    monkeypatch.setattr(installer, "candidates", lambda: [*here, Candidate("timm", "t", "vczoo-timm", "1")])
    with pytest.raises(PluginError) as error:
        installer.uninstall(name, lambda line: None)
    assert part in str(error.value)
    assert not commands
    with pytest.raises(PluginError, match="is not the name of a plugin; for example"):
        installer.install("--index-url=x", lambda line: None)
    assert not commands


def test_the_short_name_uninstalls_and_what_stays_is_told(commands, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(installer, "candidates", lambda: [Candidate("timm", "t", "vczoo-timm", "1")])
    monkeypatch.setattr(installer, "_installer", lambda verb: (["pip", *verb], "pip"))
    with pytest.raises(PluginError, match="vczoo-timm is still installed in"):
        installer.uninstall("timm", lambda line: None)
    assert commands[0][-1] == "vczoo-timm"


def test_uninstall_imports_no_plugin(site: Path, run: Run) -> None:
    write(site, "bad", code("import os\nos._exit(7)\n"))  # nothing survives its import
    assert run("list").returncode == 7
    assert run("list", VCZOO_PLUGINS="").returncode == 0
    assert "'thing' is not an installed plugin" in run("plugins", "uninstall", "thing").stderr


def test_an_unknown_name_says_that_plugins_do_not_load(site: Path, run: Run) -> None:
    write(site, "bad", code("1 / 0\n"))
    write(site, "good")
    error = run("show", "no-such-recipe").stderr
    assert "(plugins that do not load: bad; `vczoo plugins` says why)" in error


def test_names_are_compared_as_installers_do() -> None:
    assert normalised("Vczoo_Timm..x") == "vczoo-timm-x"
    assert issubclass(UnknownNameError, vczoo.VczooError)


def test_two_hundred_plugins_are_listed_without_torch(site: Path) -> None:
    subprocess.run([sys.executable, "-m", "benchmarks.speed.many_plugins", site, "200"], check=True, cwd=ROOT)
    script = (
        f"import sys; sys.path.append({str(site)!r}); from vczoo.cli.app import app\n"
        "app(['list', 'many*'], standalone_mode=False)\n"
        "app(['list', 'many*', '--parts', 'backbone'], standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("many")]
    assert len(set(rows)) == len(rows) == 200 + 1000
