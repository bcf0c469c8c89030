"""State as data: what is written comes back the same to the bit, what is no data is named, and nothing is pickled."""

from __future__ import annotations

import io
import json
import math
import pickle
import random
from collections import OrderedDict, deque
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")
hypothesis = pytest.importorskip("hypothesis")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from rlctl.torch.data import read_data, write_data, write_tensors  # noqa: E402
from rlctl.torch.random_state import (  # noqa: E402
    preserved_random_states,
    random_states,
    seed_everything,
    set_random_states,
)

NUMPY_TYPES = [
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64",
    "complex64", "complex128", ">f4", ">i8", "<U5", "S3", "datetime64[s]",
]  # fmt: skip
TORCH_TYPES = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16,
    torch.float32, torch.float64, torch.uint16, torch.uint32, torch.uint64, torch.complex64,
]  # fmt: skip
SHAPES: list[tuple[int, ...]] = [(), (0,), (3,), (2, 0, 3), (2, 3), (1, 1, 1, 2)]


def there_and_back(folder: Path, tree: Any) -> Any:
    """Return what is read after `tree` was written."""
    write_data(folder, "state", tree)
    return read_data(folder, "state")


def same(a: Any, b: Any) -> bool:  # noqa: PLR0911 - one line a kind of value
    """Return whether two trees are the same: types, shapes and every bit, NaN and negative zero too."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        return bool(torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8)))
    if isinstance(a, (np.ndarray, np.generic)):
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    if isinstance(a, deque) and a.maxlen != b.maxlen:
        return False
    if isinstance(a, (list, tuple, deque)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a.items(), b.items(), strict=True))
    if isinstance(a, float):
        return a.hex() == b.hex()
    return bool(a == b)


def test_the_comparison_can_fail() -> None:
    """What tells trees apart in these tests is no decoration."""
    pairs: list[tuple[Any, Any]] = [
        (1, True), (1, 1.0), (0.0, -0.0), ((1,), [1]), (deque([1]), deque([1], 2)), ({1: 2}, {"1": 2}),
        (np.float64(1), 1.0), (np.zeros(2), np.zeros((1, 2))), (np.zeros(2, "f4"), np.zeros(2)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.bfloat16)), (torch.tensor(math.nan), torch.tensor(1.0)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ]  # fmt: skip
    assert not any(same(a, b) for a, b in pairs)


# ---- any tree ------------------------------------------------------------------------------------------------------


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Arrays of any type and shape, of any bits; every other axis order and stride is contiguous after it."""
    dtype, shape = np.dtype(draw(st.sampled_from(NUMPY_TYPES))), draw(st.sampled_from(SHAPES))
    raw = draw(st.binary(min_size=32 * dtype.itemsize, max_size=32 * dtype.itemsize))
    if dtype.kind == "U":
        return np.array(draw(st.lists(st.text(max_size=5), min_size=6, max_size=6)), dtype)[: math.prod(shape)].copy()
    if dtype.kind == "b":
        raw = bytes(value & 1 for value in raw)
    array = np.frombuffer(raw, dtype)[: math.prod(shape)].reshape(shape).copy()
    return array.T if draw(st.booleans()) else array


@st.composite
def tensors(draw: st.DrawFn) -> Any:
    """Tensors of any type and shape, of any bits."""
    dtype, shape = draw(st.sampled_from(TORCH_TYPES)), draw(st.sampled_from(SHAPES))
    array = draw(st.binary(min_size=256, max_size=256))
    if dtype == torch.bool:
        array = bytes(value & 1 for value in array)
    flat = torch.frombuffer(bytearray(array), dtype=dtype)[: math.prod(shape)]
    return flat.reshape(shape).clone()


