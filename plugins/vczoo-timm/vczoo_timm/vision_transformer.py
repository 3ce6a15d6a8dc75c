"""Vision transformers cut into stages: the embedding, then four groups of blocks, with tokens (B, N, C) in between.

If `time_stride` is smaller than a patch, patches overlap: the kernel of the embedding stays and its stride in time is
reduced. Position embeddings are interpolated to the size of the image (timm's `dynamic_img_size`).
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers.patch_embed import PatchEmbed
from torch import Tensor, nn

from vczoo import ContractError, Stage

__all__ = ["choose_stages", "cut_tokens"]

GROUPS = 4


class Embed(nn.Module):
    """Image to tokens: a timm model without its blocks, norm and head."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model: Any = model
        self.patch_rows = model.patch_embed.patch_size[0]

    def patches(self, image: Tensor) -> Tensor:
        """(B, 3, F, T) -> (B, rows, columns, C)."""
        embed = self.model.patch_embed
        if type(embed) is not PatchEmbed:
            tokens: Tensor = embed(image)
            return tokens
        # PatchEmbed.forward refuses an image that is not a multiple of the patch, so the highest band is repeated.
        missing = -image.shape[2] % self.patch_rows
        if missing:
            image = nn.functional.pad(image, (0, 0, 0, missing), mode="replicate")
        return embed.norm(embed.proj(image).permute(0, 2, 3, 1))  # type: ignore[no-any-return]

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, F, T) -> (B, N, C): prefix tokens, then patches, row by row."""
        embedded = self.model._pos_embed(self.patches(image))
        tokens = embedded[0] if isinstance(embedded, tuple) else embedded
        if type(self.model).__name__ != "Eva":  # Eva drops patches inside _pos_embed
            tokens = self.model.patch_drop(tokens)
        return self.model.norm_pre(tokens)  # type: ignore[no-any-return]


class Blocks(nn.Module):
    """Some of the blocks: (B, N, C) -> (B, N, C).

    Args:
        blocks: The blocks.
        rope: The rotary position embedding passed to each block, without parameters; or None.
        rows: The number of rows of patches.
        num_prefix: The number of tokens before the patches.
    """

    def __init__(self, blocks: list[nn.Module], rope: Any, rows: int, num_prefix: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.rope: Any = rope
        self.rows, self.num_prefix = rows, num_prefix

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        if self.rope is None:
            for block in self.blocks:
                tokens = block(tokens)
            return tokens
        columns = (tokens.shape[1] - self.num_prefix) // self.rows
        embedding = self.rope.get_embed(shape=(self.rows, columns))
        for block in self.blocks:
            tokens = block(tokens, rope=embedding)
        return tokens


class TokenMap(nn.Module):
    """(B, N, C) -> (B, C, rows, columns), without the prefix tokens."""

    def __init__(self, rows: int, num_prefix: int) -> None:
        super().__init__()
        self.rows, self.num_prefix = rows, num_prefix

    def forward(self, tokens: Tensor) -> Tensor:
        """Arrange the patches as a feature map."""
        patches = tokens[:, self.num_prefix :]
        return patches.reshape(len(tokens), self.rows, -1, tokens.shape[2]).permute(0, 3, 1, 2)


def choose_stages(num_stages: int, out_stage: int | None) -> int:
    """The number of stages to keep.

    Raises:
        ContractError: out_stage is not between 1 and the number of stages.
    """
    if out_stage is None:
        return num_stages
    if not 1 <= out_stage <= num_stages:
        raise ContractError(f"out_stage is the number of stages to keep, 1 to {num_stages}; got {out_stage}")
    return out_stage


def cut_tokens(model: Any, *, num_mels: int, out_stage: int | None) -> tuple[Stage, ...]:
    """Cut a VisionTransformer or Eva into stages. The final norm joins the last group, and the head is dropped.

    Args:
        model: The timm model, which this takes apart.
        num_mels: The height of the image.
        out_stage: The number of stages to keep; None keeps all.

    Raises:
        ContractError: out_stage is out of range, or a part's parameters serve several stages.
    """
    rope = getattr(model, "rope", None)
    if rope is not None and any(True for _ in rope.parameters()):
        raise ContractError(
            "the rotary embedding has parameters that every stage would share; vczoo cannot cut such a model"
        )
    blocks, norm, num_prefix = list(model.blocks), model.norm, model.num_prefix_tokens
    for name in ("blocks", "norm", "rope", "fc_norm", "head", "head_dist", "attn_pool"):
        if hasattr(model, name):
            setattr(model, name, nn.Identity() if name not in ("rope", "attn_pool") else None)
    embed = Embed(model)
    if rope is not None:
        model.rope = _NoRope()
    device = next(model.parameters()).device
    with torch.no_grad():
        rows = embed.patches(torch.zeros(1, 3, num_mels, 128, device=device)).shape[1]
    size, rest = divmod(len(blocks), GROUPS)
    stages, start = [Stage("embed", embed)], 0
    for index in range(min(GROUPS, len(blocks))):
        stop = start + size + (index < rest)
        stages.append(Stage(f"blocks{index + 1}", Blocks(blocks[start:stop], rope, rows, num_prefix)))
        start = stop
    count = choose_stages(len(stages), out_stage)
    tail = [norm] if count == len(stages) else []
    stages = stages[:count]
    name, last = stages[-1]
    stages[-1] = Stage(name, nn.Sequential(last, *tail, TokenMap(rows, num_prefix)))
    return tuple(stages)


class _NoRope(nn.Module):
    """Replaces the rotary embedding in the embedding stage; the blocks compute it."""

    def get_embed(self, shape: list[int] | None = None) -> None:
        """Return None."""
