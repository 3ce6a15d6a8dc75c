"""An action in; its outcome, and what it printed and changed for everybody, out, within a time.

It runs on a thread of its own, since no Python code can end an import that never returns: after the time the caller
goes on without it. What it prints goes nowhere, and it reads no input. What no process survives is left: an action
that ends it (`os._exit`, a crash in C), or that holds the interpreter's lock for ever.
"""

from __future__ import annotations

import io
import os
import random
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pluggy

from vczoo.errors import PluginError

__all__ = ["is_isolated", "isolated"]

_TURN = threading.Lock()  # sys.stdout is everybody's
# Frames that say nothing of a plugin: vczoo's own, and those of what imports it and calls its hooks.
_PASSED = (str(Path(__file__).parents[1]) + os.sep, threading.__file__, "<frozen", os.path.dirname(pluggy.__file__))


def is_isolated() -> bool:
    """Whether the caller runs inside such an action."""
    return isinstance(threading.current_thread(), _Loader)


def isolated(action: Callable[[], Any], label: str, patience_seconds: float) -> tuple[Any, list[str]]:
    """Run an action; give its outcome, and remarks on what it did beside.

    Args:
        label: what runs, for a note on standard error where it takes long.
        patience_seconds: after which it is given up.

    Raises:
        PluginError: it raised, anything but KeyboardInterrupt, or did not end in time.
    """
    with _TURN:
        before, standard = _everybodys(), (sys.stdout, sys.stdin)
        printed = _Sink()
        sys.stdout = io.TextIOWrapper(printed, encoding="utf-8", errors="replace", write_through=True)
        sys.stdin = io.StringIO()
        try:
            outcome = _in_time(action, label, patience_seconds)
        finally:
            sys.stdout, sys.stdin = standard
            remarks = _changes(before)
    if text := printed.getvalue().decode("utf-8", "replace").strip():
        remarks.append(f"prints while it is imported: {text.splitlines()[0][:60]!r}")
    return outcome, remarks


class _Sink(io.BytesIO):
    """Keeps its first bytes, whoever closes it: a plugin may, and may hold it for long."""

    def write(self, text: Any) -> int:
        if self.tell() < 1000:
            super().write(bytes(text)[:1000])
        return len(text)

    def close(self) -> None:
        pass


class _Loader(threading.Thread):
    """Runs one action and keeps what comes of it."""

    def __init__(self, action: Callable[[], Any]) -> None:
        super().__init__(name="vczoo-plugin", daemon=True)
        self.action, self.outcome = action, None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.outcome = self.action()
        except BaseException as error:  # SystemExit too: a plugin does not end the program
            self.error = error


def _in_time(action: Callable[[], Any], label: str, patience_seconds: float) -> Any:
    loader = _Loader(action)
    loader.start()
    loader.join(patience_seconds / 6)
    if loader.is_alive():
        sys.stderr.write(
            f"vczoo: plugin {label} is still being imported{_whereabouts(loader)}; it gets {patience_seconds:g} s. "
            "VCZOO_PLUGINS names the plugins to load, VCZOO_PLUGINS= none\n"
        )
        loader.join(patience_seconds * 5 / 6)
    if loader.is_alive():
        raise PluginError(
            f"its import did not end in {patience_seconds:g} s{_whereabouts(loader)}; "
            "VCZOO_PLUGIN_SECONDS gives it longer, VCZOO_PLUGINS leaves it out"
        )
    error = loader.error
    if isinstance(error, PluginError | KeyboardInterrupt):
        raise error
    if error is not None:
        raise PluginError(_described(error)) from error
    return loader.outcome


def _whereabouts(thread: threading.Thread) -> str:
    """Where a thread stands: the line of the plugin, and the innermost one where that is another."""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return ""
    lines = _lines(traceback.extract_stack(frame))
    return f", at {lines[0]}" + (f" in {lines[-1]}" if len(lines) > 1 else "") if lines else ""


def _described(error: BaseException) -> str:
    """An exception of a plugin's as one line: what, and where."""
    lines = _lines(traceback.extract_tb(error.__traceback__))
    where = f" ({lines[-1]})" if lines else ""
    if isinstance(error, SyntaxError) and error.filename:  # its own text names the file
        where = ""
    return f"{type(error).__name__}: {_one_line(error)}{where}"


def _lines(frames: traceback.StackSummary) -> list[str]:
    """`folder/file.py:line` of the frames that say something, the outermost first."""
    return [
        f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno}"
        for frame in frames
        if not frame.filename.startswith(_PASSED) and "importlib" not in Path(frame.filename).parts
    ]


def _one_line(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:  # its text may be a plugin's code, too
        text = "(its text cannot be had)"
    return text if len(text) <= 400 else text[:400] + " …"


def _everybodys() -> Mapping[str, Any]:
    """What is shared by all code of a process, and what importing should leave as it was."""
    try:
        folder = os.getcwd()
    except OSError:  # it was deleted
        folder = ""
    logging = sys.modules.get("logging")
    return {
        "the environment": dict(os.environ),
        "the working directory": folder,
        "sys.path": list(sys.path),
        "random's state": random.getstate(),
        "the filters of warnings": list(warnings.filters),
        "the root logger": (logging.root.level, list(logging.root.handlers)) if logging else None,
        "threads": set(threading.enumerate()),
    }


def _changes(before: Mapping[str, Any]) -> list[str]:
    """Remarks on what is another now. What would harm the rest is put back, what a library may rely on is not."""
    after = _everybodys()
    changed = [
        name for name, value in before.items() if value is not None and name != "threads" and value != after[name]
    ]
    if "the working directory" in changed and before["the working directory"]:
        os.chdir(before["the working directory"])
    if "random's state" in changed:
        random.setstate(before["random's state"])
    sys.path.extend(entry for entry in before["sys.path"] if entry not in sys.path)
    remarks = [f"changes {', '.join(changed)} while it is imported"] if changed else []
    if any(not isinstance(thread, _Loader) for thread in after["threads"] - before["threads"]):
        remarks.append("starts a thread while it is imported")
    return remarks
