"""Deprecation warnings are shown without any option of Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_everybody_sees_it(tmp_path: Path) -> None:
    """The caller is a module that is not __main__, where Python hides a DeprecationWarning by default."""
    (tmp_path / "theirs.py").write_text("from vczoo.io.deprecation import warn_at_caller\nwarn_at_caller('use b')\n")
    done = subprocess.run(
        [sys.executable, "-c", "import theirs"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "theirs.py:2: VczooDeprecationWarning: use b" in done.stderr
