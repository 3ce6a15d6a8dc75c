"""The base model: how it converts, what its content tells of speakers and of words, and what bad input makes of it.

    pip install "vczoo[eval,demo]"
    python -m benchmarks.quality.base_model --data VCTK --digits FSDD --keep FOLDER
    python -m benchmarks.quality.base_model --data VCTK --digits FSDD --keep FOLDER \\
        --part content --teacher-weights WHISPER

`conversion`: pairs of VCTK speakers, none of which it was trained on, enrolled and tuned to each target by itself; both
by the model's own vocoder and by Griffin-Lim. The floor is the unconverted source, the ceilings are the source through
either vocoder and real speech of the target. `content`: classifiers of speakers, which should fail, and of digits,
which should not. `inputs`: telephones, noise, whispers and worse.

What is tuned stays in --keep, and the same command measures it again without tuning again: another model wants another
folder. FSDD is a folder of the Free Spoken Digit Dataset, `<speaker>/<digit>_<speaker>_<take>.wav`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

import vczoo
from benchmarks.quality import base_model_content, base_model_conversion
from benchmarks.quality.systems import RECOGNISERS, Bench, print_report, print_rows
from benchmarks.robustness import base_model as robustness

PARTS = ("conversion", "content", "inputs")


def named(text: str) -> str | Path:
    """A recipe's name; or the path of a run or of a recipe's file, which has a slash in it and is there."""
    return Path(text) if "/" in text and Path(text).exists() else text


def arguments_of(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="VCTK speakers: p225/*.flac and so on")
    parser.add_argument("--digits", type=Path, help="the Free Spoken Digit Dataset; content needs it")
    parser.add_argument("--keep", type=Path, required=True, help="what is tuned, and the WAV files")
    parser.add_argument("--part", action="append", choices=PARTS, help="all without")
    parser.add_argument("--model", type=named, default="base", help="a recipe or a run's folder")
    parser.add_argument("--option", action="append", default=[], help="overrides of that recipe: backbone.width=16")
    parser.add_argument("--tuned-recipe", type=named, default="base-partialfreeze", help="'' leaves these rows out")
    parser.add_argument("--tuning", action="append", default=[], help="overrides of it: training.epochs=10")
    parser.add_argument("--asr", action="append", default=[], help="recognisers, the main one first")
    parser.add_argument("--teacher", default="transformers/whisper-tiny.en", help="beside the content, with weights")
    parser.add_argument("--teacher-weights", help="of it; without, it is left out")
    parser.add_argument("--teacher-layer", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2, help="networks that are trained on the content")
    parser.add_argument("--language", type=Path, help="recordings of another language; synthetic Finnish without")
    parser.add_argument("--threads", type=int, help="that torch computes with; all without")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/base.json"))
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> None:
    arguments = arguments_of(given)
    parts = arguments.part or PARTS
    if "content" in parts and not arguments.digits:
        raise SystemExit("content is measured on digits: give --digits, or choose other parts with --part")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    bench = Bench(arguments.data, arguments.keep)
    converter = vczoo.load(arguments.model, arguments.option)
    results: dict[str, Any] = {
        "model": str(arguments.model),
        "threads": torch.get_num_threads(),
        "sizes": base_model_conversion.sizes(arguments.model, converter),
        "seconds": {},
    }
    show_sizes(results)
    measures = None
    if {"conversion", "inputs"} & set(parts):
        measures = vczoo.load_measures(asr=arguments.asr or RECOGNISERS)
    for part in PARTS:
        if part not in parts:
            continue
        began = time.perf_counter()
        results[part] = measured(part, arguments, bench, converter, measures)
        results["seconds"][part] = time.perf_counter() - began
        # What is known so far, so that an interruption loses no part.
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{part}: {results['seconds'][part]:.0f} s\n", flush=True)


def measured(
    part: str, arguments: argparse.Namespace, bench: Bench, converter: vczoo.Converter, measures: Any
) -> dict[str, Any] | list[dict[str, Any]]:
    """One part, measured and printed."""
    if part == "conversion":
        report = base_model_conversion.report(bench, converter, arguments.tuned_recipe, arguments.tuning, measures)
        print_report(report)
        print(f"RTF with {report.setup['threads']} threads")
        return report.to_plain()
    if part == "content":
        teacher = None
        if arguments.teacher_weights:
            teacher = base_model_content.teacher_of(
                arguments.teacher, arguments.teacher_weights, arguments.teacher_layer
            )
        hear = base_model_content.listeners(converter.model, teacher)
        rows = base_model_content.measure(base_model_content.tasks(arguments.digits, bench), hear, arguments.seeds)
        texts = [base_model_content.text_of(row) for row in rows]
    else:
        kinds = robustness.kinds(bench, bench.keep / "inputs", arguments.digits, arguments.language)
        rows = robustness.measure(converter, bench, measures, kinds)
        texts = [robustness.text_of(row) for row in rows]
    print_rows(texts)
    return rows


def show_sizes(results: dict[str, Any]) -> None:
    sizes = results["sizes"]
    shipped = sizes["shipped_megabytes"]
    print(f"{results['model']}: {sizes['whole_megabytes']:.2f} MB written whole", end="")
    print(f", {shipped:.2f} MB where it lies" if shipped else "")
    print("parameters: " + ", ".join(f"{name} {count:,}" for name, count in sizes["parameters"].items()), flush=True)


if __name__ == "__main__":
    main()
