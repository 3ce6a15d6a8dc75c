"""Sharing cost: size of a shared model, its loading time, and the time of its checks when pushed and pulled.

    pip install ./plugins/vczoo-torchvision ./plugins/vczoo-transformers
    python -m benchmarks.speed.hub                        # three tables; --only sizes | load | transfer

Loading is compared with plain torch: torch.load (weights_only) of one file with all tensors of the model, building the
same model with random values, and load_state_dict, which checks names and shapes and nothing else; and with that
torch.load by itself. Publishing and fetching are compared with upload_folder and snapshot_download of the same files.
The Hub is the one of the tests, on this machine. Times are medians in one process after a warm-up, with all sides in
turn and the files in the system's cache.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.hub_fixtures import TERMS, Speakers, speakers_on_a_hub

MEGABYTE = 1_000_000
RECIPES = ("vgg16-fullfreeze", "vgg16-partialfreeze", "resnet18-norms", "whisper-tiny-decoder", "demo")
LOADED = ("vgg16-fullfreeze", "vgg16-partialfreeze", "whisper-tiny-decoder", "demo")
WIDTHS = {20: 435, 200: 1610}  # width of the demo's backbone for a run of this many megabytes
RUN_FILES = ["vczoo.yaml", "*.safetensors", "metrics.json"]
COMPARED = {
    "load": (("folder", "torch"), ("hub", "torch"), ("folder", "torch.load")),
    "transfer": (("push", "upload_folder"), ("pull", "snapshot_download")),
}


def sizes(speakers: Speakers) -> list[dict[str, Any]]:
    """Sizes of each recipe's pushed files, of the whole model as one file, and of its base's published file."""
    import torch

    import vczoo
    from vczoo.registry.zoo import the_zoo

    rows = []
    for recipe in RECIPES:
        converter = vczoo.load(speakers.run(recipe))
        files = converter.push_to_hub(f"me/{recipe}", **TERMS, dry_run=True).files
        model, whole = converter.model, io.BytesIO()
        torch.save(model.state_dict(), whole)
        weights = the_zoo().find("backbone", converter.recipe.backbone.use)[0].weights
        heads = sum(tensor.numel() * tensor.element_size() for tensor in model.heads.state_dict().values())
        rows.append(
            {
                "recipe": recipe,
                "pushed": sum(files.values()) / MEGABYTE,
                "heads": heads / MEGABYTE,
                "whole": len(whole.getvalue()) / MEGABYTE,
                "base": weights[0].size_bytes / MEGABYTE if weights else None,
            }
        )
    return [row | shares(row) for row in rows]


def shares(row: Mapping[str, Any]) -> dict[str, float | None]:
    """The pushed files as a share of the whole model's file, and of the base's published file with these heads."""
    base = row["base"]
    return {
        "of_whole": row["pushed"] / row["whole"],
        "of_base": row["pushed"] / (base + row["heads"]) if base else None,
    }


def load(speakers: Speakers, repeats: int) -> list[dict[str, Any]]:
    """Loading a run from its folder and from the Hub's cache, compared with the same tensors by plain torch."""
    import torch

    import vczoo

    rows = []
    for recipe in LOADED:
        folder, name, file = speakers.run(recipe), speakers.published(recipe), speakers.folder / f"{recipe}.pt"
        torch.save(vczoo.load(folder).model.state_dict(), file)
        plain = by_torch(vczoo.load(folder).run, file)
        seconds = in_turn(
            {
                "folder": lambda folder=folder: vczoo.load(folder),
                "hub": lambda name=name: vczoo.load(name),
                "torch": plain,
                "torch.load": lambda file=file: torch.load(file, map_location="cpu", weights_only=True),
            },
            repeats,
        )
        ours, theirs = vczoo.load(name).model.state_dict(), plain().state_dict()
        assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())
        rows.append({"recipe": recipe, "megabytes": file.stat().st_size / MEGABYTE, "seconds": seconds})
    return rows


def by_torch(run: Any, file: Path) -> Callable[[], Any]:
    """The baseline: build a run's model with random values and fill it from one file."""
    import torch

    from vczoo.models.build import build

    fresh, speakers = run.recipe, len(run.speakers)
    if run.model.base:
        fresh = fresh.model_copy(update={"backbone": fresh.backbone.model_copy(update={"weights": "random"})})

    def call() -> Any:
        model = build(fresh, speakers)
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        return model.eval()

    return call


