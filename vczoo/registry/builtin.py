"""Parts and recipes that vczoo itself registers, through the same hooks as plugins. Imports no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vczoo.registry.entry import Entry
from vczoo.registry.hookspecs import hookimpl

__all__ = ["vczoo_entries", "vczoo_recipes"]

_APACHE = "Apache-2.0"
_FREEZING = "vczoo.modules.freezing."


@hookimpl
def vczoo_entries() -> list[Entry]:
    """The core's own parts, pitch tracker and metrics."""
    parts = [*_backbones(), *_freezing(), *_efficient_freezing(), *_speaker_heads(), *_heads(), *_vocoders()]
    entries = [*parts, *_measurements()]
    return [entry if entry.source else replace(entry, source="vczoo") for entry in entries]


@hookimpl
def vczoo_recipes() -> Path:
    """The folder of vczoo's own recipes: inside an installed package, next to the package in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "assets" / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def _backbones() -> list[Entry]:
    return [
        Entry(
            "mel-conv",
            "backbone",
            "vczoo.modules.backbones.mel_conv:MelConv",
            "small convolutions on log-mels",
            _APACHE,
            exports=True,
        ),
        Entry(
            "content-conv",
            "backbone",
            "vczoo.modules.backbones.content_conv:ContentConv",
            "a small ConvNeXt on log-mels that encodes content rather than the speaker",
            _APACHE,
            paper="arXiv:2201.03545",
        ),
        Entry(
            "content-whisper",
            "backbone",
            "vczoo.modules.backbones.content_whisper:ContentWhisper",
            "the first layers of a Whisper encoder, narrowed to content rather than the speaker",
            _APACHE,
            paper="arXiv:2212.04356",
        ),
    ]


def _freezing() -> list[Entry]:
    """Strategies for the stages and parameters that a part has."""
    return [
        Entry("none", "freezing", f"{_FREEZING}stages:None_", "nothing is frozen", _APACHE),
        Entry("full", "freezing", f"{_FREEZING}stages:Full", "the whole part is frozen", _APACHE),
        Entry("partial", "freezing", f"{_FREEZING}stages:Partial", "the last trainable_stages stages train", _APACHE),
        Entry(
            "gradual",
            "freezing",
            f"{_FREEZING}stages:Gradual",
            "one more stage trains every every_epochs epochs",
            _APACHE,
            paper="arXiv:1801.06146",
        ),
        Entry(
            "discriminative",
            "freezing",
            f"{_FREEZING}stages:Discriminative",
            "every stage trains, each decay times slower than the next",
            _APACHE,
            paper="arXiv:1801.06146",
        ),
        Entry(
            "norms",
            "freezing",
            f"{_FREEZING}selection:Norms",
            "only normalization layers train",
            _APACHE,
            paper="arXiv:2003.00152",
        ),
        Entry(
            "selected",
            "freezing",
            f"{_FREEZING}selection:Selected",
            "only the given stages train, or parameters that match patterns",
            _APACHE,
            paper="arXiv:2210.11466",
            check_with={"stages": [-1], "parameters": ["*.weight"]},
        ),
        Entry(
            "probe-then-tune",
            "freezing",
            f"{_FREEZING}stages:ProbeThenTune",
            "nothing of the part trains for probe_epochs epochs, then everything",
            _APACHE,
            paper="arXiv:2202.10054",
        ),
        Entry(
            "autofreeze",
            "freezing",
            f"{_FREEZING}auto_freeze:AutoFreeze",
            "everything trains at first, and stages freeze as they settle",
            _APACHE,
            paper="arXiv:2102.01386",
        ),
    ]


def _efficient_freezing() -> list[Entry]:
    """Strategies that train few parameters, or keep them near where they began."""
    return [
        Entry(
            "characteristic-specific",
            "freezing",
            "vczoo.modules.freezing.characteristic:CharacteristicSpecific",
            "with layer: mix, the two layers train that contribute most and least to the heads",
            _APACHE,
            paper="arXiv:2501.14273",
        ),
        Entry(
            "bitfit",
            "freezing",
            f"{_FREEZING}selection:BitFit",
            "only biases train",
            _APACHE,
            paper="arXiv:2106.10199",
        ),
        Entry(
            "film-only",
            "freezing",
            f"{_FREEZING}selection:FilmOnly",
            "only the biases of FiLM layers and conditional norms train",
            _APACHE,
            paper="arXiv:2103.00993",
        ),
        Entry(
            "lora",
            "freezing",
            f"{_FREEZING}weight_changes:LoRA",
            "low-rank changes of linear layers and convolutions train, and are merged",
            _APACHE,
            paper="arXiv:2106.09685",
            check_with={"rank": 2},
        ),
        Entry(
            "dora",
            "freezing",
            f"{_FREEZING}weight_changes:DoRA",
            "as lora, and a magnitude per output",
            _APACHE,
            paper="arXiv:2402.09353",
            check_with={"rank": 2},
        ),
        Entry(
            "ia3",
            "freezing",
            f"{_FREEZING}weight_changes:IA3",
            "one factor per input channel of linear layers and convolutions trains",
            _APACHE,
            paper="arXiv:2205.05638",
        ),
        Entry(
            "adapters",
            "freezing",
            f"{_FREEZING}adapters:Adapters",
            "bottleneck adapters after each block train, and stay in the model",
            _APACHE,
            paper="arXiv:1902.00751",
        ),
        Entry(
            "l2-sp",
            "freezing",
            f"{_FREEZING}l2_sp:L2SP",
            "everything trains, pulled to the weights at the start",
            _APACHE,
            paper="arXiv:1802.01483",
        ),
    ]


def _speaker_heads() -> list[Entry]:
    speaker = "vczoo.modules.heads.speaker:"
    return [
        Entry(
            "speaker-classifier",
            "head",
            f"{speaker}SpeakerClassifier",
            "MLP over pooled frames, cross-entropy; its last hidden layer is the embedding",
            _APACHE,
        ),
        Entry(
            "speaker-aam",
            "head",
            f"{speaker}SpeakerAAM",
            "additive angular margin softmax over pooled frames",
            _APACHE,
            paper="arXiv:1801.07698",
        ),
        Entry(
            "speaker-conv",
            "head",
            "vczoo.modules.heads.speaker_conv:SpeakerConv",
            "convolutions before the pooling, for mels; additive angular margin softmax",
            _APACHE,
            paper="arXiv:1801.07698",
        ),
    ]


def _heads() -> list[Entry]:
    return [
        Entry(
            "knn",
            "head",
            "vczoo.modules.heads.knn:KNN",
            "nearest neighbors in the voice's recordings; fitted by enrollment",
            _APACHE,
            paper="arXiv:2305.18975",
        ),
        Entry(
            "linear",
            "head",
            "vczoo.modules.heads.linear:Linear",
            "a linear map to the voice's recordings, fitted at conversion, and a speaker-independent decoder",
            _APACHE,
            paper="arXiv:2506.01510",
        ),
        Entry(
            "mel-decoder",
            "head",
            "vczoo.modules.heads.mel_decoder:MelDecoder",
            "a mel from speaker-independent content, pitch and a speaker embedding",
            _APACHE,
            paper="arXiv:1904.05742",
        ),
        Entry(
            "ctc",
            "head",
            "vczoo.modules.heads.ctc:CTC",
            "a transcript in characters, by connectionist temporal classification",
            _APACHE,
            paper="doi:10.1145/1143844.1143891",
        ),
        Entry(
            "classifier",
            "head",
            "vczoo.modules.heads.classifier:Classifier",
            "a label of an utterance (emotion, language ...) from the mean and deviation of its frames",
            _APACHE,
        ),
        Entry(
            "distil",
            "head",
            "vczoo.modules.heads.distillation:Distil",
            "predicts the frames of the recipe's teacher, so that a small backbone learns from a large one",
            _APACHE,
            paper="arXiv:2110.01900",
        ),
    ]


def _vocoders() -> list[Entry]:
    return [
        Entry(
            "griffin-lim",
            "vocoder",
            "vczoo.modules.vocoders.griffin_lim:GriffinLim",
            "phase reconstruction with momentum; nothing to train",
            "BSD-2-Clause",
            paper="doi:10.1109/WASPAA.2013.6701851",
            source="https://docs.pytorch.org/audio",
        ),
        Entry(
            "source-filter-net",
            "vocoder",
            "vczoo.modules.vocoders.source_filter_net:SourceFilterNet",
            "a network that filters harmonics of the pitch and noise; reads mels and pitch",
            _APACHE,
            paper="arXiv:2306.00814",
        ),
        Entry(
            "griffin-lim-net",
            "vocoder",
            "vczoo.modules.vocoders.griffin_lim_net:GriffinLimNet",
            "magnitudes by a small network, phases by Griffin-Lim; has to be trained",
            _APACHE,
            paper="arXiv:1703.10135",
        ),
    ]


def _measurements() -> list[Entry]:
    """Pitch trackers and metrics."""
    return [
        Entry(
            "dio",
            "pitch",
            "vczoo.audio.pitch:Dio",
            "WORLD's DIO and StoneMask, also where a telephone took the fundamental away",
            _APACHE,
            paper="doi:10.1587/transinf.2015EDP7457",
        ),
        Entry(
            "f0-contour",
            "metric",
            "vczoo.evaluation.metrics.f0_contour:F0Contour",
            "how well a conversion keeps the intonation of its source: correlation and RMSE of log-F0",
            _APACHE,
            paper="doi:10.1587/transinf.2015EDP7457",
        ),
        Entry(
            "mel-cepstral-distortion",
            "metric",
            "vczoo.evaluation.metrics.mel_cepstral_distortion:MelCepstralDistortion",
            "distance in dB from the target speaker saying the same text",
            _APACHE,
            paper="doi:10.1109/PACRIM.1993.407206",
        ),
        Entry(
            "dnsmos",
            "metric",
            "vczoo.evaluation.metrics.naturalness:Naturalness",
            "a network's estimate of listeners' opinion: overall, signal and background, 1 to 5",
            _APACHE,
            paper="arXiv:2110.01763",
        ),
        Entry(
            "distill-mos",
            "metric",
            "vczoo.evaluation.metrics.distill_mos:DistillMos",
            "another network's estimate of listeners' opinion, 1 to 5; independent of DNSMOS",
            _APACHE,
            paper="arXiv:2502.05356",
        ),
    ]
