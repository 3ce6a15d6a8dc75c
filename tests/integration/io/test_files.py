"""Slow tests of files"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.unit.io.test_files import names

FULL_DISK = """
import resource, sys
from pathlib import Path
from vczoo.io.files import write_text

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for name in ("old.txt", "new.txt"):
    try:
        write_text(Path(sys.argv[1]) / name, "x" * 1001)
    except OSError:
        continue
    raise SystemExit(f"{name} was written")
"""


@pytest.mark.skipif(os.name == "nt", reason="no file size limit to fill the disk with")
def test_a_full_disk_leaves_nothing_behind(tmp_path) -> None:
    (tmp_path / "old.txt").write_text("old")
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "old.txt").read_text() == "old"
    assert names(tmp_path) == ["old.txt"]
