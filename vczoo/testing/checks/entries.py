"""What an entry promises before anything is built: an `Entry` in; nothing out, or a `ContractError`. No torch here."""

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
SECONDS = 120  # in which a light import hangs rather than works

# What importing a plugin's module and asking for its entries loads, beside what vczoo and Python load themselves.
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
    """Check that licence and source are there, of the weights too, and that what pins them is well-formed.

    Raises:
        ContractError: which is missing or malformed.
    """
    _expect(
        LICENCE.fullmatch(entry.licence) is not None and entry.licence.lower() != "unknown",
        f"`licence` is an SPDX identifier of the code, got {entry.licence!r}",
    )
    _expect(bool(entry.source), "`source` says where the code comes from: its page, or your distribution's name")
    _expect("\n" not in entry.summary, "`summary` is one line")
    names = [weights.name for weights in entry.weights]
    _expect(len(set(names)) == len(names), f"names of weights differ, got {names}")
    for weights in entry.weights:
        _expect(bool(weights.name) and "." not in weights.name, f"a name of weights has no dot, got {weights.name!r}")
        _expect(bool(weights.source), f"weights {weights.name!r} say where they come from")
        _expect(bool(weights.licence), f'weights {weights.name!r} say under which licence, "unknown" where nobody does')
        _expect(
            not weights.sha256 or DIGEST.fullmatch(weights.sha256) is not None,
            f"`sha256` of weights {weights.name!r} is hex, got {weights.sha256!r}",
        )
        _expect(
            not weights.revision or REVISION.fullmatch(weights.revision) is not None,
            f"`revision` of weights {weights.name!r} is a commit of 40 digits, got {weights.revision!r}",
        )


def check_light(module: str) -> None:
    """Import a module in a process of its own and ask it for its entries.

    Raises:
        ContractError: that fails, or loads more than Python's own modules and vczoo's light ones.
    """
    fault = _heavy(module)
    _expect(not fault, fault)


@cache
def _heavy(module: str) -> str:
    path = os.pathsep.join(part for part in sys.path if part)
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", _LISTING, module],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=SECONDS,
    )
    if done.returncode:
        return f"`import {module}` works by itself; it says: {(done.stderr.strip().splitlines() or ['nothing'])[-1]}"
    if done.stdout.strip():
        return (
            f"`import {module}` imports nothing but Python's own modules and vczoo's light ones, got "
            f"{', '.join(done.stdout.split())}; move what needs them into the module that `factory` names"
        )
    return ""


def _expect(holds: bool, promise: str) -> None:
    if not holds:
        raise ContractError(promise)
