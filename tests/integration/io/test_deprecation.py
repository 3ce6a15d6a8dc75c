"""What is old still works, and says at the caller's line what replaces it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_everybody_sees_it(tmp_path: Path) -> None:
    """A module that is not __main__, and no option of Python's: where a DeprecationWarning stays hidden."""
    (tmp_path / "theirs.py").write_text(
        "import vczoo\nfrom vczoo.io import deprecation\n"
        "deprecation.RENAMED['vczoo.tune'] = deprecation.Renamed('list_models', '0.3', '0.5')\nvczoo.tune\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", "import theirs"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "theirs.py:4: VczooDeprecationWarning: vczoo.tune is deprecated since vczoo 0.3" in done.stderr
