"""Facts of a run in; its model card out: the text of README.md, metadata and all.

Names of voices, recipes and datasets are anybody's text; in a card they stay text (`vczoo.io.markdown`).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from urllib.parse import urlsplit

from vczoo.hub.card_facts import CardFacts, PartFacts, SampleFacts, VoiceFacts
from vczoo.hub.card_metadata import front_matter
from vczoo.hub.card_results import quality
from vczoo.io.markdown import code, escaped, fenced, link, one_line, table, web_address

__all__ = ["CardFacts", "PartFacts", "SampleFacts", "VoiceFacts", "make_card"]

MOST_VOICES = 30  # in the table; a run may have 10,000
MOST_LABELS = 40
MOST_SAMPLES = 12
MOST_FILES = 40
LONGEST_RECIPE = 20_000  # characters
SHORT = 12  # hex digits of a hash or revision
FEW_MINUTES = 5
_ASKED = (
    ("speaker", "identify", "who.wav"),
    ("text", "transcribe", "hello.wav"),
    ("label", "classify", "hello.wav"),
)  # heads, and what asks them of a recording


def make_card(facts: CardFacts) -> str:
    """Write the model card of a run, README.md with the Hub's metadata at its head."""
    sections = (
        front_matter(facts),
        _opening(facts),
        _right(facts),
        _samples(facts),
        _use(facts),
        quality(facts),
        _making(facts),
        _limits(facts),
        _licence(facts),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def _opening(facts: CardFacts) -> str:
    known = _voices_in_words(facts.voices)
    does = []
    if facts.converts:
        does.append(f"Converts recordings of speech into {known}.")
    elif facts.has("speaker"):
        does.append(f"Recognises {known} in recordings.")
    if facts.has("text"):
        does.append("Writes down what is said in recordings.")
    if facts.has("label"):
        shown = ", ".join(code(label) for label in facts.labels[:MOST_LABELS])
        more = f" and {len(facts.labels) - MOST_LABELS:,} more" if len(facts.labels) > MOST_LABELS else ""
        does.append(f"Tells utterances apart by these labels: {shown}{more}.")
    name = facts.repository.rpartition("/")[2]
    made = f"A fine-tune of the recipe {code(facts.recipe)} with vczoo: {escaped(facts.summary.rstrip('.'))}."
    return f"# {escaped(name)}\n\n{' '.join(does)} {made}"


def _right(facts: CardFacts) -> str:
    shown = facts.voices[:MOST_VOICES]
    rows = [(code(v.name), "enrolled, no training" if v.minutes is None else f"{v.minutes:.1f}") for v in shown]
    more = len(facts.voices) - len(shown)
    return "\n\n".join(
        [
            "## Whose voice, and by what right",
            f"**{escaped(facts.consent.statement)}.** {escaped(facts.consent.sentence)}",
            *([table(("voice", "minutes of speech it was trained on"), rows)] if rows else []),
            *([f"and {more:,} more voices, which vczoo.yaml lists."] if more > 0 else []),
        ]
    )


def _samples(facts: CardFacts) -> str:
    if not facts.samples:
        return ""
    shown = facts.samples[:MOST_SAMPLES]
    said = [
        escaped(sample.words) + (f" (said by {escaped(sample.speaker)})" if sample.speaker else "") for sample in shown
    ]
    rows = [
        (code(sample.voice), *([words] if any(said) else []), _player(facts.url(sample.path)))
        for sample, words in zip(shown, said, strict=True)
    ]
    header = ("in the voice of", *(["what is said"] if any(said) else []), "conversion")
    return "## Listen\n\n" + table(header, rows, left=len(header))


def _player(url: str) -> str:
    return f'<audio controls preload="none" src="{url}"></audio>'


def _use(facts: CardFacts) -> str:
    name = one_line(facts.repository) + (f"@{one_line(facts.revision)}" if facts.revision else "")
    voice = next((v.name for v in facts.voices if v.name.isprintable() and len(v.name) <= 60), "NAME")
    python, shell = [f"vc = vczoo.load({_quoted(name)})"], []
    if facts.converts:
        python.append(f'vc.convert("hello.wav", voice={_quoted(voice)}).save("converted.wav")')
        shell.append(f"vczoo convert {shlex.quote(name)} hello.wav --voice {shlex.quote(voice)} --out converted.wav")
    for task, verb, file in _ASKED:
        if facts.has(task) and not (task == "speaker" and facts.converts):
            python.append(f'print(vc.{verb}("{file}"))')
            shell.append(f"vczoo {verb} {shlex.quote(name)} {file}")
    plugins = [code(f"{package} {version}") for package, version in facts.versions.items()]
    needs = f"It was made with {', '.join(plugins)}; what is missing is named, and never installed by itself. " * bool(
        plugins
    )
    pin = "" if facts.revision else " Put `@` and a commit or tag behind the name to get the same model for ever."
    return "\n\n".join(
        [
            "## Use it",
            fenced("\n".join(("import vczoo", "", *python)), "python"),
            fenced("\n".join(shell), "sh"),
            f"{needs}No code of this repository is run: it holds YAML and safetensors alone.{pin}",
        ]
    )


def _making(facts: CardFacts) -> str:
    rows = [
        (
            escaped(part.role),
            code(part.use) + (f", weights {code(part.weights)}" if part.weights else ""),
            _origin(facts, part),
            escaped(part.licence or "unknown"),
        )
        for part in facts.parts
    ]
    recipe = facts.recipe_yaml[:LONGEST_RECIPE]
    cut = "\n# … and more: see vczoo.yaml" if len(facts.recipe_yaml) > LONGEST_RECIPE else ""
    files = sorted(facts.files.items())
    sizes = [(code(path), _size(count)) for path, count in files[:MOST_FILES]]
    return "\n\n".join(
        [
            "## How it was made",
            _run_in_words(facts),
            *([table(("part", "what", "from", "licence"), rows, left=4)] if rows else []),
            f"<details>\n<summary>The recipe</summary>\n\n{fenced(recipe + cut, 'yaml')}\n\n</details>",
            *(
                [
                    f"<details>\n<summary>Files, {_size(sum(facts.files.values()))} in all</summary>\n\n"
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
        sentences.append(f"Trained on {sum(trained):.1f} minutes of speech of {_count(len(trained), 'speaker')}.")
    epochs, best, seconds = (facts.metrics.get(name) for name in ("epochs", "best_epoch", "seconds"))
    if isinstance(epochs, int):
        kept = f", the weights are those of epoch {best}" if isinstance(best, int) else ""
        took = f" in {seconds:.0f} s" if isinstance(seconds, int | float) else ""
        sentences.append(f"{_count(epochs, 'epoch')}{took}{kept}.")
    if facts.seed is not None:
        sentences.append(f"Seed {facts.seed}.")
    if facts.languages:
        sentences.append(f"Language of the speech: {', '.join(escaped(name) for name in facts.languages)}.")
    sentences.append("Hashes and revisions stand in full in vczoo.yaml; `vczoo verify` checks them.")
    return " ".join(sentences)


def _origin(facts: CardFacts, part: PartFacts) -> str:
    host = urlsplit(web_address(part.source)).netloc  # empty for a repository of the Hub
    address = part.source if host else f"{facts.endpoint.rstrip('/')}/{part.source}"
    found = [link(host or part.source, address)] if part.source else []
    found += [f"revision {code(part.revision[:SHORT])}"] if part.revision else []
    found += [f"sha256 {code(part.sha256[:SHORT])}"] if part.sha256 else []
    return ", ".join(found) or "no pretrained weights"


def _limits(facts: CardFacts) -> str:
    lines = []
    if facts.converts:
        lines += [
            "It changes who seems to speak, not how they speak: rhythm and accent stay mostly those of the source.",
            "Music, noise, several people at once, singing, shouting and whispering are not what it was made for.",
            "Words can come out wrong or blurred: listen before you rely on a conversion.",
        ]
    elif facts.has("speaker"):
        lines.append("It takes everybody for one of the speakers that it knows: it is no lock and no proof.")
    if facts.has("text"):
        lines.append("It writes something down whatever it hears: other words, languages, accents and noise get wrong.")
    if facts.has("label"):
        lines.append("It gives every recording one of its labels: of what a person feels or is, that is no proof.")
    trained = facts.trained_minutes
    if facts.voices and trained and min(trained) < FEW_MINUTES:
        lines.append(f"It heard little of some voices, {min(trained):.1f} minutes at the least: likeness has limits.")
    if any(voice.minutes is None for voice in facts.voices):
        lines.append("Voices that were enrolled without training are less like their speakers than trained ones.")
    misuse = (
        "Do not make anybody say what they did not agree to say. No impersonation, no fraud, no getting past voice "
        "locks, no mockery or harassment; say that a conversion is one where that is not plain."
    )
    mark = (
        "Files that vczoo converts are marked as synthetic, with the recipe and the voice, unless whoever converts "
        "turns that off: `vczoo provenance FILE` reads the mark. Re-encoding or editing a file can lose it, so a file "
        "without a mark proves nothing."
    )
    listed = "\n".join(f"- {line}" for line in lines)
    misused = f"\n\n{misuse}\n\n{mark}" if facts.converts else ""
    return f"## Limits and misuse\n\n{listed}{misused}"


def _licence(facts: CardFacts) -> str:
    named = f" ({link(facts.licence_name, facts.licence_link)})" if facts.licence_name else ""
    notes = "\n".join(f"- {escaped(note)}" for note in facts.licence_notes)
    checked = "Checked against the declared licences of its parts and recordings as far as they are known."
    return f"## Licence\n\n{code(facts.licence)}{named}. {checked}" + (f"\n\n{notes}" if notes else "")


def _voices_in_words(voices: Sequence[VoiceFacts]) -> str:
    if not voices:
        return "voices that you enrol"
    if len(voices) == 1:
        return f"the voice of {code(voices[0].name)}"
    if len(voices) <= 3:
        names = [code(voice.name) for voice in voices]
        return f"the voices of {', '.join(names[:-1])} and {names[-1]}"
    return f"{len(voices):,} voices"


def _quoted(text: str) -> str:
    """Text as Python writes it, in double quotes where it can."""
    return repr(text) if set(text) & set('"\\') else f'"{text}"'


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
