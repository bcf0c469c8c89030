"""Training state as data: nested containers, numbers, arrays and tensors to one JSON file and one safetensors file.

Nothing is pickled, so reading a state that somebody sent runs no code. Arrays and tensors go to `NAME.safetensors`;
everything around them to `NAME.json`, with a reference where a tensor stands.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from rlctl.runs.files import write_hashed

_DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.complex64: "C64",
}  # fmt: skip


def write_data(folder: Path, name: str, tree: Any) -> None:
    """Write `tree` as NAME.json and NAME.safetensors; raises TypeError, with the place, for what is no data."""
    tensors: dict[str, torch.Tensor] = {}
    skeleton = _encode(tree, name, tensors)
    (folder / f"{name}.json").write_text(json.dumps(skeleton), encoding="utf-8")
    if tensors:
        write_tensors(folder / f"{name}.safetensors", tensors)


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors as safetensors, straight from their memory; tensors that share memory become independent.

    The library's own writer copies everything, refuses shared memory, and hides a full disk behind an error of its own.
    """
    header, pieces, end = {}, [], 0
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].element_size()):  # so that all are aligned
        piece = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        start, end = end, end + piece.nbytes
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
        pieces.append(piece)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    write_hashed(path, [len(text).to_bytes(8, "little") + text, *(piece.data for piece in pieces)])


def read_data(folder: Path, name: str, device: torch.device | str = "cpu") -> Any:
    """Return what `write_data` was given; tensors on `device`, arrays as numpy's."""
    skeleton = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    path = folder / f"{name}.safetensors"
    return _decode(skeleton, load_file(path, device="cpu") if path.exists() else {}, torch.device(device))


def _encode(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, np.generic):  # first: some of numpy's scalars are Python's as well
        return {"$": "scalar", "v": _encode_array(np.array(value), path, tensors)}
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return {"$": "float", "v": value.hex()}  # exact, NaN and infinities too
    if isinstance(value, torch.Tensor):
        return {"$": "tensor", "v": _put(value.detach(), path, tensors)}
    if isinstance(value, np.ndarray):
        return _encode_array(value, path, tensors)
    if isinstance(value, (set, frozenset)):
        return {"$": type(value).__name__, "v": [_encode(item, f"{path}.item", tensors) for item in value]}
    if isinstance(value, (list, tuple, deque)):
        if all(type(item) is int for item in value):
            items: list[Any] = list(value)  # the state of a generator: hundreds of them
        else:
            items = [_encode(item, f"{path}.{index}", tensors) for index, item in enumerate(value)]
        if isinstance(value, deque):
            return {"$": "deque", "v": items, "maxlen": value.maxlen}
        return items if isinstance(value, list) else {"$": "tuple", "v": items}
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
    if array.dtype.hasobject or array.dtype.names:
        raise TypeError(f"{path} is an array of {array.dtype}, which is no data")
    # As bytes: numpy has dtypes that torch lacks (uint32, strings), and the bits are what matters.
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    reference = _put(torch.from_numpy(raw if raw.flags.writeable else raw.copy()), path, tensors)
    return {"$": "array", "v": reference, "dtype": array.dtype.str, "shape": list(array.shape)}


def _put(tensor: torch.Tensor, path: str, tensors: dict[str, torch.Tensor]) -> str:
    """Store a tensor under its path and return its name: keys with dots in them can make two paths the same."""
    name = path.encode("ascii", "backslashreplace").decode()
    while name in tensors:
        name = f"{name}'"
    tensors[name] = tensor
    return name


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
        raw = tensors[value].numpy()
        return raw.view(node["dtype"]).reshape(node["shape"]).copy()  # aligned, and only one: it may be gigabytes
    if kind == "scalar":
        return _decode(value, tensors, device)[()]
    if kind == "bytes":
        return base64.b64decode(value)
    if kind == "dict":
        return {_decode(key, tensors, device): _decode(item, tensors, device) for key, item in value}
    items = [_decode(item, tensors, device) for item in value]
    plain: dict[str, Callable[[list[Any]], Any]] = {"tuple": tuple, "set": set, "frozenset": frozenset}
    return plain[kind](items) if kind in plain else deque(items, node["maxlen"])
