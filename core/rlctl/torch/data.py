"""Training state as data: nested containers, numbers, arrays and tensors to one JSON file and one safetensors file.

Nothing is pickled, so reading a state that somebody sent runs no code. Arrays and tensors go to `NAME.safetensors`;
everything around them to `NAME.json`, with a reference where a tensor stands.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file


def write_data(folder: Path, name: str, tree: Any) -> None:
    """Write `tree` as NAME.json and NAME.safetensors; raises TypeError, with the place, for what is no data."""
    tensors: dict[str, torch.Tensor] = {}
    skeleton = _encode(tree, name, tensors)
    (folder / f"{name}.json").write_text(json.dumps(skeleton), encoding="utf-8")
    save_file(tensors, folder / f"{name}.safetensors")


def read_data(folder: Path, name: str, device: torch.device | str = "cpu") -> Any:
    """Return what `write_data` was given; tensors on `device`, arrays as numpy's."""
    skeleton = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return _decode(skeleton, load_file(folder / f"{name}.safetensors", device="cpu"), torch.device(device))


def _encode(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return {"$": "float", "v": value.hex()}  # exact, NaN and infinities too
    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {"$": "tensor", "v": path}
    if isinstance(value, np.ndarray):
        return _encode_array(value, path, tensors)
    if isinstance(value, np.generic):
        return {"$": "scalar", "v": _encode_array(np.array(value), path, tensors)}
    if isinstance(value, (list, tuple, deque)):
        items = [_encode(item, f"{path}.{index}", tensors) for index, item in enumerate(value)]
        if isinstance(value, deque):
            return {"$": "deque", "v": items, "maxlen": value.maxlen}
        return items if type(value) is list else {"$": "tuple", "v": items}
    if isinstance(value, dict):
        pairs = [
            [_encode(key, f"{path}.key{index}", tensors), _encode(item, f"{path}.{key}", tensors)]
            for index, (key, item) in enumerate(value.items())
        ]
        return {"$": "dict", "v": pairs}
    if isinstance(value, (bytes, bytearray)):
        return {"$": "bytes", "v": base64.b64encode(bytes(value)).decode()}
    raise TypeError(f"{path} is a {type(value).__name__}, which is no data")


def _encode_array(array: np.ndarray[Any, Any], path: str, tensors: dict[str, torch.Tensor]) -> Any:
    if array.dtype == object:
        raise TypeError(f"{path} is an array of objects, which is no data")
    # As bytes: numpy has dtypes that torch lacks (uint32, strings), and the bits are what matters.
    raw = (
        np.ascontiguousarray(array).view(np.uint8)
        if array.size and array.ndim
        else np.frombuffer(array.tobytes(), np.uint8)
    )
    tensors[path] = torch.from_numpy(raw.reshape(-1).copy())
    return {"$": "array", "v": path, "dtype": array.dtype.str, "shape": list(array.shape)}


def _decode(node: Any, tensors: dict[str, torch.Tensor], device: torch.device) -> Any:
    if isinstance(node, list):
        return [_decode(item, tensors, device) for item in node]
    if not isinstance(node, dict):
        return node
    kind, value = node["$"], node["v"]
    if kind == "float":
        return float.fromhex(value)
    if kind == "tensor":
        return tensors[value].to(device)
    if kind == "array":
        raw = tensors[value].numpy().tobytes()
        return np.frombuffer(raw, np.dtype(node["dtype"])).reshape(node["shape"]).copy()
    if kind == "scalar":
        return _decode(value, tensors, device)[()]
    if kind == "bytes":
        return base64.b64decode(value)
    if kind == "dict":
        return {_decode(key, tensors, device): _decode(item, tensors, device) for key, item in value}
    items = [_decode(item, tensors, device) for item in value]
    return tuple(items) if kind == "tuple" else deque(items, node["maxlen"])