scalars = arrays().filter(lambda array: array.size > 0).map(lambda array: array.reshape(-1)[0])
keys = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.tuples(st.integers(), st.text()))
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), arrays(), tensors(), scalars,
    st.frozensets(st.integers()), st.sets(st.text()),
)  # fmt: skip
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.builds(deque, st.lists(inner, max_size=4), st.sampled_from([None, 4, 10])),
        st.dictionaries(keys, inner, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(tree=trees)
def test_any_tree_comes_back_the_same(tree: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Containers of numbers, texts, arrays and tensors come back with their types and every bit."""
    assert same(there_and_back(tmp_path_factory.mktemp("data"), tree), tree)


# ---- what is easily lost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TORCH_TYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_tensors_of_each_type_and_shape(tmp_path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
    """Every type of tensor, bfloat16 and bool too, of no dimension and of no element."""
    tensor = (torch.rand(shape) * 3).to(dtype)
    assert same(there_and_back(tmp_path, tensor), tensor)


@pytest.mark.parametrize("dtype", NUMPY_TYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_arrays_of_each_type_and_shape(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    """Every type of array, also those that torch has not, of no dimension and of no element."""
    array = (np.random.default_rng(1).random(shape) * 100).astype("int64").astype(dtype)
    array = np.asarray(array)
    assert same(there_and_back(tmp_path, array), array)


@pytest.mark.parametrize("name", ["bool", "int64", "uint8", "float16", "float32", "float64", "str_", "bytes_"])
def test_scalars_of_numpy_stay_numpys(tmp_path: Path, name: str) -> None:
    """A scalar of numpy does not become Python's, although float64 and str_ are kinds of it: they compute otherwise."""
    value = getattr(np, name)({"str_": "one", "bytes_": b"one"}.get(name, 1))
    assert same(there_and_back(tmp_path, [value]), [value])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 0.1 + 0.2, 1.7976931348623157e308])
def test_floats_to_the_bit(tmp_path: Path, value: float) -> None:
    """Every float comes back to the bit, in Python, in arrays and in tensors."""
    tree = [value, np.array(value), torch.tensor([value], dtype=torch.float64)]
    assert same(there_and_back(tmp_path, tree), tree)


def test_big_integers(tmp_path: Path) -> None:
    """Integers of 128 bits, which generators of numpy have, lose nothing."""
    state = np.random.default_rng(1).bit_generator.state
    tree = [2**128 - 1, -(2**200), state]
    assert same(there_and_back(tmp_path, tree), tree)


def test_keys_keep_their_types(tmp_path: Path) -> None:
    """1, True, "1", None and (1,) are different keys, and the order stays."""
    tree = {"1": "a", 2: "b", None: "c", (1, "x"): "d", False: "e", 1.5: "f"}
    assert same(there_and_back(tmp_path, tree), tree)


def test_paths_that_look_the_same_are_told_apart(tmp_path: Path) -> None:
    """Keys with dots, and numbers beside texts of them, do not overwrite each other's tensors."""
    tree = {
        "a": {"b": torch.tensor(1.0)}, "a.b": torch.tensor(2.0), 1: torch.tensor(3.0), "1": torch.tensor(4.0),
        "x": [torch.tensor(5.0)], "x.0": torch.tensor(6.0), "x.0'": torch.tensor(7.0), "\ud800": torch.tensor(8.0),
    }  # fmt: skip
    assert same(there_and_back(tmp_path, tree), tree)


def test_a_deque_keeps_its_bound(tmp_path: Path) -> None:
    """A window of the last hundred is one afterwards, too."""
    back = there_and_back(tmp_path, {"window": deque([1.0, 2.0], maxlen=2)})["window"]
    back.append(3.0)
    assert list(back) == [2.0, 3.0]


def test_kinds_of_containers_become_the_plain_ones(tmp_path: Path) -> None:
    """An OrderedDict is a dict afterwards, a torch.Size a tuple, a list of one's own a list."""

    class Own(list):  # type: ignore[type-arg]
        pass

    tree = [OrderedDict(a=1), torch.Size([2, 3]), Own([1])]
    assert same(there_and_back(tmp_path, tree), [{"a": 1}, (2, 3), [1]])


def test_an_optimizer_comes_back(tmp_path: Path) -> None:
    """The state of Adam, with its integer keys and its step tensors, can be loaded into a new one."""

    def made() -> tuple[Any, Any]:
        torch.manual_seed(1)
        layer = torch.nn.Linear(3, 2)
        return layer, torch.optim.Adam(layer.parameters(), lr=0.01)

    def learn(layer: Any, optimizer: Any) -> None:
        optimizer.zero_grad()
        layer(torch.ones(1, 3)).sum().backward()
        optimizer.step()

    layer, optimizer = made()
    learn(layer, optimizer)
    other, fresh = made()
    other.load_state_dict(layer.state_dict())
    fresh.load_state_dict(there_and_back(tmp_path, optimizer.state_dict()))
    learn(layer, optimizer)
    learn(other, fresh)
    assert same(dict(other.state_dict()), dict(layer.state_dict()))


def test_what_is_read_can_be_written_to(tmp_path: Path) -> None:
    """Arrays and tensors that come back are one's own: a training goes on in them."""
    array, tensor = there_and_back(tmp_path, [np.zeros(3), torch.zeros(3)])
    array += 1
    tensor += 1
    assert same(read_data(tmp_path, "state"), [np.zeros(3), torch.zeros(3)])