def transfer(speakers: Speakers, megabytes: Sequence[int], repeats: int) -> list[dict[str, Any]]:
    """Publishing and fetching a run, compared with the client's own calls on the same files."""
    import vczoo
    from vczoo.hub.pull import pull

    rows = []
    for size in megabytes:
        width = f"backbone.width={WIDTHS[size]}"
        name, files = speakers.published("demo", width), speakers.folder / f"files-{size}"
        calls = transfers(vczoo.load(speakers.run("demo", width)), name, pull(name, files).folder)
        seconds = in_turn(calls, repeats)
        rows.append({"megabytes": sum(path.stat().st_size for path in files.iterdir()) / MEGABYTE, "seconds": seconds})
    return rows


def transfers(converter: Any, name: str, files: Path) -> dict[str, Callable[[], Any]]:
    """Each way to publish into a new repository, and to fetch into an empty cache."""
    from huggingface_hub import HfApi, snapshot_download

    from vczoo.hub.pull import pull

    numbers = iter(range(1_000_000))

    def upload() -> None:
        HfApi().create_repo(new := f"{name}-{next(numbers)}")
        HfApi().upload_folder(repo_id=new, folder_path=files)

    def fetch(call: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            with empty_cache():
                call()

        return run

    return {
        "push": lambda: converter.push_to_hub(f"{name}-{next(numbers)}", **TERMS),
        "upload_folder": upload,
        "pull": fetch(lambda: pull(name)),
        "snapshot_download": fetch(lambda: snapshot_download(name, allow_patterns=RUN_FILES)),
    }


@contextlib.contextmanager
def empty_cache() -> Iterator[None]:
    """A temporary folder as the cache of the Hub's client."""
    from huggingface_hub import constants

    with tempfile.TemporaryDirectory() as place:
        before, constants.HF_HUB_CACHE = constants.HF_HUB_CACHE, place
        try:
            yield
        finally:
            constants.HF_HUB_CACHE = before


def in_turn(
    calls: Mapping[str, Callable[[], Any]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """The median seconds of each call. Every round runs all calls in turn; the first round is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(repeats + 1):
        for name, call in calls.items():
            began = clock()
            with contextlib.redirect_stderr(io.StringIO()):
                result = call()
            ended = clock()
            del result
            if round_:
                seconds[name].append(ended - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def lines(name: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of a table."""
    if name == "sizes":
        yield f"{'MB':22}{'pushed':>8}{'heads':>8}{'whole':>8}{'share':>8}{'base':>8}{'share':>8}"
        for row in rows:
            base = f"{row['base']:8.1f}{row['of_base']:8.3f}" if row["base"] else f"{'-':>8}{'-':>8}"
            own = f"{row['pushed']:8.2f}{row['heads']:8.2f}{row['whole']:8.2f}{row['of_whole']:8.3f}"
            yield f"{row['recipe']:22}{own}{base}"
        return
    yield f"{'':32}{'seconds':>16}{'compared with':>28}{'ratio':>8}"
    for row in rows:
        title = f"{row.get('recipe', 'run')}, {row['megabytes']:.0f} MB"
        for mine, theirs in COMPARED[name]:
            own, other = row["seconds"][mine], row["seconds"][theirs]
            yield f"{title:32}{mine:>8}{own:8.3f}{theirs:>20}{other:8.3f}{own / other:8.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tables = ("sizes", "load", "transfer")
    parser.add_argument("--only", nargs="*", choices=tables, default=tables)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--megabytes", type=int, nargs="*", choices=list(WIDTHS), default=list(WIDTHS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/hub.json"))
    arguments = parser.parse_args()
    results: dict[str, list[dict[str, Any]]] = {}
    with speakers_on_a_hub() as speakers:
        if {"sizes", "load"} & set(arguments.only):
            speakers.write_bases()
        work = {
            "sizes": lambda: sizes(speakers),
            "load": lambda: load(speakers, arguments.repeats),
            "transfer": lambda: transfer(speakers, arguments.megabytes, arguments.repeats),
        }
        for name in arguments.only:
            results[name] = work[name]()
            print("\n" + "\n".join(lines(name, results[name])), flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
