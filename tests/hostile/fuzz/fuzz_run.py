"""Fuzzing of what a run of somebody else's begins with, by atheris: bytes in; an error of ours, or what they say, out.

python -m tests.hostile.fuzz.fuzz_run config|header FOLDER -runs=N -seed=1

config   bytes of vczoo.yaml      -> vczoo.runs.config.read_config, and the recipe in it
header   bytes of a .safetensors  -> vczoo.io.tensor_file.read_layout, compared with safetensors' own reading

The corpus lies in FOLDER, which is begun with a few seeds. Any exception but a `VczooError` ends it with status 77.
"""

from __future__ import annotations

import resource
import struct
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=[
        "vczoo.errors",
        "vczoo.io.plain_yaml",
        "vczoo.models.recipe",
        "vczoo.runs.config",
        "vczoo.io.tensor_file",
        "yaml",
    ]
):
    from tests.support.hostile import as_yaml, check_agreement, outcome, tensor_file
    from vczoo.models.recipe import Recipe
    from vczoo.runs.config import read_config

SEED_RECIPE = {
    "name": "demo",
    "summary": "x",
    "backbone": {"use": "mel-conv", "weights": "random", "width": 16},
    "freezing": {"use": "none"},
    "heads": {"speaker": {"use": "speaker-classifier", "hidden": [32, 16], "weight": 0.3}},
    "vocoder": {"use": "griffin-lim"},
    "training": {"epochs": 3, "learning_rate": 0.01},
}
SEED_CONFIG = {
    "format": 2,
    "vczoo": "0.1.0",
    "plugins": {"vczoo-timm": "0.1.0"},
    "recipe": SEED_RECIPE,
    "base": {"backbone": {"source": "a/b", "revision": "0" * 40, "files": {"a.safetensors": "0" * 64}}},
    "speakers": ["alice", "bob"],
    "voices": ["alice"],
    "data": {"fingerprint": "0" * 64, "minutes": {"alice": 0.1}},
    "seed": 0,
    "tensors": 17,
    "files": {"model.safetensors": "0" * 64},
}
ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
TWO = {"a": {"dtype": "BF16", "shape": [2, 1], "data_offsets": [0, 4]}, "b": ONE | {"data_offsets": [4, 8]}}
SEEDS = {
    "config": [as_yaml(SEED_CONFIG).encode(), b"a: &a [*a]", b"!!python/name:os.system", b"? [a]\n: {b: 1:1, c: .nan}"],
    "header": [
        *(tensor_file(header)[8:] + b"\0" for header in ({}, {"a": ONE}, {"__metadata__": {"x": "y"}})),
        tensor_file(TWO, b"12345678") + b"\1",
        struct.pack("<Q", 2**63) + b"{}\1",
    ],
}

MEMORY_MB = 2048


def config(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    outcome(lambda: Recipe.parse(read_config(path).recipe))


def header(data: bytes, path: Path) -> None:
    """The last byte tells whether the rest is a whole file, or a header whose length and tensors are put to it."""
    if data[-1:] > b"\0":
        path.write_bytes(data[:-1])
    else:
        numbers = [int(digits) for digits in "".join(map(chr, data)).replace("]", ",").split(",") if digits.isdecimal()]
        path.write_bytes(tensor_file(data[:-1], b"\0" * min(max(numbers, default=0), 100)))
    check_agreement(path)


def main() -> None:
    target = {"config": config, "header": header}[sys.argv[1]]
    folder = Path(sys.argv[2])
    (folder / "corpus").mkdir(parents=True)
    for number, seed in enumerate(SEEDS[sys.argv[1]]):
        (folder / "corpus" / f"seed{number}").write_bytes(seed)
    path = folder / "fuzzed.safetensors"
    # libFuzzer goes by the peak of memory, and on Linux a new process begins with that of the one that started it.
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 + MEMORY_MB
    atheris.Setup(
        [
            sys.argv[0],
            f"-artifact_prefix={folder}/",
            f"-rss_limit_mb={megabytes}",
            *sys.argv[3:],
            str(folder / "corpus"),
        ],
        lambda data: target(data, path),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
