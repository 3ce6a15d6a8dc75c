"""Imports of the zoo's listings, in a process of their own."""

from __future__ import annotations

import subprocess
import sys


def test_listing_imports_neither_torch_nor_a_wrapped_library() -> None:
    script = (
        "import sys, vczoo; assert 'vgg16-partialfreeze' in vczoo.list_models(); assert vczoo.list_parts('head'); "
        "from vczoo.cli.listing import recipe_rows, part_rows, plugin_facts; recipe_rows(); part_rows('all'); "
        "plugin_facts(vczoo.registry.zoo.the_zoo()); "
        "print(sorted({'torch', 'torchvision', 'torchaudio', 'timm', 'pydantic', 'numpy'} & set(sys.modules)))"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
