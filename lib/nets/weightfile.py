"""Weight files: safetensors with a JSON header, written atomically, read with suspicion. No pickle anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lib.domain.errors import BadWeightsError
from lib.imaging.volume import write_bytes

_HEADER_KEY = "renal_loop"


def write_tensors(path: Path, state: Mapping[str, Tensor], header: Mapping[str, object]) -> None:
    """Write a state and its header; the file appears complete or not at all.

    Args:
        path: Where to; an older file there is replaced in one step.
        state: Tensors by name; floating ones are stored as float16.
        header: Anything JSON can hold.

    Raises:
        BadWeightsError: When a value is not finite, or too large for float16.
    """
    stored = {name: _stored(name, tensor) for name, tensor in state.items()}
    content = save(stored, metadata={_HEADER_KEY: json.dumps(header)})
    write_bytes(content, path)


def _stored(name: str, tensor: Tensor) -> Tensor:
    half = tensor.detach().to("cpu", torch.float16 if tensor.is_floating_point() else tensor.dtype).contiguous()
    if not torch.isfinite(half).all():
        msg = f"weights {name!r} hold values that are not finite; the file was not written"
        raise BadWeightsError(msg)
    return half.clone()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Read a weight file: tensors in float32, and the header.

    Raises:
        BadWeightsError: When the file is missing, truncated, not safetensors, not ours, or not finite.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError) as error:
        msg = f"not a readable safetensors file: {type(error).__name__}"
        raise BadWeightsError(msg) from error
    floats = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    for name, tensor in floats.items():
        if not torch.isfinite(tensor).all():
            msg = f"weights {name!r} hold values that are not finite"
            raise BadWeightsError(msg)
    return floats, _parsed(metadata)


def _parsed(metadata: Mapping[str, str]) -> dict[str, object]:
    try:
        header = json.loads(metadata[_HEADER_KEY])
    except (KeyError, ValueError) as error:
        msg = f"the header has no readable {_HEADER_KEY!r} entry: this file was not written by renal-loop"
        raise BadWeightsError(msg) from error
    if not isinstance(header, dict):
        msg = f"the header's {_HEADER_KEY!r} entry is a {type(header).__name__}; expected an object"
        raise BadWeightsError(msg)
    return header
