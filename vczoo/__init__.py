"""vczoo: a plugin-based model zoo for voice conversion by transfer learning.

    vc = vczoo.finetune("vgg16-partialfreeze", data="voices/", out="runs/mine")
    vc.convert("hello.wav", voice="alice").save("hello-alice.wav")

Importing vczoo imports neither torch nor any plugin; a name is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vczoo.audio.frames import Frames as Frames
    from vczoo.audio.mel import LogMel as LogMel
    from vczoo.audio.pitch import PitchTracker as PitchTracker
    from vczoo.audio.provenance_mark import Mark as Mark
    from vczoo.audio.reader import read_mark as read_mark
    from vczoo.audio.specs import FrameSpec as FrameSpec
    from vczoo.audio.specs import MelSpec as MelSpec
    from vczoo.audio.waveform import Waveform as Waveform
    from vczoo.conversion.converter import Converter as Converter
    from vczoo.conversion.evaluate import evaluate as evaluate
    from vczoo.conversion.folder import Converted as Converted
    from vczoo.conversion.folder import convert_folder as convert_folder
    from vczoo.conversion.load import load as load
    from vczoo.conversion.stream import Stream as Stream
    from vczoo.conversion.watermark import detect_watermark as detect_watermark
    from vczoo.conversion.watermark import load_watermark as load_watermark
    from vczoo.conversion.weight_mean import average as average
    from vczoo.data.corpus import Corpus as Corpus
    from vczoo.data.corpus_reader import read_corpus as read_corpus
    from vczoo.errors import AudioError as AudioError
    from vczoo.errors import AudioWarning as AudioWarning
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
    from vczoo.errors import VoiceWarning as VoiceWarning
    from vczoo.errors import WeightsError as WeightsError
    from vczoo.evaluation.measures import Measures as Measures
    from vczoo.evaluation.measures import load_measures as load_measures
    from vczoo.evaluation.references import References as References
    from vczoo.evaluation.references import place_manifest as place_manifest
    from vczoo.evaluation.references import read_references as read_references
    from vczoo.evaluation.report import Report as Report
    from vczoo.evaluation.report import Scores as Scores
    from vczoo.evaluation.scorer import Conversion as Conversion
    from vczoo.evaluation.scorer import Evaluation as Evaluation
    from vczoo.evaluation.trials import Trial as Trial
    from vczoo.evaluation.trials import read_trials as read_trials
    from vczoo.hub.commit import Published as Published
    from vczoo.hub.pull import Pulled as Pulled
    from vczoo.hub.pull import pull as pull
    from vczoo.hub.search import Speaker as Speaker
    from vczoo.hub.search import search as search
    from vczoo.hub.verify import Check as Check
    from vczoo.hub.verify import verify as verify
    from vczoo.io.deprecation import VczooDeprecationWarning as VczooDeprecationWarning
    from vczoo.io.progress import Callback as Callback
    from vczoo.io.tensors import load_strictly as load_strictly
    from vczoo.io.tensors import read_tensors as read_tensors
    from vczoo.models.backbone_factory import create_backbone as create_backbone
    from vczoo.models.model import Model as Model
    from vczoo.models.recipe import Recipe as Recipe
    from vczoo.modules.backbones.mel_image import mel_image as mel_image
    from vczoo.modules.backbones.vision import VisionBackbone as VisionBackbone
    from vczoo.modules.freezing.apply import apply_freezing as apply_freezing
    from vczoo.modules.interfaces.backbone import Backbone as Backbone
    from vczoo.modules.interfaces.freezing import Freezing as Freezing
    from vczoo.modules.interfaces.freezing import Stage as Stage
    from vczoo.modules.interfaces.freezing import StagedPart as StagedPart
    from vczoo.modules.interfaces.heads import FrameHead as FrameHead
    from vczoo.modules.interfaces.heads import Head as Head
    from vczoo.modules.interfaces.heads import HeadBatch as HeadBatch
    from vczoo.modules.interfaces.heads import LabelHead as LabelHead
    from vczoo.modules.interfaces.heads import Loss as Loss
    from vczoo.modules.interfaces.heads import Prediction as Prediction
    from vczoo.modules.interfaces.heads import Source as Source
    from vczoo.modules.interfaces.heads import SpeakerHead as SpeakerHead
    from vczoo.modules.interfaces.heads import TextHead as TextHead
    from vczoo.modules.interfaces.heads import Voice as Voice
    from vczoo.modules.interfaces.heads import VoiceHead as VoiceHead
    from vczoo.modules.interfaces.metric import Case as Case
    from vczoo.modules.interfaces.metric import Column as Column
    from vczoo.modules.interfaces.metric import Metric as Metric
    from vczoo.modules.interfaces.vocoder import PitchVocoder as PitchVocoder
    from vczoo.modules.interfaces.vocoder import Vocoder as Vocoder
    from vczoo.modules.interfaces.vocoder import Watermark as Watermark
    from vczoo.modules.nn.convnext_block import ConvNeXtBlock as ConvNeXtBlock
    from vczoo.modules.nn.convnext_block import LayerNames as LayerNames
    from vczoo.modules.nn.windows import Windows as Windows
    from vczoo.modules.pretrained import Download as Download
    from vczoo.modules.pretrained import WeightsFile as WeightsFile
    from vczoo.modules.pretrained import fetch_weights as fetch_weights
    from vczoo.modules.pretrained import read_pickled_tensors as read_pickled_tensors
    from vczoo.modules.pretrained import weights_option as weights_option
    from vczoo.registry.entry import Entry as Entry
    from vczoo.registry.entry import Weights as Weights
    from vczoo.registry.hookspecs import hookimpl as hookimpl
    from vczoo.registry.origin import Origin as Origin
    from vczoo.registry.weights import announce_download as announce_download
    from vczoo.registry.weights import choose_weights as choose_weights
    from vczoo.registry.weights import is_weights_file as is_weights_file
    from vczoo.registry.weights import offline as offline
    from vczoo.registry.weights import unavailable as unavailable
    from vczoo.registry.zoo import list_models as list_models
    from vczoo.registry.zoo import list_parts as list_parts
    from vczoo.reporting.write import write_report as write_report
    from vczoo.training.features.cached_frames import CachedFrames as CachedFrames
    from vczoo.training.features.cached_frames import CachedItem as CachedItem
    from vczoo.training.finetune import finetune as finetune
    from vczoo.training.head_evaluation import evaluate_heads as evaluate_heads
    from vczoo.training.lr_finder import RateSearch as RateSearch
    from vczoo.training.lr_finder import find_learning_rate as find_learning_rate
    from vczoo.training.selection import Selection as Selection
    from vczoo.training.sweeps.sweep import Sweep as Sweep
    from vczoo.training.sweeps.sweep import sweep as sweep
    from vczoo.training.trainable import Trainable as Trainable
    from vczoo.training.trainer import Trainer as Trainer
    from vczoo.training.vocoder.train import TrainedVocoder as TrainedVocoder
    from vczoo.training.vocoder.train import train_vocoder as train_vocoder

__version__ = "0.1.0"
"""The version of vczoo, by semantic versioning."""

_HOMES = {
    "io.tensors": ("load_strictly", "read_tensors"),
    "data.corpus_reader": ("read_corpus",),
    "modules.interfaces.vocoder": ("PitchVocoder", "Vocoder", "Watermark"),
    "modules.interfaces.heads": (
        "FrameHead",
        "Head",
        "HeadBatch",
        "LabelHead",
        "Loss",
        "Prediction",
        "Source",
        "SpeakerHead",
        "TextHead",
        "Voice",
        "VoiceHead",
    ),
    "hub.verify": ("Check", "verify"),
    "conversion.converter": ("Converter",),
    "conversion.weight_mean": ("average",),
    "data.corpus": ("Corpus",),
    "io.deprecation": ("VczooDeprecationWarning",),
    "registry.entry": ("Entry", "Weights"),
    "errors": (
        "AudioError",
        "AudioWarning",
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
        "VoiceWarning",
        "WeightsError",
    ),
    "evaluation.scorer": ("Conversion", "Evaluation"),
    "conversion.folder": ("Converted", "convert_folder"),
    "audio.frames": ("Frames",),
    "registry.hookspecs": ("hookimpl",),
    "hub.pull": ("Pulled", "pull"),
    "hub.search": ("Speaker", "search"),
    "modules.backbones.mel_image": ("mel_image",),
    "modules.interfaces.backbone": ("Backbone",),
    "modules.interfaces.freezing": ("Freezing", "Stage", "StagedPart"),
    "conversion.load": ("load",),
    "modules.nn.convnext_block": ("ConvNeXtBlock", "LayerNames"),
    "modules.nn.windows": ("Windows",),
    "audio.pitch": ("PitchTracker",),
    "modules.interfaces.metric": ("Case", "Column", "Metric"),
    "modules.pretrained": ("Download", "WeightsFile", "fetch_weights", "read_pickled_tensors", "weights_option"),
    "audio.provenance_mark": ("Mark",),
    "evaluation.measures": ("Measures", "load_measures"),
    "audio.mel": ("LogMel",),
    "registry.origin": ("Origin",),
    "hub.commit": ("Published",),
    "training.lr_finder": ("RateSearch", "find_learning_rate"),
    "models.backbone_factory": ("create_backbone",),
    "models.model": ("Model",),
    "models.recipe": ("Recipe",),
    "evaluation.references": ("References", "place_manifest", "read_references"),
    "evaluation.report": ("Report", "Scores"),
    "conversion.evaluate": ("evaluate",),
    "training.head_evaluation": ("evaluate_heads",),
    "audio.reader": ("read_mark",),
    "audio.specs": ("FrameSpec", "MelSpec"),
    "conversion.stream": ("Stream",),
    "reporting.write": ("write_report",),
    "training.sweeps.sweep": ("Sweep", "sweep"),
    "training.finetune": ("finetune",),
    "modules.freezing.apply": ("apply_freezing",),
    "training.features.cached_frames": ("CachedFrames", "CachedItem"),
    "training.selection": ("Selection",),
    "training.trainable": ("Trainable",),
    "training.trainer": ("Trainer",),
    "io.progress": ("Callback",),
    "evaluation.trials": ("Trial", "read_trials"),
    "modules.backbones.vision": ("VisionBackbone",),
    "training.vocoder.train": ("TrainedVocoder", "train_vocoder"),
    "conversion.watermark": ("detect_watermark", "load_watermark"),
    "audio.waveform": ("Waveform",),
    "registry.weights": ("announce_download", "choose_weights", "is_weights_file", "offline", "unavailable"),
    "registry.zoo": ("list_models", "list_parts"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'vczoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"vczoo.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
