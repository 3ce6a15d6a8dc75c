"""One candidate in; what it registers, or why it does not work, out. What can be checked before its import, is."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import time
from dataclasses import replace
from importlib.machinery import ModuleSpec, PathFinder

from vczoo.errors import PluginError
from vczoo.registry import hookspecs
from vczoo.registry.discovery import Candidate, version_fault
from vczoo.registry.isolation import isolated
from vczoo.registry.registration import Offer, offer_of

__all__ = ["load_plugin", "locate"]

HEAVY = ("torch", "tensorflow", "jax", "numpy")  # what a module that only lists names has no use for
_DECLARED = re.compile(r"""^vczoo_api\b[^=\n]*=\s*["']?(\d[\w.]*)["']?\s*(#.*)?$""", re.MULTILINE)


def load_plugin(candidate: Candidate, core_version: str, patience_seconds: float) -> Offer:
    """Import a plugin and ask it what it registers.

    Args:
        core_version: of vczoo, which the plugin's metadata may exclude.
        patience_seconds: after which the zoo goes on without it.

    Raises:
        PluginError: it does not work, and why.
    """
    if fault := candidate.fault or version_fault(candidate, core_version):
        raise PluginError(fault)
    api = _declared_api(candidate.module)
    _check_api(api)
    for module in _with_parents(candidate.module):
        if getattr(getattr(sys.modules.get(module), "__spec__", None), "_initializing", False):
            raise PluginError(f"{module} asked for the zoo while it was imported; do so in a function")

    def load() -> tuple[Offer, str]:
        plugin = candidate.load()
        declared = str(getattr(plugin, "vczoo_api", api or hookspecs.API))
        _check_api(declared)  # where the source is not at hand, it is known only now
        return offer_of(plugin, candidate.distribution), declared

    light = {name for name in HEAVY if name not in sys.modules}
    began = time.perf_counter()
    label = f"{candidate.name} ({candidate.distribution} {candidate.version})"
    outcome, remarks = isolated(load, label, patience_seconds)
    offer: Offer = outcome[0]
    seconds = time.perf_counter() - began
    heavy = [name for name in HEAVY if name in light and name in sys.modules]
    if heavy:
        remarks.insert(0, f"imports {' and '.join(heavy)}, which makes every listing slow")
    if candidate.remark:
        remarks.append(candidate.remark)
    return replace(offer, api=outcome[1], remarks=tuple(remarks), seconds=seconds)


def locate(module: str) -> ModuleSpec | None:
    """Find a module without importing it, or the packages that it is in; None where there is none."""
    top, *rest = module.split(".")
    try:
        if module in sys.modules:
            return sys.modules[module].__spec__ or ModuleSpec(module, None)
        spec = importlib.util.find_spec(top)
        for part in rest:
            if spec is None or spec.submodule_search_locations is None:
                return None
            spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations)
    except (ImportError, ValueError, AttributeError):
        return None
    return spec


def _check_api(declared: str) -> None:
    if declared and declared != hookspecs.API:
        raise PluginError(
            f"it was written for vczoo_api {declared[:20]!r}, and this vczoo has {hookspecs.API!r}; "
            "install a version of it for this vczoo, or another vczoo"
        )


def _declared_api(module: str) -> str:
    """What the line `vczoo_api = "1"` of a module's source says; "" where there is none, or no source."""
    spec = locate(module)
    try:
        source = spec.loader.get_source(spec.name) if spec else None  # type: ignore[union-attr]
    except (AttributeError, ImportError, OSError):
        return ""
    found = _DECLARED.search(source or "")
    if not source or not found or found[1] == hookspecs.API:
        return found[1] if found else ""
    try:  # the line may stand in a docstring: look again, as Python does, before it is refused for it
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return ""
    for line in body:
        targets = (
            line.targets if isinstance(line, ast.Assign) else [line.target] if isinstance(line, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "vczoo_api" for target in targets):
            value = getattr(line, "value", None)
            return str(value.value) if isinstance(value, ast.Constant) else ""
    return ""


def _with_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]
