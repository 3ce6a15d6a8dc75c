"""What the light module registers: well-formed, pinned and light; entries keep their promises."""

import re
import subprocess
import sys

from vczoo.testing import conformance_tests
from vczoo_vocos import MEL_24KHZ, vczoo_entries

ENTRIES = {entry.name: entry for entry in vczoo_entries()}


def test_two_vocoders_are_registered() -> None:
    assert list(ENTRIES) == ["vocos/mel-24khz", "vocos/small-16khz"]
    assert {entry.kind for entry in ENTRIES.values()} == {"vocoder"}
    assert ENTRIES["vocos/mel-24khz"].weights == (MEL_24KHZ,)
    assert ENTRIES["vocos/small-16khz"].weights == ()


def test_the_pickle_is_pinned_by_revision_and_checksum() -> None:
    assert re.fullmatch("[0-9a-f]{40}", MEL_24KHZ.revision)
    assert re.fullmatch("[0-9a-f]{64}", MEL_24KHZ.sha256)


test_conformance = conformance_tests("vczoo_vocos")


def test_encodec_is_not_imported() -> None:
    code = "import sys, vczoo_vocos.build; print(sorted({'encodec', 'vocos'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
