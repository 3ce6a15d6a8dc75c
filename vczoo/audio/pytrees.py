"""Registration of data types as PyTorch pytrees, so that `torch.func` and `torch.export` take them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

__all__ = ["register_tensors"]


def register_tensors(cls: type[Any], *tensors: str) -> None:
    """Register a frozen dataclass as a pytree whose leaves are its tensors. Its other fields are the context.

    Args:
        cls: The dataclass.
        tensors: Names of the fields that hold tensors.
    """
    others = [field.name for field in fields(cls) if field.name not in tensors]

    def flatten(value: Any) -> tuple[list[Tensor], tuple[Any, ...]]:
        return [getattr(value, name) for name in tensors], tuple(getattr(value, name) for name in others)

    def flatten_with_keys(value: Any) -> tuple[list[tuple[Any, Tensor]], tuple[Any, ...]]:
        leaves, context = flatten(value)
        return [(pytree.GetAttrKey(name), leaf) for name, leaf in zip(tensors, leaves, strict=True)], context

    def unflatten(leaves: Iterable[Any], context: Sequence[Any]) -> Any:
        value = object.__new__(cls)  # not by the constructor, because torch also puts other things than tensors in
        for name, leaf in [*zip(tensors, leaves, strict=True), *zip(others, context, strict=True)]:
            object.__setattr__(value, name, leaf)
        return value

    pytree.register_pytree_node(
        cls,
        flatten,
        unflatten,
        serialized_type_name=f"vczoo.{cls.__name__}",
        flatten_with_keys_fn=flatten_with_keys,
        to_dumpable_context=list,
        from_dumpable_context=tuple,
    )
