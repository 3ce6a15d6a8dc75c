"""vczoo: a plugin-based model zoo for voice conversion by transfer learning.

    vc = vczoo.finetune("vgg16-partialfreeze", data="voices/", out="runs/mine")
    vc.convert("hello.wav", voice="alice").save("hello-alice.wav")

Importing vczoo imports neither torch nor any plugin; a name is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vczoo.authenticity import Check as Check
    from vczoo.authenticity import verify as verify
    from vczoo.converter import Converter as Converter
    from vczoo.corpus import Corpus as Corpus
    from vczoo.corpus import read_corpus as read_corpus
    from vczoo.deprecation import VczooDeprecationWarning as VczooDeprecationWarning
    from vczoo.entry import Entry as Entry
    from vczoo.entry import Weights as Weights
    from vczoo.errors import AudioError as AudioError
    from vczoo.errors import ContractError as ContractError
    from vczoo.errors import CorpusError as CorpusError
    from vczoo.errors import FolderError as FolderError
    from vczoo.errors import HubError as HubError
    from vczoo.errors import LicenceError as LicenceError
    from vczoo.errors import PluginError as PluginError
    from vczoo.errors import RecipeError as RecipeError
    from vczoo.errors import RunError as RunError
    from vczoo.errors import UnknownNameError as UnknownNameError
    from vczoo.errors import VczooError as VczooError
    from vczoo.errors import VoiceError as VoiceError
    from vczoo.errors import WeightsError as WeightsError
    from vczoo.evaluation import Conversion as Conversion
    from vczoo.evaluation import Evaluation as Evaluation
    from vczoo.folder import Converted as Converted
    from vczoo.folder import convert_folder as convert_folder
    from vczoo.frames import Frames as Frames
    from vczoo.hookspecs import hookimpl as hookimpl
    from vczoo.hub import Pulled as Pulled
    from vczoo.hub import pull as pull
    from vczoo.hub_search import Speaker as Speaker
    from vczoo.hub_search import search as search
    from vczoo.image import mel_image as mel_image
    from vczoo.interfaces import Backbone as Backbone
    from vczoo.interfaces import Freezing as Freezing
    from vczoo.interfaces import Loss as Loss
    from vczoo.interfaces import Source as Source
    from vczoo.interfaces import SpeakerHead as SpeakerHead
    from vczoo.interfaces import Stage as Stage
    from vczoo.interfaces import Vocoder as Vocoder
    from vczoo.interfaces import Voice as Voice
    from vczoo.interfaces import VoiceHead as VoiceHead
    from vczoo.interfaces import Watermark as Watermark
    from vczoo.loading import load as load
    from vczoo.mark import Mark as Mark
    from vczoo.measuring import Measures as Measures
    from vczoo.measuring import load_measures as load_measures
    from vczoo.mel import LogMel as LogMel
    from vczoo.origin import Origin as Origin
    from vczoo.push import Published as Published
    from vczoo.rate_finder import RateSearch as RateSearch
    from vczoo.rate_finder import find_learning_rate as find_learning_rate
    from vczoo.recipe import Recipe as Recipe
    from vczoo.references import References as References
    from vczoo.references import place_manifest as place_manifest
    from vczoo.references import read_references as read_references
    from vczoo.report import Report as Report
    from vczoo.report import Scores as Scores
    from vczoo.run_evaluation import evaluate as evaluate
    from vczoo.sound_file import read_mark as read_mark
    from vczoo.specs import FrameSpec as FrameSpec
    from vczoo.specs import MelSpec as MelSpec
    from vczoo.stream import Stream as Stream
    from vczoo.sweeps.sweep import Sweep as Sweep
    from vczoo.sweeps.sweep import sweep as sweep
    from vczoo.task_heads import FrameHead as FrameHead
    from vczoo.task_heads import LabelHead as LabelHead
    from vczoo.task_heads import TextHead as TextHead
    from vczoo.train import finetune as finetune
    from vczoo.trials import Trial as Trial
    from vczoo.trials import read_trials as read_trials
    from vczoo.vision import VisionBackbone as VisionBackbone
    from vczoo.vocoder_training import TrainedVocoder as TrainedVocoder
    from vczoo.vocoder_training import train_vocoder as train_vocoder
    from vczoo.watermark import detect_watermark as detect_watermark
    from vczoo.watermark import load_watermark as load_watermark
    from vczoo.waveform import Waveform as Waveform
    from vczoo.weights import announce_download as announce_download
    from vczoo.weights import choose_weights as choose_weights
    from vczoo.weights import is_weights_file as is_weights_file
    from vczoo.weights import load_strictly as load_strictly
    from vczoo.weights import offline as offline
    from vczoo.weights import read_tensors as read_tensors
    from vczoo.weights import unavailable as unavailable
    from vczoo.zoo import list_models as list_models
    from vczoo.zoo import list_parts as list_parts

__version__ = "0.1.0"
"""The version of vczoo, by semantic versioning."""

_HOMES = {
    "authenticity": ("Check", "verify"),
    "converter": ("Converter",),
    "corpus": ("Corpus", "read_corpus"),
    "deprecation": ("VczooDeprecationWarning",),
    "entry": ("Entry", "Weights"),
    "errors": (
        "AudioError",
        "ContractError",
        "CorpusError",
        "FolderError",
        "HubError",
        "LicenceError",
        "PluginError",
        "RecipeError",
        "RunError",
        "UnknownNameError",
        "VczooError",
        "VoiceError",
        "WeightsError",
    ),
    "evaluation": ("Conversion", "Evaluation"),
    "folder": ("Converted", "convert_folder"),
    "frames": ("Frames",),
    "hookspecs": ("hookimpl",),
    "hub": ("Pulled", "pull"),
    "hub_search": ("Speaker", "search"),
    "image": ("mel_image",),
    "interfaces": (
        "Backbone",
        "Freezing",
        "Loss",
        "Source",
        "SpeakerHead",
        "Stage",
        "Vocoder",
        "Voice",
        "VoiceHead",
        "Watermark",
    ),
    "loading": ("load",),
    "mark": ("Mark",),
    "measuring": ("Measures", "load_measures"),
    "mel": ("LogMel",),
    "origin": ("Origin",),
    "push": ("Published",),
    "rate_finder": ("RateSearch", "find_learning_rate"),
    "recipe": ("Recipe",),
    "references": ("References", "place_manifest", "read_references"),
    "report": ("Report", "Scores"),
    "run_evaluation": ("evaluate",),
    "sound_file": ("read_mark",),
    "specs": ("FrameSpec", "MelSpec"),
    "stream": ("Stream",),
    "task_heads": ("FrameHead", "LabelHead", "TextHead"),
    "sweeps.sweep": ("Sweep", "sweep"),
    "train": ("finetune",),
    "trials": ("Trial", "read_trials"),
    "vision": ("VisionBackbone",),
    "vocoder_training": ("TrainedVocoder", "train_vocoder"),
    "watermark": ("detect_watermark", "load_watermark"),
    "waveform": ("Waveform",),
    "weights": (
        "announce_download",
        "choose_weights",
        "is_weights_file",
        "load_strictly",
        "offline",
        "read_tensors",
        "unavailable",
    ),
    "zoo": ("list_models", "list_parts"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        if today := importlib.import_module("vczoo.deprecation").name_of_today("vczoo", name):
            return __getattr__(today)
        raise AttributeError(f"module 'vczoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"vczoo.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
