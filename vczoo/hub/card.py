"""Model card of a run: the README.md of its repository, including the metadata block.

Names of voices, recipes and datasets are untrusted text, so they are escaped with `vczoo.io.markdown`.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from urllib.parse import urlsplit

from vczoo.hub.card_facts import CardFacts, PartFacts, SampleFacts, VoiceFacts
from vczoo.hub.card_figures import check_figures
from vczoo.hub.card_lineage import credits_of, described, lineage_table
from vczoo.hub.card_metadata import front_matter
from vczoo.hub.card_results import quality
from vczoo.io.markdown import code, escaped, fenced, link, one_line, table, web_address

__all__ = ["CardFacts", "PartFacts", "SampleFacts", "VoiceFacts", "make_card"]

MOST_VOICES = 30  # rows of the table; a run may have 10,000 voices
MOST_LABELS = 40
MOST_SAMPLES = 12
MOST_FILES = 40
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
    sections = (
        front_matter(facts),
        _opening(facts),
        _consent(facts),
        _samples(facts),
        _usage(facts),
        quality(facts),
        _details(facts),
        _limits(facts),
        _license(facts),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def _opening(facts: CardFacts) -> str:
    voices = _voices_in_words(facts.voices)
    abilities = []
    if facts.converts:
        abilities.append(f"Converts recordings of speech into {voices}.")
    elif facts.has("speaker"):
        abilities.append(f"Recognizes {voices} in recordings.")
    if facts.has("text"):
        abilities.append("Transcribes speech.")
    if facts.has("label"):
        shown = ", ".join(code(label) for label in facts.labels[:MOST_LABELS])
        more = f" and {len(facts.labels) - MOST_LABELS:,} more" if len(facts.labels) > MOST_LABELS else ""
        abilities.append(f"Classifies utterances with these labels: {shown}{more}.")
    name = facts.repository.rpartition("/")[2]
    verb = "Made" if facts.metrics.get("epochs", 0) == 0 else "Fine-tuned"
    origin = f"{verb} with vczoo from the recipe {code(facts.recipe)}: {escaped(facts.summary.rstrip('.'))}."
    if facts.lineage:
        origin += f" It began with the weights of {described(facts.lineage[0], facts.endpoint)}."
    return f"# {escaped(name)}\n\n{' '.join(abilities)} {origin}"


def _consent(facts: CardFacts) -> str:
    shown = facts.voices[:MOST_VOICES]
    rows = [(code(v.name), "enrolled without training" if v.minutes is None else f"{v.minutes:.1f}") for v in shown]
    more = len(facts.voices) - len(shown)
    return "\n\n".join(
        [
            "## Voices and consent",
            f"**{escaped(facts.consent.statement)}.** {escaped(facts.consent.sentence)}",
            *([table(("voice", "minutes of training speech"), rows)] if rows else []),
            *([f"And {more:,} more voices; vczoo.yaml has the full list."] if more > 0 else []),
        ]
    )


def _samples(facts: CardFacts) -> str:
    if not facts.samples:
        return ""
    shown = facts.samples[:MOST_SAMPLES]
    transcripts = [
        escaped(sample.words) + (f" (spoken by {escaped(sample.speaker)})" if sample.speaker else "")
        for sample in shown
    ]
    rows = [
        (code(sample.voice), *([words] if any(transcripts) else []), _player(facts.url(sample.path)))
        for sample, words in zip(shown, transcripts, strict=True)
    ]
    header = ("voice", *(["transcript"] if any(transcripts) else []), "conversion")
    return "## Listen\n\n" + table(header, rows, left=len(header))


def _player(url: str) -> str:
    return f'<audio controls preload="none" src="{url}"></audio>'


def _usage(facts: CardFacts) -> str:
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
    plugins = [code(f"{package} {version}") for package, version in facts.versions.items()]
    versions = (
        f"Made with {', '.join(plugins)}. vczoo reports missing plugins, but never installs them. " if plugins else ""
    )
    pin = "" if facts.revision else " To always load the same model, append `@` and a commit or tag to the name."
    return "\n\n".join(
        [
            "## Usage",
            fenced("\n".join(("import vczoo", "", *python)), "python"),
            fenced("\n".join(shell), "sh"),
            f"{versions}vczoo reads only YAML, JSON and safetensors from this repository, and runs no code.{pin}",
        ]
    )


def _details(facts: CardFacts) -> str:
    rows = [
        (
            escaped(part.role),
            code(part.use) + (f", weights {code(part.weights)}" if part.weights and not part.start else ""),
            _origin(facts, part),
            escaped(part.licence or "unknown"),
        )
        for part in facts.parts
    ]
    recipe = facts.recipe_yaml[:LONGEST_RECIPE]
    cut = "\n# … shortened; see vczoo.yaml" if len(facts.recipe_yaml) > LONGEST_RECIPE else ""
    files = sorted(facts.files.items())
    sizes = [(code(path), _size(count)) for path, count in files[:MOST_FILES]]
    return "\n\n".join(
        [
            "## Model details",
            _run_in_words(facts),
            *lineage_table(facts),
            *([table(("part", "name", "source", "license"), rows, left=4)] if rows else []),
            f"<details>\n<summary>Recipe</summary>\n\n{fenced(recipe + cut, 'yaml')}\n\n</details>",
            *(
                [
                    f"<details>\n<summary>Files, {_size(sum(facts.files.values()))} in total</summary>\n\n"
                    f"{table(('file', 'size'), sizes)}\n\n</details>"
                ]
                if sizes
                else []
            ),
        ]
    )


def _run_in_words(facts: CardFacts) -> str:
    trained = facts.trained_minutes
    sentences = []
    if trained:
        verb = "Fine-tuned" if facts.lineage else "Trained"
        sentences.append(f"{verb} on {sum(trained):.1f} minutes of speech of {_count(len(trained), 'speaker')}.")
    epochs, best, seconds = (facts.metrics.get(name) for name in ("epochs", "best_epoch", "seconds"))
    kept = facts.metrics.get("kept_epoch", best)
    if isinstance(epochs, int) and epochs > 0:
        selected = f"; the weights are from epoch {kept}" if isinstance(kept, int) else ""
        if isinstance(best, int) and best != kept:
            selected += f", and validation was best at epoch {best}"
        duration = f" in {seconds:.0f} s" if isinstance(seconds, int | float) else ""
        sentences.append(f"{_count(epochs, 'epoch')}{duration}{selected}.")
    if facts.seed is not None:
        sentences.append(f"Seed {facts.seed}.")
    if facts.languages:
        sentences.append(f"Language of the speech: {', '.join(escaped(name) for name in facts.languages)}.")
    sentences.append("vczoo.yaml lists all hashes and revisions in full; `vczoo verify` checks them.")
    return " ".join(sentences)


def _origin(facts: CardFacts, part: PartFacts) -> str:
    host = urlsplit(web_address(part.source)).netloc  # empty for a repository of the Hub
    address = part.source if host else f"{facts.endpoint.rstrip('/')}/{part.source}"
    details = [f"weights of {described(part.start, facts.endpoint)}"] if part.start else []
    details += [link(host or part.source, address)] if part.source else []
    details += [f"revision {code(part.revision[:SHORT])}"] if part.revision else []
    details += [f"sha256 {code(part.sha256[:SHORT])}"] if part.sha256 else []
    return ", ".join(details) or "no pretrained weights"


def _limits(facts: CardFacts) -> str:
    lines = []
    if facts.converts:
        lines += [
            "Conversion changes the voice but not the way of speaking: rhythm and accent stay mostly as in the source.",
            "It is not made for music, noise, several people at once, singing, shouting or whispering.",
            "Words can be wrong or blurred: listen to a conversion before you rely on it.",
        ]
    elif facts.has("speaker"):
        lines.append(
            "It assigns every voice to a speaker that it knows. Do not use it for access control or as evidence."
        )
    if facts.has("text"):
        lines.append(
            "It transcribes any input, including noise and other languages. Unusual words and accents cause errors."
        )
    if facts.has("label"):
        lines.append(
            "It assigns one of its labels to every recording. That is not evidence of what a person feels or is."
        )
    trained = facts.trained_minutes
    if facts.voices and trained and min(trained) < FEW_MINUTES:
        lines.append(
            f"Some voices had little training speech, as little as {min(trained):.1f} minutes, and are less similar."
        )
    if any(voice.minutes is None for voice in facts.voices):
        lines.append("Voices enrolled without training are less similar to their speakers than trained ones.")
    misuse = (
        "Do not make people say things that they did not agree to say. Do not use this model for impersonation, fraud, "
        "bypassing voice authentication, mockery or harassment. Label conversions as such unless it is obvious."
    )
    mark = (
        "vczoo marks converted files as synthetic, with the recipe and the voice, unless the user turns that off. "
        "`vczoo provenance FILE` reads the mark. Re-encoding or editing a file can remove it, so a file without a mark "
        "may still be synthetic."
    )
    bullets = "\n".join(f"- {line}" for line in lines)
    warnings = f"\n\n{misuse}\n\n{mark}" if facts.converts else ""
    return f"## Limitations and misuse\n\n{bullets}{warnings}"


def _license(facts: CardFacts) -> str:
    name = f" ({link(facts.licence_name, facts.licence_link)})" if facts.licence_name else ""
    notes = "\n".join(f"- {escaped(note)}" for note in facts.licence_notes)
    checked = "Checked against the declared licenses of its parts and recordings, as far as they are known."
    blocks = ["## License", f"{code(facts.licence)}{name}. {checked}", *([notes] if notes else []), *credits_of(facts)]
    return "\n\n".join(blocks)


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


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
