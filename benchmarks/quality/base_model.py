"""Quality of the base model: its conversions, the speakers and words left in its content, and bad input.

    pip install "vczoo[eval-all,demo]"
    python -m benchmarks.quality.base_model --data VCTK --digits FSDD --keep FOLDER
    python -m benchmarks.quality.base_model --data VCTK --digits FSDD --keep FOLDER \\
        --part content --teacher-weights WHISPER

`conversion`: pairs of speakers, none of whom it was trained on: VCTK's, or with --set clean5-kept-out readers of
LibriSpeech. The model is enrolled with each target, and tuned
to each target separately, with its own vocoder and with Griffin-Lim. The floor is the unconverted source; the ceilings
are the source through either vocoder and real speech of the target. `content`: classifiers of speakers, which should
fail, and of digits, which should not. `inputs`: telephones, noise, whispers and worse.

Tuned models stay in --keep, and the same command measures them again without tuning again, so use another folder for
another model. FSDD is a folder of the Free Spoken Digit Dataset, `<speaker>/<digit>_<speaker>_<take>.wav`.
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
from benchmarks.quality.systems import RECOGNISERS, SETS, Bench, print_report, print_rows
from benchmarks.robustness import base_model as robustness

PARTS = ("conversion", "content", "inputs")


def named(text: str) -> str | Path:
    """A recipe's name, or the path of an existing run or recipe file, which has to contain a slash."""
    return Path(text) if "/" in text and Path(text).exists() else text


def arguments_of(command_line: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the speakers: p225/*.flac and so on")
    parser.add_argument("--set", choices=SETS, default=SETS[0], help="the trial list; --data is then its folder")
    parser.add_argument("--digits", type=Path, help="the Free Spoken Digit Dataset, which content needs")
    parser.add_argument("--keep", type=Path, required=True, help="a folder for the tuned models and the WAV files")
    parser.add_argument("--part", action="append", choices=PARTS, help="a part to measure; by default all")
    parser.add_argument("--model", type=named, default="base", help="a recipe or a run's folder")
    parser.add_argument("--option", action="append", default=[], help="overrides for it, like backbone.width=16")
    parser.add_argument("--tuned-recipe", type=named, default="base-partialfreeze", help="'' for no tuned rows")
    parser.add_argument("--tuning", action="append", default=[], help="overrides for it, like training.epochs=10")
    parser.add_argument("--only", default="", help="measure the converting systems with this in their names only")
    parser.add_argument("--asr", action="append", default=[], help="speech recognizers, the main one first")
    parser.add_argument("--teacher", default="transformers/whisper-tiny.en", help="a backbone to compare with")
    parser.add_argument("--teacher-weights", help="its weights; without them, it is left out")
    parser.add_argument("--teacher-layer", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2, help="the number of networks trained on the content")
    parser.add_argument("--language", type=Path, help="speech in another language; by default synthetic Finnish")
    parser.add_argument("--threads", type=int, help="threads for torch; by default its own choice")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/base_model.json"))
    return parser.parse_args(command_line)


def main(command_line: list[str] | None = None) -> None:
    arguments = arguments_of(command_line)
    parts = arguments.part or PARTS
    if "content" in parts and not arguments.digits:
        raise SystemExit("--part content is measured on digits: add --digits FSDD, or choose other parts with --part")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    bench = Bench(arguments.data, arguments.keep, arguments.set)
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
        measures = vczoo.load_measures("resemblyzer", arguments.asr or RECOGNISERS)
    for part in PARTS:
        if part not in parts:
            continue
        began = time.perf_counter()
        results[part] = measured(part, arguments, bench, converter, measures)
        results["seconds"][part] = time.perf_counter() - began
        # Written after each part, so that an interruption loses none.
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{part}: {results['seconds'][part]:.0f} s\n", flush=True)


def measured(
    part: str, arguments: argparse.Namespace, bench: Bench, converter: vczoo.Converter, measures: Any
) -> dict[str, Any] | list[dict[str, Any]]:
    """Measure one part and print its table."""
    if part == "conversion":
        report = base_model_conversion.report(
            bench, converter, arguments.tuned_recipe, arguments.tuning, measures, arguments.only
        )
        print_report(report)
        print(f"RTF with {report.setup['threads']} threads")
        return report.to_plain()
    if part == "content":
        teacher = None
        if arguments.teacher_weights:
            teacher = base_model_content.teacher_of(
                arguments.teacher, arguments.teacher_weights, arguments.teacher_layer
            )
        features = base_model_content.features_of(converter.model, teacher)
        rows = base_model_content.measure(base_model_content.tasks(arguments.digits, bench), features, arguments.seeds)
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
    print(f"{results['model']}: {sizes['whole_megabytes']:.2f} MB when saved with all weights", end="")
    print(f", {shipped:.2f} MB as shipped" if shipped else "")
    print("parameters: " + ", ".join(f"{name} {count:,}" for name, count in sizes["parameters"].items()), flush=True)


if __name__ == "__main__":
    main()
