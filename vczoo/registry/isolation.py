"""Isolated imports of plugins: a time limit, captured output, and a report of changed global state.

The action runs on a thread of its own, since no Python code can end an import that never returns. After the time limit
the caller continues without it. Its output is captured, and its standard input is empty. Some failures cannot be
contained: an action that ends the process (`os._exit`, a crash in C), or one that holds the interpreter's lock forever.
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

from vczoo.errors import PluginError, shortened

__all__ = ["is_isolated", "isolated"]

_TURN = threading.Lock()  # sys.stdout is shared by all threads
# Frames to leave out of messages: those of vczoo, of the import system, and of pluggy, which calls the hooks.
_SKIPPED = (str(Path(__file__).parents[1]) + os.sep, threading.__file__, "<frozen", os.path.dirname(pluggy.__file__))


def is_isolated() -> bool:
    """Whether the caller runs inside an isolated action."""
    return isinstance(threading.current_thread(), _Loader)


def isolated(action: Callable[[], Any], label: str, patience_seconds: float) -> tuple[Any, list[str]]:
    """Run an action on a thread of its own.

    Args:
        action: The action to run.
        label: Name of the plugin, for a note on standard error if the action takes long.
        patience_seconds: Time limit in seconds.

    Returns:
        The result of the action, and remarks on its side effects.

    Raises:
        PluginError: the action raised an exception other than KeyboardInterrupt, or did not end in time.
    """
    with _TURN:
        before, standard = _global_state(), (sys.stdout, sys.stdin)
        printed = _Sink()
        sys.stdout = io.TextIOWrapper(printed, encoding="utf-8", errors="replace", write_through=True)
        sys.stdin = io.StringIO()
        try:
            result = _run_with_limit(action, label, patience_seconds)
        finally:
            sys.stdout, sys.stdin = standard
            remarks = _changes(before)
    if text := printed.getvalue().decode("utf-8", "replace").strip():
        remarks.append(f"prints while it is imported: {text.splitlines()[0][:60]!r}")
    return result, remarks


class _Sink(io.BytesIO):
    """A buffer that keeps only the first bytes and ignores `close`: a plugin may close it, or write to it for long."""

    def write(self, text: Any) -> int:
        if self.tell() < 1000:
            super().write(bytes(text)[:1000])
        return len(text)

    def close(self) -> None:
        pass


class _Loader(threading.Thread):
    """Runs one action and keeps its result or its exception."""

    def __init__(self, action: Callable[[], Any]) -> None:
        super().__init__(name="vczoo-plugin", daemon=True)
        self.action, self.result = action, None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.action()
        except BaseException as error:  # SystemExit too: a plugin must not end the program
            self.error = error


def _run_with_limit(action: Callable[[], Any], label: str, patience_seconds: float) -> Any:
    loader = _Loader(action)
    loader.start()
    loader.join(patience_seconds / 6)
    if loader.is_alive():
        sys.stderr.write(
            f"vczoo: plugin {label} is still being imported{_position(loader)}; its limit is {patience_seconds:g} s. "
            "Set VCZOO_PLUGINS to the names of the plugins to load, or leave it empty to load none\n"
        )
        loader.join(patience_seconds * 5 / 6)
    if loader.is_alive():
        raise PluginError(
            f"its import did not end within {patience_seconds:g} s{_position(loader)}; "
            "raise VCZOO_PLUGIN_SECONDS, or set VCZOO_PLUGINS to load only other plugins"
        )
    error = loader.error
    if isinstance(error, PluginError | KeyboardInterrupt):
        raise error
    if error is not None:
        raise PluginError(_description(error)) from error
    return loader.result


def _position(thread: threading.Thread) -> str:
    """The line that a thread is executing: that of the plugin, and the innermost one if it is another."""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return ""
    lines = _lines(traceback.extract_stack(frame))
    return f", at {lines[0]}" + (f" in {lines[-1]}" if len(lines) > 1 else "") if lines else ""


def _description(error: BaseException) -> str:
    """A plugin's exception in one line: its type, its message and where it was raised."""
    lines = _lines(traceback.extract_tb(error.__traceback__))
    location = f" ({lines[-1]})" if lines else ""
    if isinstance(error, SyntaxError) and error.filename:  # its own message names the file
        location = ""
    return f"{type(error).__name__}: {_one_line(error)}{location}"


def _lines(frames: traceback.StackSummary) -> list[str]:
    """`folder/file.py:line` of each relevant frame, outermost first."""
    return [
        f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno}"
        for frame in frames
        if not frame.filename.startswith(_SKIPPED) and "importlib" not in Path(frame.filename).parts
    ]


def _one_line(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:  # __str__ may be the plugin's code, too
        text = "(no message: its __str__ failed)"
    return shortened(text, 400)


def _global_state() -> Mapping[str, Any]:
    """A snapshot of the state that all code of a process shares and that an import should not change."""
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
    """Remarks on the changes of global state since `before`.

    The working directory, `random`'s state and lost entries of `sys.path` are restored. Other changes are kept, since a
    library may rely on them.
    """
    after = _global_state()
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
