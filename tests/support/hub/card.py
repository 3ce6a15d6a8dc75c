"""A README's front matter as the Hub reads it. In: the README's text; out: its metadata, its faults and its tags.

The rules are a modest part of the real Hub's: what it refuses there for sure is refused here.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

LICENSES = frozenset(
    """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0
    cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0
    cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
    cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl
    gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr
    mpl-2.0 odc-by odbl openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr
    deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4
    grok2-community gemma unknown other
    """.split()  # noqa: SIM905  eighty names, a word each
)
AUDIO_TASKS = {
    *("audio-to-audio", "audio-classification", "automatic-speech-recognition", "text-to-speech", "text-to-audio"),
    *("voice-activity-detection", "feature-extraction", "image-classification", "text-generation"),
}
_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)(?:\r?\n|(?<=\n))---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*|code|multilingual")
_REPO_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def read_card(readme: str) -> tuple[dict[str, Any], list[str], list[str]]:
    """A README's metadata, what is wrong with it (the Hub refuses it), and what the Hub only warns of."""
    match = _FRONT_MATTER.match(readme)
    if match is None:
        return {}, [], ["empty or missing yaml metadata in repo card"]
    try:
        card = yaml.safe_load(match.group(1))
    except yaml.YAMLError as error:
        return {}, [f"Invalid YAML: {error}"], []
    if card is None:
        return {}, [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(card, dict):
        return {}, ["The metadata must be a mapping"], []
    return card, _errors(card), _warnings(card)


def _errors(card: dict[str, Any]) -> list[str]:
    errors = []
    for name in _values(card, "license"):
        if name not in LICENSES:
            errors.append(f'"license" must be one of [{", ".join(sorted(LICENSES))}]. Got {name!r}')
    for name in _values(card, "language"):
        if not (isinstance(name, str) and _LANGUAGE.fullmatch(name)):
            # Unquoted, Norwegian's `no` is a boolean of YAML.
            errors.append(f'"language" with value "{name}" is not valid: an ISO 639 code is expected')
    for name in _values(card, "base_model"):
        if not (isinstance(name, str) and _REPO_ID.fullmatch(name)):
            errors.append(f'"base_model" with value "{name}" is not valid. Use a model id from https://hf.co/models.')
    for key in ("tags", "datasets", "metrics"):
        if any(not isinstance(value, str) for value in _values(card, key)):
            errors.append(f'"{key}" must be an array of strings')
    for key in ("pipeline_tag", "library_name", "license_name", "license_link"):
        if not isinstance(card.get(key, ""), str):
            errors.append(f'"{key}" must be a string')
    return errors + _index_errors(card.get("model-index", []))


def _index_errors(index: Any) -> list[str]:
    """What is missing from the evaluation results."""
    if not isinstance(index, list):
        return ['"model-index" must be an array']
    errors = []
    for i, model in enumerate(index):
        if not (isinstance(model, dict) and model.get("name")):
            errors.append(f'"model-index[{i}].name" is required')
            continue
        for j, result in enumerate(model.get("results") or []):
            where = f"model-index[{i}].results[{j}]"
            wanted = [("task", "type"), ("dataset", "type"), ("dataset", "name")]
            errors += [
                f'"{where}.{key}.{part}" is required' for key, part in wanted if not result.get(key, {}).get(part)
            ]
            for k, metric in enumerate(result.get("metrics") or []):
                missing = [part for part in ("type", "value") if metric.get(part) is None]
                errors += [f'"{where}.metrics[{k}].{part}" is required' for part in missing]
    return errors


def _warnings(card: dict[str, Any]) -> list[str]:
    task = card.get("pipeline_tag")
    return [f'The pipeline tag "{task}" is not in the official list'] if task and task not in AUDIO_TASKS else []


def tags_of(card: dict[str, Any], paths: list[str]) -> list[str]:
    """The tags that searches filter by, in the Hub's own spelling."""
    relation = card.get("base_model_relation", "finetune")
    tags = [
        *_values(card, "library_name"),
        *(["safetensors"] if any(path.endswith(".safetensors") for path in paths) else []),
        *_values(card, "tags"),
        *(["model-index"] if card.get("model-index") else []),
        *_values(card, "pipeline_tag"),
        *_values(card, "language"),
        *(f"dataset:{name}" for name in _values(card, "datasets")),
        *(f"base_model:{name}" for name in _values(card, "base_model")),
        *(f"base_model:{relation}:{name}" for name in _values(card, "base_model")),
        *(f"license:{name}" for name in _values(card, "license")),
        "region:us",
    ]
    return list(dict.fromkeys(map(str, tags)))


def _values(card: dict[str, Any], key: str) -> list[Any]:
    """A key's values, whether it has none, one or a list."""
    value = card.get(key)
    return value if isinstance(value, list) else [] if value is None else [value]
