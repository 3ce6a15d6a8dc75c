"""Slow tests of specs"""

from __future__ import annotations

import subprocess
import sys


def test_specs_and_errors_do_without_torch() -> None:
    code = "import sys, vczoo.errors, vczoo.audio.specs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
