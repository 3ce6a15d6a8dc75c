"""Loads a run for each registered part, each of its options and each hostile value, in a process of bounded memory.

tests/hostile/test_options.py runs it as `python -m tests.support.hostile_options FOLDER`. It prints a line of JSON:
how many cases there were and what was wrong with which. Standard error ends with the last case, should the process be
killed.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.support.hostile import HOSTILE, NUMBERS, PATHS, as_yaml, nested
from vczoo.errors import VczooError
from vczoo.models.part_options import CONTEXT
from vczoo.registry.entry import Entry
from vczoo.registry.zoo import the_zoo
from vczoo.runs.run_folder import config_of, load_run
from vczoo.runs.run_model import outline_of

MEMORY_BYTES = 6 * 2**30  # beyond what is mapped after the imports
CPU_SECONDS = 60  # a case
MOST_WEIGHTS = 2_000_000  # of a model that is loaded to the end
LIBRARIES = ("timm", "torchvision.models", "torchaudio.pipelines", "transformers", "peft")
# One of each way in which a plugin makes networks; they and the core's parts get every value, the others a few.
THOROUGH = {
    *("torchaudio/wavlm-base", "torchvision/vgg11", "vocos/small-16khz"),
    *("transformers/whisper-tiny", "transformers/auto", "transformers/lora"),
    "transformers/univnet",
}
FAMILIES = {  # of timm
    *("timm/resnet18", "timm/tf_efficientnet_lite0", "timm/vit_tiny_patch16_224", "timm/swin_tiny_patch4_window7_224"),
    *("timm/convnext_atto", "timm/eva02_tiny_patch14_224", "timm/mobilenetv3_small_050", "timm/densenet121"),
    *("timm/pvt_v2_b0", "timm/regnetx_002", "timm/hrnet_w18_small", "timm/xcit_nano_12_p16_224"),
}
FEW = (*NUMBERS, PATHS[0], None, True, [], [1] * 2000, [10**12], {"a": 1}, nested(45))
TEXTS = ("weights", "model", "targets", "hidden")  # options to which everything is put

opened: list[str] = []
forbidden: list[str] = []
watching = False


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if watching and event == "open":
        opened.append(str(arguments[0]))
    elif watching and event.startswith(("socket.connect", "socket.getaddrinfo", "subprocess", "os.system", "os.exec")):
        forbidden.append(f"{event} {arguments!r:.100}")


NEEDED: dict[str, dict[str, Any]] = {"selected": {"stages": [-1]}}  # options without which a part cannot be built


def recipe_with(kind: str, part: dict[str, Any]) -> dict[str, Any]:
    """A small recipe in which a part stands where its kind does."""
    backbone = {"use": "mel-conv", "width": 16, "blocks": 1}
    recipe: dict[str, Any] = {"name": "x", "summary": "x", "backbone": backbone, "freezing": {"use": "none"}}
    heads = {"speaker": {"use": "speaker-classifier", "hidden": [8]}, "voice": {"use": "knn"}}
    recipe |= {"heads": heads, "vocoder": {"use": "griffin-lim"}}
    if kind != "head":
        return recipe | {kind: part}
    return recipe | {"heads": heads | {"speaker" if part["use"].startswith("speaker") else "voice": part}}


def config_with(recipe: dict[str, Any], plugins: dict[str, str], tensors: int) -> str:
    values = {"format": 2, "vczoo": "0.1.0", "plugins": plugins, "recipe": recipe, "base": {}, "speakers": ["a", "b"]}
    values |= {"voices": ["v"], "data": {}, "seed": 0, "tensors": tensors, "files": {}}
    return as_yaml(values)


def cases() -> Iterator[tuple[Entry, str, str, Any, bool]]:
    """Entry, distribution, option, value, and whether somebody else made it; without an option it is to be built."""
    for entry, distribution in the_zoo().entries():
        if entry.kind not in ("backbone", "freezing", "head", "vocoder"):
            continue
        core = distribution == "vczoo"
        thorough = core or entry.name in THOROUGH
        if entry.name.startswith("timm/") and not thorough and entry.name not in FAMILIES:
            continue
        if (thorough or entry.name in FAMILIES) and entry.name != "transformers/auto":
            yield entry, distribution, "", None, True
        for option in inspect.signature(entry.load()).parameters:
            if option in CONTEXT or option in entry.arguments:
                continue
            many = HOSTILE if option in TEXTS else FEW
            yield from ((entry, distribution, option, value, True) for value in (many if thorough else (10**6,)))
            if core:  # ranges of the parts themselves, and of what is built without weights
                yield from ((entry, distribution, option, value, False) for value in NUMBERS[:7])


def load(folder: Path, entry: Entry, distribution: str, option: str, value: Any, foreign: bool) -> None:
    """Load a run of it; where only its tensors are missing and they are few, once more with zeros."""
    plugins = {} if distribution == "vczoo" else {distribution: "0.1.0"}
    weights = {"weights": "random"} if "weights" in inspect.signature(entry.load()).parameters else {}
    part = {"use": entry.name, **weights, **NEEDED.get(entry.name, {})}
    recipe = recipe_with(entry.kind, part | ({option: value} if option else {}))
    for path in folder.iterdir():
        path.unlink()
    (folder / "vczoo.yaml").write_text(config_with(recipe, plugins, 0))
    try:
        load_run(folder, foreign=foreign)
    except VczooError as error:
        if "model.safetensors: cannot be read" not in str(error):
            if not option:
                raise RuntimeError(f"it cannot even be built as it is: {error}") from error
            raise
        if plugins:
            return
    slots = outline_of(config_of(folder, foreign=foreign)).tensors()
    if sum(tensor.numel() for tensor in slots.values()) > MOST_WEIGHTS:
        return
    save_file(
        {name: torch.zeros(slot.shape, dtype=slot.dtype) for name, slot in slots.items()}, folder / "model.safetensors"
    )
    save_file({}, folder / "voices.safetensors")
    (folder / "metrics.json").write_text("{}")
    (folder / "vczoo.yaml").write_text(config_with(recipe, plugins, len(slots)))
    load_run(folder, foreign=foreign)


def main(folder: Path) -> None:
    global watching
    for library in LIBRARIES:
        importlib.import_module(library)
    sys.addaudithook(watch)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY_BYTES, mapped + MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chdir(folder.parent)
    known = {entry.name for entry, _ in the_zoo().entries()}
    count, slowest = 0, (0.0, "")
    faults = [f"nothing is called {name}" for name in THOROUGH | FAMILIES if name not in known]
    for case in cases():
        entry, _, option, value, foreign = case
        told = f"{entry.name} {option}={value!r:.60} foreign={foreign}"
        sys.stderr.write(told + "\n")
        began = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(began) + CPU_SECONDS, resource.RLIM_INFINITY))
        opened.clear(), forbidden.clear()
        watching, count = True, count + 1
        try:
            load(folder, *case)
        except VczooError as error:
            if len(str(error)) > 10_000:
                faults.append(f"{told}: an error of {len(str(error))} characters")
        except Exception as error:
            faults.append(f"{told}: {type(error).__name__}: {error!s:.300}")
        watching = False
        slowest = max(slowest, (time.process_time() - began, told))
        if value in PATHS and (found := [path for path in opened if path.endswith(value)]):
            faults.append(f"{told}: opened {found}")
        faults += [f"{told}: {event}" for event in forbidden]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(json.dumps({"count": count, "faults": faults, "slowest": slowest, "peak_mb": peak}))  # noqa: T201  to the test


if __name__ == "__main__":
    main(Path(sys.argv[1]))
