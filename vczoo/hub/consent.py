"""Consent statements for shared voices, and the licenses of public speech datasets.

This module does not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vczoo.errors import LicenceError

__all__ = ["DATASETS", "STATEMENTS", "Consent", "Dataset", "parse_consent"]

LONGEST_NAME = 200
_DATASET = "public-dataset"

# The four statements and their meanings.
STATEMENTS: Mapping[str, str] = {
    "own-voice": "The publisher states that every voice in this model is their own.",
    "written-consent": "The publisher states that every speaker agreed in writing to the sharing of a model of their "
    "voice.",
    "synthetic": "The publisher states that no voice in this model is a real person's: the recordings are synthetic.",
    f"{_DATASET}:<name>": "The recordings are from a published dataset.",
}


@dataclass(frozen=True)
class Dataset:
    """A published dataset of speech.

    Attributes:
        licence: SPDX identifier of the recordings' license; "unknown" if vczoo does not know it.
        hub_id: `owner/name` on the Hub; empty if the dataset has no official or well-maintained repository.
    """

    licence: str = "unknown"
    hub_id: str = ""


# Licenses as their publishers state them (openslr.org, Zenodo, Kaggle, the datasets' own pages). Common Voice left the
# Hub.
DATASETS: Mapping[str, Dataset] = {
    "aishell-1": Dataset("Apache-2.0", "AISHELL/AISHELL-1"),
    "aishell-3": Dataset("Apache-2.0", "AISHELL/AISHELL-3"),
    "cmu-arctic": Dataset("BSD"),  # its own license text: keep notices, mark changes
    "common-voice": Dataset("CC0-1.0"),
    "crema-d": Dataset("ODbL-1.0"),
    "emov-db": Dataset("LicenseRef-non-commercial"),
    "expresso": Dataset("CC-BY-NC-4.0", "ylacombe/expresso"),
    "fleurs": Dataset("CC-BY-4.0", "google/fleurs"),
    "fsdd": Dataset("CC-BY-SA-4.0"),
    "hifi-tts": Dataset("CC-BY-4.0", "MikhailT/hifi-tts"),
    "kss": Dataset("CC-BY-NC-SA-4.0", "Bingsu/KSS_Dataset"),
    "l2-arctic": Dataset("CC-BY-NC-4.0"),
    "librispeech": Dataset("CC-BY-4.0", "openslr/librispeech_asr"),
    "libritts": Dataset("CC-BY-4.0", "mythicinfinity/libritts"),
    "libritts-r": Dataset("CC-BY-4.0", "mythicinfinity/libritts_r"),
    "ljspeech": Dataset("LicenseRef-public-domain", "keithito/lj_speech"),
    "mls": Dataset("CC-BY-4.0", "facebook/multilingual_librispeech"),
    "ravdess": Dataset("CC-BY-NC-SA-4.0"),
    "speech-commands": Dataset("CC-BY-4.0", "google/speech_commands"),
    "tedlium": Dataset("CC-BY-NC-ND-3.0", "LIUM/tedlium"),
    "thchs-30": Dataset("Apache-2.0"),
    "vctk": Dataset("CC-BY-4.0", "CSTR-Edinburgh/vctk"),
    "voxpopuli": Dataset("CC0-1.0", "facebook/voxpopuli"),
    "zeroth-korean": Dataset("CC-BY-4.0", "kresnik/zeroth_korean"),
}


@dataclass(frozen=True)
class Consent:
    """A statement of the right to share a voice.

    Attributes:
        statement: The statement itself, without surrounding spaces.
        dataset: Name of the dataset in `public-dataset:<name>`; empty for other statements.
        sentence: Meaning of the statement, as a sentence for the model card.
        licence: SPDX identifier of the dataset's license; "unknown" if vczoo does not know it, empty without a dataset.
        hub_id: `owner/name` of the dataset on the Hub; empty if it is not known.
    """

    statement: str
    dataset: str
    sentence: str
    licence: str = ""
    hub_id: str = ""


def parse_consent(text: str) -> Consent:
    """Parse a consent statement: exactly `own-voice`, `written-consent`, `synthetic` or `public-dataset:<name>`.

    Raises:
        LicenceError: `text` is none of them. The message explains all four.
    """
    statement = text.strip()
    kind, colon, name = statement.partition(":")
    name = name.strip()
    if not colon and kind in STATEMENTS:
        return Consent(kind, "", STATEMENTS[kind])
    if kind == _DATASET and name and len(name) <= LONGEST_NAME and name.isprintable():
        dataset = _find(name)
        license_phrase = "a license unknown to vczoo" if dataset.licence == "unknown" else dataset.licence
        sentence = (
            f"The recordings are from the public dataset {name}, published under {license_phrase}. This does not mean "
            "that its speakers consented to being imitated."
        )
        return Consent(f"{_DATASET}:{name}", name, sentence, dataset.licence, dataset.hub_id)
    problem = f"{text!r} is not a valid consent statement" if statement else "a consent statement is required"
    meanings = "".join(f"\n  {valid}: {meaning}" for valid, meaning in STATEMENTS.items())
    raise LicenceError(f"{problem}. Choose the one that is true of these voices:{meanings}")


def _find(name: str) -> Dataset:
    """Find a dataset by its name or its id on the Hub, ignoring case."""
    slug = re.sub(r"[\s_]+", "-", name.lower())
    for dataset_name, dataset in DATASETS.items():
        if slug == dataset_name or (dataset.hub_id and name.lower() == dataset.hub_id.lower()):
            return dataset
    return Dataset(hub_id=name if re.fullmatch(r"[\w.-]{1,96}/[\w.-]{1,96}", name, re.ASCII) else "")
