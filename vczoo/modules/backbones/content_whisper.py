"""`ContentWhisper`, the first layers of a Whisper encoder and a narrow network that removes the speaker from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.mel import mel_filters
from vczoo.audio.specs import FrameSpec, MelSpec, mismatches
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError, WeightsError
from vczoo.io.tensors import load_strictly, read_tensors
from vczoo.modules.interfaces.backbone import Backbone, Stage
from vczoo.modules.nn.convnext_block import ConvNeXtBlock
from vczoo.modules.nn.perturbation import Perturbation
from vczoo.modules.pretrained import WeightsFile, weights_option

__all__ = ["ContentWhisper"]

MEL = MelSpec(fft_length=400)  # Whisper's: 80 Slaney bands, 25 ms windows every 10 ms
DECADES = 10  # from the quietest power, 1e-10, to 1
RANGE_DECADES = 8  # quieter bands are raised to this far below the loudest band of the recording
MEL_FRAMES_PER_FRAME = 2  # the stride of the second convolution
WIDTH_MULTIPLE = 32  # mel frames are padded to a multiple of this, so that similar lengths share a batch
MOST_LAYERS, MOST_BLOCKS, MOST_CHANNELS = 32, 256, 4096
MOST_POSITIONS = 1500  # frames in 30 s; positions of longer recordings start again
HEAD_WIDTH = 64
ENCODER = "model.encoder."  # prefix of the encoder's tensors in a Whisper checkpoint of transformers


class ContentWhisper(Backbone):
    """First layers of a Whisper encoder, then a narrow network whose frames hold what is said but not by which speaker.

    It reads 16 kHz; a frame is 20 ms long. The stages are `stem`, `convolutions`, `positions`, one per layer, and
    `content`. In training, the stem perturbs the mel as if another speaker said the same
    (`vczoo.modules.nn.perturbation`), and the positions start at a random frame, so that segments also see those of
    long recordings. Both have no parameters, so train them with the freezing strategy `selected`, and freeze the layers
    between: `stages: [stem, positions, content]`. Each channel of the content is normalized over the recording
    (instance normalization, AdaIN-VC, arXiv:1904.05742).

    Source of the encoder: Whisper, arXiv:2212.04356. Starting from the first layers of a large model is DistilHuBERT's
    recipe, arXiv:2110.01900.

    Args:
        weights: "random"; the path of a .safetensors file of this network; or that of a Whisper checkpoint in the
            layout of transformers (`openai/whisper-tiny.en`), which fills all stages but `content`.
        layers: Number of layers of the encoder.
        width: Number of channels of the encoder, a multiple of 64; 384 for the tiny models.
        blocks: Number of ConvNeXt blocks in the stage `content`.
        block_width: Number of channels of these blocks.
        channels: Number of channels of the content.
        perturb: Strength of the perturbation in training, 0 to 1.

    Raises:
        ContractError: A size or `perturb` is out of range.
        WeightsError: `weights` is neither "random" nor a file that fits this network.
    """

    def __init__(
        self,
        *,
        weights: str = "random",
        layers: int = 2,
        width: int = 384,
        blocks: int = 2,
        block_width: int = 160,
        channels: int = 64,
        perturb: float = 1.0,
    ) -> None:
        super().__init__()
        if not 1 <= layers <= MOST_LAYERS or not 0 <= blocks <= MOST_BLOCKS:
            raise ContractError(
                f"layers must be 1 to {MOST_LAYERS} and blocks 0 to {MOST_BLOCKS}, got {layers} and {blocks}"
            )
        if width % HEAD_WIDTH or not all(1 <= size <= MOST_CHANNELS for size in (width, block_width, channels)):
            raise ContractError(
                f"width, block_width and channels must be 1 to {MOST_CHANNELS}, and width a multiple of {HEAD_WIDTH}; "
                f"got {width}, {block_width} and {channels}"
            )
        if not 0 <= perturb <= 1:
            raise ContractError(f"perturb must be in [0, 1], got {perturb}")
        self.mel = PowerMel()
        self.trunk = nn.ModuleDict(
            {
                "stem": nn.Sequential(
                    Perturbation(MEL, nats=DECADES * math.log(10) / 4, strength=perturb), WhisperScale()
                ),
                "convolutions": Convolutions(width),
                "positions": Positions(width),
                **{f"layer{index + 1}": EncoderLayer(width) for index in range(layers)},
                "content": nn.Sequential(
                    nn.LayerNorm(width),
                    nn.Linear(width, block_width),
                    ChannelsFirst(
                        *(ConvNeXtBlock(block_width, dilation=2**index, channels_first=True) for index in range(blocks))
                    ),
                    nn.LayerNorm(block_width),
                    nn.Linear(block_width, channels),
                ),
            }
        )
        self.spec = FrameSpec(MEL.sample_rate_hz, MEL.hop_length * MEL_FRAMES_PER_FRAME, channels)
        if file := weights_option("content-whisper", weights):
            self._load(file)

    def _load(self, file: WeightsFile) -> None:
        tensors = read_tensors(file.path)
        if any(name.startswith(ENCODER) for name in tensors):
            own = {name: tensor for name, tensor in self.trunk.state_dict().items() if name.startswith("content.")}
            tensors = own | _encoder_tensors(tensors, tuple(self.trunk), where=file.where)
        load_strictly(self.trunk, tensors, where=file.where)
        self.origin = file.origin

    def stages(self) -> tuple[Stage, ...]:
        """Return the stem, the convolutions, the positions, each layer, and the network that computes the content."""
        return tuple(Stage(name, module) for name, module in self.trunk.items())

    def padded_length(self, num_samples: int) -> int:
        """Return the length in samples, rounded up to a multiple of 32 mel frames."""
        count = -(-max(1, num_samples) // MEL.hop_length)
        return -(-count // WIDTH_MULTIPLE) * WIDTH_MULTIPLE * MEL.hop_length

    def prepare(self, wave: Waveform) -> Tensor:
        """Compute scaled log-mels, (B, S) -> (B, 80, T), where T is a multiple of 32."""
        length = self.padded_length(int(wave.lengths.max()))
        mel: Tensor = self.mel(F.pad(wave.samples, (0, length - wave.samples.shape[1])))
        return mel

    def collect(self, activation: Tensor, lengths: Tensor) -> Frames:
        """Convert to frames, (B, T, channels), and normalize each channel over time."""
        return Frames(activation, lengths).normalise()

    def content_of_mel(self, mel: Frames, spec: MelSpec) -> Frames:
        """Return about the frames of the recordings that log-mels are of: (B, T, 80) -> (B, T / 2, channels).

        The squared magnitude of a longer window stands for the power of Whisper's. For readers of LibriSpeech, frames
        then differ by 0.15 to 0.33 from those of the recording; from those of 60 ms later they differ by 0.46 to 0.73
        (mean absolute differences; a channel's deviation is 1).

        Raises:
            ContractError: The mels do not have the bands and hop length of Whisper's, or are no natural logarithms.
        """
        return self._of_mel(mel, spec, len(self.trunk))

    def encoded_mel(self, mel: Frames, spec: MelSpec) -> Frames:
        """Return the output of the last layer in place of the content: (B, T, 80) -> (B, T / 2, width), normalized too.

        Raises:
            ContractError: As `content_of_mel`.
        """
        return self._of_mel(mel, spec, len(self.trunk) - 1)

    def _of_mel(self, mel: Frames, spec: MelSpec, stop: int) -> Frames:
        differences = mismatches(replace(spec, fft_length=MEL.fft_length), MEL)
        if differences:
            raise ContractError(f"content-whisper cannot read these mels: {'; '.join(differences)}")
        length = mel.values.shape[1] // MEL_FRAMES_PER_FRAME * MEL_FRAMES_PER_FRAME
        decades = mel.values[:, :length].transpose(1, 2) * (2 / math.log(10))
        activation = self.run(decades.clamp(min=-DECADES) * (2 / DECADES) + 1, stop=stop)
        return self.collect(activation, (mel.lengths // MEL_FRAMES_PER_FRAME).clamp(min=1, max=activation.shape[1]))


class PowerMel(nn.Module):
    """Log-mels of powers, as Whisper computes them: (B, S) -> (B, 80, S / 160). 1e-10 is -1 and 1 is 1."""

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(MEL.fft_length), persistent=False)
        self.register_buffer("filters", mel_filters(MEL), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Compute the mels of samples whose number is a multiple of 160."""
        with torch.autocast(samples.device.type, enabled=False):
            spectrum = torch.stft(
                samples.float(), MEL.fft_length, MEL.hop_length, window=self.window, pad_mode="reflect",
                return_complex=True,
            )  # fmt: skip
            power = spectrum[..., :-1].abs().square()
            decades = torch.matmul(self.filters.T, power).clamp(min=10.0**-DECADES).log10()
            return decades * (2 / DECADES) + 1


class WhisperScale(nn.Module):
    """Whisper's scaling: at most 8 decades below the loudest band of the item, 1 for a power of 1."""

    def forward(self, mel: Tensor) -> Tensor:
        """Scale `PowerMel`'s output, (B, 80, T)."""
        decades = (mel - 1) * (DECADES / 2)
        loudest = decades.amax(dim=(1, 2), keepdim=True)
        scaled: Tensor = (decades.clamp(min=loudest - RANGE_DECADES) + 4) / 4
        return scaled


class Convolutions(nn.Module):
    """Both convolutions of the encoder: (B, 80, 2 T) -> (B, T, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(MEL.num_mels, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, stride=MEL_FRAMES_PER_FRAME, padding=1)

    def forward(self, mel: Tensor) -> Tensor:
        """Apply both convolutions, each followed by GELU."""
        frames: Tensor = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        return frames


class Positions(nn.Module):
    """Sinusoidal positions, added to (B, T, width); in training, each item starts at a random one."""

    table: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        rates = torch.exp(-math.log(10_000) / (width // 2 - 1) * torch.arange(width // 2))
        angles = torch.arange(MOST_POSITIONS)[:, None] * rates
        self.register_buffer("table", torch.cat([angles.sin(), angles.cos()], dim=1), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Add the positions."""
        count, length, _ = frames.shape
        first = torch.zeros(count, dtype=torch.long, device=frames.device)
        if self.training:
            first = torch.randint(max(1, MOST_POSITIONS - length), (count,), device=frames.device)
        places = (first[:, None] + torch.arange(length, device=frames.device)) % MOST_POSITIONS
        return frames + self.table[places]


class EncoderLayer(nn.Module):
    """One pre-norm transformer layer of the encoder: (B, T, width) -> (B, T, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.q_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(3))
        self.k_proj = nn.Linear(width, width, bias=False)
        self.final_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, frames: Tensor) -> Tensor:
        """Apply self-attention and the feed-forward network, each with a residual connection."""
        normed = self.self_attn_layer_norm(frames)
        queries, keys, values = (
            project(normed).unflatten(2, (self.heads, HEAD_WIDTH)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)
        frames = frames + self.out_proj(attended)
        out: Tensor = frames + self.fc2(F.gelu(self.fc1(self.final_layer_norm(frames))))
        return out


class ChannelsFirst(nn.Sequential):
    """A sequence of modules on (B, C, T), applied to (B, T, C)."""

    def forward(self, frames: Tensor) -> Tensor:
        """Apply the modules."""
        hidden = frames.transpose(1, 2)
        for module in self:
            hidden = module(hidden)
        return hidden.transpose(1, 2)


def _encoder_tensors(checkpoint: Mapping[str, Tensor], stages: tuple[str, ...], *, where: str) -> dict[str, Tensor]:
    """Return the tensors of the convolutions and the layers by their names in the trunk, from a Whisper checkpoint.

    Raises:
        WeightsError: The checkpoint has fewer layers.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in checkpoint.items():
        place = name.removeprefix(ENCODER)
        if place == name:
            continue
        if place.startswith("conv"):
            tensors[f"convolutions.{place}"] = tensor
        elif place.startswith("layers."):
            _, index, rest = place.split(".", 2)
            stage = f"layer{int(index) + 1}"
            if stage in stages:
                tensors[f"{stage}.{rest.replace('self_attn.', '')}"] = tensor
    present = {name.partition(".")[0] for name in tensors}
    if missing := [stage for stage in stages if stage.startswith("layer") and stage not in present]:
        raise WeightsError(f"{where}: the checkpoint has no {', '.join(missing)}; lower the option layers")
    return {name: tensor.float() for name, tensor in tensors.items()}