def test_a_tensor_that_is_a_view_is_written_alone(tmp_path: Path) -> None:
    """Of a view of something large only the view is written, and views that share memory are each their own."""
    large = torch.arange(100_000.0)
    tree = [large[:2], large[1:3], large[:4].reshape(2, 2).T]
    assert same(there_and_back(tmp_path, tree), [item.clone().contiguous() for item in tree])
    assert (tmp_path / "state.safetensors").stat().st_size < 10_000


# ---- what is no data -----------------------------------------------------------------------------------------------


class Thing:
    """An object of somebody's own."""


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (Thing(), "state is a Thing, which is no data"),
        ({"a": [1, {"b": Thing()}]}, r"state\.a\.1\.b is a Thing, which is no data"),
        ({"f": (len,)}, r"state\.f\.0 is a builtin_function_or_method, which is no data"),
        ({"a": np.array([Thing()])}, r"state\.a is an array of object, which is no data"),
        ({"a": np.zeros(2, [("x", "f4")])}, r"state\.a is an array of .*, which is no data"),
        ({"z": 1j}, r"state\.z is a complex, which is no data"),
        ({"g": random.Random(1)}, r"state\.g is a Random, which is no data"),
    ],
)
def test_what_is_no_data_is_named(tmp_path: Path, tree: Any, words: str) -> None:
    """An object is refused with its place and class, and nothing is written."""
    with pytest.raises(TypeError, match=words):
        write_data(tmp_path, "state", tree)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither writing nor reading calls pickle: the files are JSON and safetensors, which run no code."""
    tree = {"array": np.arange(3), "tensor": torch.ones(2), "generator": random.Random(1).getstate()}

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("pickle was called")

    for owner, name in [
        (pickle, "dump"), (pickle, "dumps"), (pickle, "load"), (pickle, "loads"), (pickle, "Pickler"), (pickle, "Unpickler"),
        (torch, "load"), (torch, "save"), (np, "load"), (np, "save"),
    ]:  # fmt: skip
        monkeypatch.setattr(owner, name, forbidden)
    assert same(there_and_back(tmp_path, tree), tree)
    json.loads((tmp_path / "state.json").read_text(encoding="utf-8"))
    raw = (tmp_path / "state.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    assert set(json.loads(raw[8 : 8 + length])) - {"__metadata__"} == {"state.array", "state.tensor"}


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    """A pickle under the name of a state is an error, and its code does not run."""
    hit = tmp_path / "hit"

    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (hit,))

    write_data(tmp_path, "state", {"a": torch.ones(1)})
    buffer = io.BytesIO()
    pickle.dump(Bomb(), buffer)
    for name in ("state.json", "state.safetensors"):
        before = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(buffer.getvalue())
        with pytest.raises(Exception, match=r".") as caught:
            read_data(tmp_path, "state")
        assert "hit" not in str(caught.value)
        (tmp_path / name).write_bytes(before)
    assert not hit.exists()


def test_an_error_of_the_library_that_is_no_disks_stays_its_own(tmp_path: Path) -> None:
    """Only what the system refused becomes an OSError."""
    with pytest.raises(OSError, match="No such file or directory"):
        write_tensors(tmp_path / "no" / "such" / "x.safetensors", {"a": torch.ones(1)})


# ---- generators ----------------------------------------------------------------------------------------------------


def draws() -> list[float]:
    """Return a number of each global generator."""
    return [random.random(), float(np.random.random()), float(np.random.normal()), float(torch.rand(1))]


def test_all_generators_come_back(tmp_path: Path) -> None:
    """After their states were written and read, Python's, numpy's and torch's generators go on as they would have."""
    seed_everything(5)
    draws()
    write_data(tmp_path, "random", random_states())
    expected = [draws() for _ in range(3)]
    seed_everything(99)
    set_random_states(read_data(tmp_path, "random"))

    assert [draws() for _ in range(3)] == expected


def test_seeding_reaches_all_generators() -> None:
    """The same seed gives the same draws of each, another seed others."""

    def drawn(seed: int) -> list[float]:
        seed_everything(seed)
        return draws()

    assert drawn(3) == drawn(3)
    assert all(a != b for a, b in zip(drawn(3), drawn(4), strict=True))


def test_generators_are_preserved() -> None:
    """What draws inside of `preserved_random_states` leaves no trace, also when it raises."""
    seed_everything(5)
    expected = [draws() for _ in range(2)]
    seed_everything(5)
    first = draws()

    def disturb() -> None:
        with preserved_random_states():
            seed_everything(77)
            draws()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        disturb()

    assert [first, draws()] == expected
