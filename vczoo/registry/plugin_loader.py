"""Loading one plugin. Everything that can be checked before importing it is checked first."""

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

HEAVY = ("torch", "tensorflow", "jax", "numpy")  # a module that only lists names does not need these
_DECLARED = re.compile(r"""^vczoo_api\b[^=\n]*=\s*["']?(\d[\w.]*)["']?\s*(#.*)?$""", re.MULTILINE)


def load_plugin(candidate: Candidate, core_version: str, patience_seconds: float) -> Offer:
    """Import a plugin and collect what it registers.

    Args:
        candidate: The plugin to load.
        core_version: Version of vczoo, which the plugin's metadata may exclude.
        patience_seconds: Time limit in seconds of the import.

    Returns:
        What the plugin registers, with the API version, the import time and remarks on its side effects.

    Raises:
        PluginError: the plugin cannot be loaded. The message says why.
    """
    if fault := candidate.fault or version_fault(candidate, core_version):
        raise PluginError(fault)
    api = _declared_api(candidate.module)
    _check_api(api)
    for module in _with_parents(candidate.module):
        if getattr(getattr(sys.modules.get(module), "__spec__", None), "_initializing", False):
            raise PluginError(f"{module} requested the zoo during its own import; move that call into a function")

    def load() -> tuple[Offer, str]:
        plugin = candidate.load()
        declared = str(getattr(plugin, "vczoo_api", api or hookspecs.API))
        _check_api(declared)  # without the source, the version is known only now
        return offer_of(plugin, candidate.distribution), declared

    light = {name for name in HEAVY if name not in sys.modules}
    start = time.perf_counter()
    label = f"{candidate.name} ({candidate.distribution} {candidate.version})"
    result, remarks = isolated(load, label, patience_seconds)
    offer: Offer = result[0]
    seconds = time.perf_counter() - start
    heavy = [name for name in HEAVY if name in light and name in sys.modules]
    if heavy:
        remarks.insert(0, f"imports {' and '.join(heavy)}, which makes every listing slow")
    if candidate.remark:
        remarks.append(candidate.remark)
    return replace(offer, api=result[1], remarks=tuple(remarks), seconds=seconds)


def locate(module: str) -> ModuleSpec | None:
    """The spec of a module, or None if it does not exist. Imports neither the module nor its parent packages."""
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
            f"it was written for vczoo_api {declared[:20]!r}, but this vczoo has {hookspecs.API!r}; "
            "install a version of the plugin for this vczoo, or another version of vczoo"
        )


def _declared_api(module: str) -> str:
    """The version in the line `vczoo_api = "1"` of a module's source; "" without such a line or a source."""
    spec = locate(module)
    try:
        source = spec.loader.get_source(spec.name) if spec else None  # type: ignore[union-attr]
    except (AttributeError, ImportError, OSError):
        return ""
    match = _DECLARED.search(source or "")
    if not source or not match or match[1] == hookspecs.API:
        return match[1] if match else ""
    try:  # the line may be part of a docstring, so parse the source before rejecting the plugin
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return ""
    for node in body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "vczoo_api" for target in targets):
            value = getattr(node, "value", None)
            return str(value.value) if isinstance(value, ast.Constant) else ""
    return ""


def _with_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]
