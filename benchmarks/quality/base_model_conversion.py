"""Conversions of the base model: a table of enrolled and tuned voices, with its own vocoder and with Griffin-Lim."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import vczoo
from benchmarks.quality.systems import Bench, System, by_own, mean_seconds, resynthesize
from vczoo.audio.specs import MelSpec, mismatches
from vczoo.conversion.load import read_name
from vczoo.models.model import Model
from vczoo.modules.vocoders.griffin_lim import GriffinLim

PLAIN = "griffin-lim"


def report(
    bench: Bench,
    converter: vczoo.Converter,
    tuned: str | Path,
    tuning: Sequence[str],
    measures: vczoo.Measures,
    only: str = "",
) -> vczoo.Report:
    """Measure the floor, the ceilings, and the model enrolled with each target and tuned to it.

    Args:
        bench: The targets, and the folder where tuned models stay.
        converter: The model under test.
        tuned: The recipe or run to tune to each target; empty to leave these rows out.
        tuning: Overrides for it.
        measures: The models that measure.
        only: Text in the names of the systems to measure, beside the floor; "" for all, and the ceilings.
    """
    name = converter.recipe.name
    evaluation = vczoo.Evaluation(bench.trials, bench.references, measures, say=lambda line: print(line, flush=True))
    scores = [evaluation.floor()]
    if not only:
        for vocoder, model in by_vocoder(converter):
            copies = evaluation.convert(partial(resynthesize, model.model))
            scores.append(evaluation.score(f"source through {vocoder}", copies, role="ceiling"))
        scores += [real] if (real := evaluation.real_target()) else []
    makers: dict[str, Callable[[], System]] = {}  # by the name of the system

    def enrolled(system: str, model: vczoo.Converter) -> System:
        return System(system, bench.enrolled(model), model.recipe, 0.0)

    for vocoder, model in by_vocoder(converter):
        system = f"{name}, zero-shot, {vocoder}"
        makers[system] = partial(enrolled, system, model)
    if tuned:
        shown = Path(tuned).stem
        converters = {}  # by vocoder and target; trained for the first row that needs them

        def of_each(vocoder: str, system: str) -> System:
            if not converters:
                for voice, model in bench.tuned_to_each(tuned, f"tuned-{shown}", tuning).items():
                    for use, with_it in by_vocoder(model):
                        converters.setdefault(use, {})[voice] = with_it
            own = converters[vocoder]
            note = f"tuned to each of {len(own)} targets separately; the seconds are for one target"
            recipe = next(iter(own.values())).recipe
            return System(system, by_own(own), recipe, mean_seconds(own), (note,))

        for vocoder, _ in by_vocoder(converter):
            system = f"{shown}, {vocoder}"
            makers[system] = partial(of_each, vocoder, system)
    return bench.measure(evaluation, scores, [make for system, make in makers.items() if only in system])


def by_vocoder(converter: vczoo.Converter) -> Iterator[tuple[str, vczoo.Converter]]:
    """The converter with its own vocoder, and with Griffin-Lim if that accepts the same mel; they share no voices."""
    own = converter.recipe.vocoder
    if own is None:
        raise SystemExit(f"{converter.recipe.name} has no vocoder, so it cannot convert")
    yield own.use, with_vocoder(converter, converter.model.vocoder)
    mel_spec = converter.model.vocoder.accepts
    if own.use == PLAIN or not isinstance(mel_spec, MelSpec):
        return
    plain = GriffinLim(
        num_mels=mel_spec.num_mels,
        fft_length=mel_spec.fft_length,
        hop_length=mel_spec.hop_length,
        sample_rate_hz=mel_spec.sample_rate_hz,
    )
    if faults := mismatches(plain.accepts, mel_spec):
        print(f"no rows with {PLAIN}: {'; '.join(faults)}")
        return
    yield PLAIN, with_vocoder(converter, plain)


def with_vocoder(converter: vczoo.Converter, vocoder: Any) -> vczoo.Converter:
    """A converter with the same backbone and heads, another vocoder, and its own list of voices."""
    run = converter.run
    heads = dict(run.model.heads.items())
    model = Model(run.model.backbone, heads, run.model.loss_weights, vocoder, run.model.acoustic_heads)
    return vczoo.Converter(replace(run, model=model, voices=dict(run.voices)), converter.device)


def sizes(name: str | Path, converter: vczoo.Converter) -> dict[str, Any]:
    """Sizes of a model: MB of its safetensors, as shipped and saved with all weights, and parameters of each part."""
    model = converter.model
    parts = {"backbone": model.backbone, **{f"heads.{key}": head for key, head in model.heads.items()}}
    if model.vocoder:
        parts["vocoder"] = model.vocoder
    counts = {part: sum(tensor.numel() for tensor in module.parameters()) for part, module in parts.items()}
    with TemporaryDirectory(prefix="vczoo-size-") as place:
        copy = vczoo.Converter(replace(converter.run), converter.device)  # a run remembers where it was saved
        whole = megabytes(copy.save(Path(place) / "run", whole=True))
    folder = folder_of(name)
    return {
        "shipped_megabytes": megabytes(folder) if folder else None,
        "whole_megabytes": whole,
        "parameters": {**counts, "all": sum(counts.values())},
    }


def folder_of(name: str | Path) -> Path | None:
    """The folder of the model's tensors: the run's own, or that of the run that a recipe starts from."""
    kind, place = read_name(name)
    if kind == "run":
        return Path(place)
    if kind != "recipe":
        return None
    from vczoo.models.recipe import read_recipe

    start = getattr(read_recipe(place), "start", "")
    inside = Path(vczoo.__file__).parent / "assets" / start
    folder = inside if inside.is_dir() else Path(start).expanduser()
    return folder if start and folder.is_dir() else None


def megabytes(folder: Path) -> float:
    """Size of the folder's safetensors files, in MB."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e6
