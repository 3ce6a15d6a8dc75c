"""Imports: plugins use public names only, and the names of packages do not hide public ones."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vczoo

ROOT = Path(vczoo.__file__).parent.parent
PACKAGE = ROOT / "vczoo"
PLUGINS = sorted(path for path in ROOT.glob("plugins/*/vczoo_*") if (path / "__init__.py").is_file())


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Every import in a file, wherever it stands: (module, name), the name "" for `import module`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from ((node.module or "", alias.name) for alias in node.names)


def test_the_package_itself_imports_nothing_but_for_type_checkers() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    loaded = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {module for node in loaded for module in [getattr(node, "module", None) or node.names[0].name]} == {
        "__future__",
        "importlib",
        "typing",
    }


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_imports_only_what_is_public(plugin) -> None:
    for path in sorted(plugin.rglob("*.py")):
        for module, name in imports(path):
            top = module.partition(".")[0]
            if top == "vczoo":
                assert module == "vczoo", f"{path.name} imports from {module}, which is not public"
                assert name in {"", *vczoo.__all__}, f"{path.name} imports {name}, which is not public"
            assert not top.startswith("vczoo_") or top == plugin.name, f"{path.name} imports another plugin, {top}"


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugins_top_module_imports_neither_torch_nor_a_library(plugin) -> None:
    tops = {module.partition(".")[0] for module, _ in imports(plugin / "__init__.py")}
    assert tops <= {"vczoo", plugin.name} | sys.stdlib_module_names


def test_there_are_plugins_to_look_at() -> None:
    assert {"vczoo_timm", "vczoo_torchvision"} <= {path.name for path in PLUGINS}


@pytest.mark.parametrize("package", ["vczoo", "vczoo.testing"])
def test_no_submodule_hides_a_public_name(package: str) -> None:
    module = importlib.import_module(package)
    assert not {info.name for info in pkgutil.iter_modules(module.__path__)} & set(module.__all__)
