"""Floors: a module of vczoo imports only from floors below its own, and a plugin only what is public.

An import of the same floor counts as upward, and so does one inside a function or for type checkers alone.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import vczoo

ROOT = Path(vczoo.__file__).parent.parent
PACKAGE = ROOT / "vczoo"
PLUGINS = sorted(path for path in ROOT.glob("plugins/*/vczoo_*") if (path / "__init__.py").is_file())

# The lowest row first. A module may import from any row below its own, never from its own or one above.
FLOORS = (
    "conformance plugin_kit sweeps errors deprecation files progress mark markup licence_terms",
    "sweeps.state launch criterion hub_name sound_file resampling pieces licences consent spelling answers",
    "terminal sound_writer hub_errors card_facts isolation",
    "specs entry plain discovery waveform frames extras mix cache tensor_file outline",  # what flows between parts
    "sweeps.grid origin conformance.names conformance.of_entries conformance.network_watch plugin_kit.source",
    "sweeps.table interfaces hookspecs weights run_config mel image pitch manifest synthesis convnext matching augment "
    "team sharding",
    "conformance.promises drawing tracking front_matter offer installer task_heads embedded mel_backbone "
    "perturbation vocoders.griffin_lim heads.speaker",
    "conformance.specimen",
    "backbones freezing heads vocoders vision builtin plugin_loading model splits references measures spectral_losses "
    "activations conformance.of_task_heads",
    "curves flaws conformance.of_backbones conformance.of_exports conformance.of_freezing conformance.of_heads "
    "conformance.of_modules conformance.of_vocoders conformance.of_watermarks",
    "conformance.suite",
    "conformance.parts plugin_kit.new",
    "zoo corpus voice_file base trials measuring report discriminators resynthesis piecewise",
    "needs recipe_text features batch material plots excerpts held_out stream card_figures annotations recognition",
    "recipe listing evaluation clips card",
    "options kinship provenance portable",
    "lesson watermark",
    "assembly",
    "run conformance.of_recipes sweeps.cells",
    "hub testing plugin_kit.check start",
    "push hub_search",
    "sharing authenticity",
    "converter checkpoint vocoder_checkpoint",
    "loading steps",
    "run_evaluation workers",
    "loop folder sweeps.listening",
    "train vocoder_loop",
    "demo vocoder_training rate_finder sweeps.tasks",
    "sweeps.worker sweeps.processes sweeps.ray_tasks",
    "sweeps.schedule sweeps.plan sweeps.pictures",
    "sweeps.sweep",
    "hub_commands plugin_commands plugin_kit_commands sweep_commands task_commands train_commands voice_commands",
    "cli",
    "__main__",
)
FLOOR_OF = {module: number for number, row in enumerate(FLOORS) for module in row.split()}


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Every import in a file, wherever it stands: (module, name), the name "" for `import module`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from ((node.module or "", alias.name) for alias in node.names)


def own_imports(path: Path) -> set[str]:
    """The modules of vczoo that a file imports, by their names in `FLOORS`."""
    found = set()
    for module, name in imports(path):
        if module == "vczoo" or module.startswith("vczoo."):
            found.add(on_floor([*module.split("."), name][1:]))
    return found


def on_floor(parts: Sequence[str]) -> str:
    """The name in `FLOORS` of a module below the package: its folder's own, unless the folder has floors within."""
    dotted = ".".join(parts[:2])
    return dotted if dotted in FLOOR_OF else parts[0]


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def home(path: Path) -> str:
    """The module's row entry; files of a folder that share one cannot import one another."""
    return on_floor(path.relative_to(PACKAGE).with_suffix("").parts)


def test_every_module_stands_on_one_floor() -> None:
    assert {home(path) for path in modules()} == set(FLOOR_OF)
    assert len(" ".join(FLOORS).split()) == len(FLOOR_OF)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path) -> None:
    upward = {name for name in own_imports(path) if FLOOR_OF[name] >= FLOOR_OF[home(path)]}
    assert not upward, f"{path.name} stands on floor {FLOOR_OF[home(path)]} and imports {upward}"


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
