"""Model card of a run: the README.md of its repository, including the metadata block.

The text is in `card_template.md`, a Jinja template. Names of voices, recipes and datasets are untrusted text, so the
template passes them through the functions of `vczoo.io.markdown`.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import ModelCard

from vczoo.hub.card_facts import CardFacts, PartFacts, SampleFacts, VoiceFacts
from vczoo.hub.card_figures import check_figures
from vczoo.hub.card_lineage import credits_of, described
from vczoo.hub.card_metadata import metadata_of
from vczoo.hub.card_results import evaluation_of, metrics_of
from vczoo.io.markdown import code, escaped, fenced, link, one_line, web_address
from vczoo.io.text import counted

__all__ = ["CardFacts", "PartFacts", "SampleFacts", "VoiceFacts", "make_card"]

TEMPLATE = Path(__file__).with_name("card_template.md")
MOST = {"ancestors": 20, "files": 40, "labels": 40, "voices": 30}  # entries of a list; a run may have 10,000 voices
MOST_SAMPLES = 12
LONGEST_RECIPE = 20_000  # characters
SHORT = 12  # hex digits of a hash or revision
FEW_MINUTES = 5
_RECOGNITION_COMMANDS = (
    ("speaker", "identify", "who.wav"),
    ("text", "transcribe", "hello.wav"),
    ("label", "classify", "hello.wav"),
)  # task of the head, method and command, example file


def make_card(facts: CardFacts) -> str:
    """Write the model card of a run.

    Args:
        facts: Contents of the card.

    Returns:
        The text of README.md, which begins with the Hub's metadata block.

    Raises:
        HubError: A figure has a type that cannot be shown. The message names its key.
    """
    check_figures(facts.metrics, facts.evaluation)
    return f"{ModelCard.from_template(metadata_of(facts), str(TEMPLATE), **_values(facts))}\n"


def _values(facts: CardFacts) -> dict[str, Any]:
    """The variables and functions of the template."""
    python, shell = _usage(facts)
    splits, metrics = metrics_of(facts)
    trained = facts.trained_minutes
    samples = facts.samples[:MOST_SAMPLES]
    cut = "\n# … shortened; see vczoo.yaml" if len(facts.recipe_yaml) > LONGEST_RECIPE else ""
    return {
        "facts": facts,
        "most": MOST,
        "code": code,
        "escaped": escaped,
        "fenced": fenced,
        "link": link,
        "size": _size,
        "described": partial(described, endpoint=facts.endpoint),
        "origin": partial(_origin, facts),
        "voices_in_words": _voices_in_words(facts.voices),
        "samples": samples,
        "transcribed": any(escaped(sample.words) or sample.speaker for sample in samples),
        "python": python,
        "shell": shell,
        "evaluation": evaluation_of(facts),
        "splits": splits,
        "metrics": metrics,
        "run_in_words": _run_in_words(facts),
        "recipe": facts.recipe_yaml[:LONGEST_RECIPE] + cut,
        "least_minutes": min(trained) if facts.voices and trained and min(trained) < FEW_MINUTES else None,
        "credits": credits_of(facts),
    }


def _usage(facts: CardFacts) -> tuple[str, str]:
    """Return the example for Python, and the one for a shell."""
    name = one_line(facts.repository) + (f"@{one_line(facts.revision)}" if facts.revision else "")
    voice = next((v.name for v in facts.voices if v.name.isprintable() and len(v.name) <= 60), "NAME")
    packages = " ".join(shlex.quote(package) for package in dict.fromkeys(("vczoo", *facts.versions)))
    python, shell = [f"vc = vczoo.load({_quoted(name)})"], [f"pip install {packages}"]
    if facts.converts:
        python.append(f'vc.convert("hello.wav", voice={_quoted(voice)}).save("converted.wav")')
        shell.append(f"vczoo convert {shlex.quote(name)} hello.wav --voice {shlex.quote(voice)} --out converted.wav")
    for task, verb, file in _RECOGNITION_COMMANDS:
        if facts.has(task) and not (task == "speaker" and facts.converts):
            python.append(f'print(vc.{verb}("{file}"))')
            shell.append(f"vczoo {verb} {shlex.quote(name)} {file}")
    return "\n".join(("import vczoo", "", *python)), "\n".join(shell)


def _run_in_words(facts: CardFacts) -> str:
    trained = facts.trained_minutes
    sentences = []
    if trained:
        verb = "Fine-tuned" if facts.lineage else "Trained"
        sentences.append(f"{verb} on {sum(trained):.1f} minutes of speech of {counted(len(trained), 'speaker')}.")
    epochs, best, seconds = (facts.metrics.get(name) for name in ("epochs", "best_epoch", "seconds"))
    kept = facts.metrics.get("kept_epoch", best)
    if isinstance(epochs, int) and epochs > 0:
        selected = f"; the weights are from epoch {kept}" if isinstance(kept, int) else ""
        if isinstance(best, int) and best != kept:
            selected += f", and validation was best at epoch {best}"
        duration = f" in {seconds:.0f} s" if isinstance(seconds, int | float) else ""
        sentences.append(f"{counted(epochs, 'epoch')}{duration}{selected}.")
    if facts.seed is not None:
        sentences.append(f"Seed {facts.seed}.")
    if facts.languages:
        sentences.append(f"Language of the speech: {', '.join(escaped(name) for name in facts.languages)}.")
    sentences.append("vczoo.yaml lists all hashes and revisions in full; `vczoo verify` checks them.")
    return " ".join(sentences)


def _origin(facts: CardFacts, part: PartFacts) -> str:
    """Name the source of a part's weights in Markdown."""
    host = urlsplit(web_address(part.source)).netloc  # empty for a repository of the Hub
    address = part.source if host else f"{facts.endpoint.rstrip('/')}/{part.source}"
    details = [f"weights of {described(part.start, facts.endpoint)}"] if part.start else []
    details += [link(host or part.source, address)] if part.source else []
    details += [f"revision {code(part.revision[:SHORT])}"] if part.revision else []
    details += [f"sha256 {code(part.sha256[:SHORT])}"] if part.sha256 else []
    return ", ".join(details) or "no pretrained weights"


def _voices_in_words(voices: Sequence[VoiceFacts]) -> str:
    if not voices:
        return "voices that you enroll"
    if len(voices) == 1:
        return f"the voice of {code(voices[0].name)}"
    if len(voices) <= 3:
        names = [code(voice.name) for voice in voices]
        return f"the voices of {', '.join(names[:-1])} and {names[-1]}"
    return f"{len(voices):,} voices"


def _quoted(text: str) -> str:
    """Return `text` as a Python string literal, in double quotes unless it contains quotes or backslashes."""
    return repr(text) if set(text) & set('"\\') else f'"{text}"'


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
