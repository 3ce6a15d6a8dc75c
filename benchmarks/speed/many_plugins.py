"""Plugin distributions for a load test: any number of them, written to a folder as an installer would leave them.

    python -m benchmarks.speed.many_plugins /tmp/many 200
    PYTHONPATH=/tmp/many vczoo plugins

Each registers five entries and a recipe. Put the folder on `sys.path` to load them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

MODULE = '''"""Names and metadata only."""

from pathlib import Path

import vczoo

vczoo_api = "1"


@vczoo.hookimpl
def vczoo_entries():
    return [
        vczoo.Entry(f"many{number}/net{size}", "backbone", "many{number}.adapter:build", "an example", "MIT")
        for size in range(5)
    ]


@vczoo.hookimpl
def vczoo_recipes():
    return Path(__file__).parent / "recipes"
'''


def write_plugins(folder: Path, count: int) -> None:
    """Write `count` distributions, `vczoo-many0` and so on."""
    for number in range(count):
        name = f"many{number}"
        info, package = folder / f"vczoo_{name}-1.0.dist-info", folder / name
        (package / "recipes").mkdir(parents=True)
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: vczoo-{name}\nVersion: 1.0\nRequires-Dist: vczoo>=0.1\n\nA plugin.\n"
        )
        (info / "entry_points.txt").write_text(f"[vczoo]\n{name} = {name}\n")
        (package / "__init__.py").write_text(MODULE.replace("{number}", str(number)))
        (package / "adapter.py").write_text("import torch\n\n\ndef build():\n    return torch.nn.Identity()\n")
        (package / "recipes" / f"{name}-demo.yaml").write_text(f"extends: demo\nsummary: {name}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    arguments = parser.parse_args()
    write_plugins(arguments.folder, arguments.count)


if __name__ == "__main__":
    main()
