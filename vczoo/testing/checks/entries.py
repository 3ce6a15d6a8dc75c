"""Conformance checks of an entry's metadata and of the module that registers it. This module does not import torch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache

from vczoo.errors import ContractError
from vczoo.registry.entry import Entry

__all__ = ["check_about", "check_light"]

LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*( (AND|OR|WITH) [A-Za-z0-9][A-Za-z0-9.+-]*)*")
REVISION = re.compile(r"[0-9a-f]{40}")
DIGEST = re.compile(r"[0-9a-f]{8,64}")
SECONDS = 120  # an import that takes longer is considered to hang

# Prints the packages that a plugin's module loads until its entries are listed, besides those of vczoo and Python.
_LISTING = """
import sys
import vczoo
vczoo.Entry, vczoo.Weights, vczoo.hookimpl
before = {name.partition(".")[0] for name in sys.modules}
import importlib
module = importlib.import_module(sys.argv[1])
if hasattr(module, "vczoo_entries"):
    list(module.vczoo_entries())
after = {name.partition(".")[0] for name in sys.modules}
print(*sorted(after - before - set(sys.stdlib_module_names) - {sys.argv[1].partition(".")[0]}))
"""


def check_about(entry: Entry) -> None:
    """Check that an entry and its weights have a license and a source, and that digests and revisions are well-formed.

    Raises:
        ContractError: A field is missing or malformed; the message says which.
    """
    _expect(
        LICENCE.fullmatch(entry.licence) is not None and entry.licence.lower() != "unknown",
        f"`licence` must be the SPDX identifier of the code's license, got {entry.licence!r}",
    )
    _expect(
        bool(entry.source), "`source` must say where the code comes from: its project page, or your distribution's name"
    )
    _expect("\n" not in entry.summary, "`summary` must be one line")
    names = [weights.name for weights in entry.weights]
    _expect(len(set(names)) == len(names), f"names of weights must differ, got {names}")
    for weights in entry.weights:
        _expect(
            bool(weights.name) and "." not in weights.name, f"a name of weights must have no dot, got {weights.name!r}"
        )
        _expect(bool(weights.source), f"weights {weights.name!r} must have a `source`")
        _expect(bool(weights.licence), f'weights {weights.name!r} must have a `licence`, "unknown" if none is stated')
        _expect(
            not weights.sha256 or DIGEST.fullmatch(weights.sha256) is not None,
            f"`sha256` of weights {weights.name!r} must be 8 to 64 lowercase hex digits, got {weights.sha256!r}",
        )
        _expect(
            not weights.revision or REVISION.fullmatch(weights.revision) is not None,
            f"`revision` of weights {weights.name!r} must be a commit of 40 hex digits, got {weights.revision!r}",
        )


def check_light(module: str) -> None:
    """Import a module in a new process, and list its entries.

    Args:
        module: Module that an entry point of the plugin names.

    Raises:
        ContractError: That fails, or loads more than the standard library and vczoo's lightweight modules.
    """
    fault = _import_fault(module)
    _expect(not fault, fault)


@cache
def _import_fault(module: str) -> str:
    """Say what is wrong with importing a module; empty if nothing is."""
    path = os.pathsep.join(part for part in sys.path if part)
    environment = {**os.environ, "PYTHONPATH": path}
    result = subprocess.run(
        [sys.executable, "-c", _LISTING, module],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=SECONDS,
    )
    if result.returncode:
        error = (result.stderr.strip().splitlines() or ["no error output"])[-1]
        return f"`import {module}` must work in a new process, but it fails: {error}"
    if result.stdout.strip():
        return (
            f"`import {module}` must load only the standard library and vczoo's lightweight modules, got "
            f"{', '.join(result.stdout.split())}; move code that needs them into the module that `factory` names"
        )
    return ""


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise ContractError(message)
