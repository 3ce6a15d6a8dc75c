"""A consent statement in; by what right a voice is shared, in words, and what is known of a dataset, out. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vczoo.errors import LicenceError

__all__ = ["DATASETS", "STATEMENTS", "Consent", "Dataset", "parse_consent"]

LONGEST_NAME = 200
_DATASET = "public-dataset"

# The four statements and what each of them says.
STATEMENTS: Mapping[str, str] = {
    "own-voice": "Whoever shares this says that every voice in it is their own.",
    "written-consent": "Whoever shares this says that every speaker agreed in writing that a model of their voice is "
    "shared.",
    "synthetic": "Whoever shares this says that no voice in it is a real person's: the recordings were synthesised.",
    f"{_DATASET}:<name>": "The recordings are of a published dataset.",
}


@dataclass(frozen=True)
class Dataset:
    """A published dataset of speech.

    Attributes:
        licence: SPDX identifier of the recordings; "unknown" where it is not known here.
        hub_id: `owner/name` on the Hub; empty where there is none, or none that is the publisher's or well kept.
    """

    licence: str = "unknown"
    hub_id: str = ""


# As their publishers state them (openslr.org, Zenodo, Kaggle, the datasets' own pages). Common Voice left the Hub.
DATASETS: Mapping[str, Dataset] = {
    "aishell-1": Dataset("Apache-2.0", "AISHELL/AISHELL-1"),
    "aishell-3": Dataset("Apache-2.0", "AISHELL/AISHELL-3"),
    "cmu-arctic": Dataset("BSD"),  # its own text: notices kept, changes marked
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
    """By what right a voice is shared.

    Attributes:
        statement: as it was given, without space around it.
        dataset: its name, of `public-dataset:<name>`; empty otherwise.
        sentence: the statement in words.
        licence: SPDX identifier of the dataset; "unknown" where it is not known here, empty without a dataset.
        hub_id: the dataset's, `owner/name`; empty where none is known.
    """

    statement: str
    dataset: str
    sentence: str
    licence: str = ""
    hub_id: str = ""


def parse_consent(text: str) -> Consent:
    """Read a consent statement: exactly `own-voice`, `written-consent`, `synthetic` or `public-dataset:<name>`.

    Raises:
        LicenceError: it is none of them; the message says what each means.
    """
    statement = text.strip()
    kind, colon, name = statement.partition(":")
    name = name.strip()
    if not colon and kind in STATEMENTS:
        return Consent(kind, "", STATEMENTS[kind])
    if kind == _DATASET and name and len(name) <= LONGEST_NAME and name.isprintable():
        found = _find(name)
        licence = "under a licence that is not known here" if found.licence == "unknown" else f"under {found.licence}"
        sentence = (
            f"The recordings are of the public dataset {name}, published {licence}. That is no consent of its speakers "
            "to be imitated."
        )
        return Consent(f"{_DATASET}:{name}", name, sentence, found.licence, found.hub_id)
    got = f"consent {text!r} is none of the four statements" if statement else "a statement of consent is needed"
    meanings = "".join(f"\n  {known}: {meaning}" for known, meaning in STATEMENTS.items())
    raise LicenceError(f"{got}. By what right are these voices shared? Say one of these, if it is true:{meanings}")


def _find(name: str) -> Dataset:
    """A dataset by its name or its id on the Hub, whatever their case."""
    wanted = re.sub(r"[\s_]+", "-", name.lower())
    for known, dataset in DATASETS.items():
        if wanted == known or (dataset.hub_id and name.lower() == dataset.hub_id.lower()):
            return dataset
    return Dataset(hub_id=name if re.fullmatch(r"[\w.-]{1,96}/[\w.-]{1,96}", name, re.ASCII) else "")
