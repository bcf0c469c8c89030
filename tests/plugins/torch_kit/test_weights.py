"""Weights from elsewhere: all of them fit or none is taken, and no file runs code unless it is trusted."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import random
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")
hypothesis = pytest.importorskip("hypothesis")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import nn  # noqa: E402

from rlctl.errors import RlctlError  # noqa: E402
from rlctl.torch.random_state import preserved_random_states, random_states, seed_everything  # noqa: E402
from rlctl.torch.weights import read_torch_file, take_weights  # noqa: E402

SOURCE = Path("somewhere/weights.safetensors")


def networks(hidden: int = 4, seed: int = 1) -> dict[str, nn.Module]:
    """Return an actor and a critic, as a training has them."""
    torch.manual_seed(seed)
    normalized = nn.Sequential(nn.Linear(3, hidden), nn.BatchNorm1d(hidden), nn.Linear(hidden, 2))
    return {"actor": normalized, "critic": nn.Linear(3, 1)}


def named(modules: dict[str, nn.Module]) -> dict[str, Any]:
    """Return the tensors of modules by "module/parameter", as they are saved; copies."""
    return {
        f"{name}/{key}": value.clone() for name, module in modules.items() for key, value in module.state_dict().items()
    }


def equal(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Return whether two such mappings have the same tensors, to the bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# ---- all or nothing ------------------------------------------------------------------------------------------------


def test_weights_are_taken_by_name() -> None:
    """Each module gets its own, buffers such as running means too, whatever order they come in."""
    mine, theirs = networks(seed=1), networks(seed=2)
    theirs["actor"](torch.randn(8, 3))  # moves the running means
    tensors = named(theirs)
    assert not equal(named(mine), tensors)

    take_weights(mine, dict(reversed(tensors.items())), SOURCE)

    assert equal(named(mine), tensors)


def test_taken_weights_are_copies() -> None:
    """What the source does later does not reach the network."""
    mine, tensors = networks(), named(networks(seed=2))
    take_weights(mine, tensors, SOURCE)
    before = named(mine)
    for tensor in tensors.values():
        tensor.zero_()

    assert equal(named(mine), before)


def test_one_name_in_another_does_not_confuse() -> None:
    """A module whose name another one begins with gets only its own."""
    modules = {"q": nn.Linear(2, 1), "q_target": nn.Linear(2, 1), "q/inner": nn.Linear(2, 2)}
    tensors = {name: torch.randn_like(value) for name, value in named(modules).items()}
    tensors.pop("q/inner/weight"), tensors.pop("q/inner/bias"), modules.pop("q/inner")

    take_weights(modules, tensors, SOURCE)

    assert equal(named(modules), tensors)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.pop("critic/bias"), "critic/bias is missing"),
        (lambda tensors: tensors.update({"critic/more": torch.zeros(1)}), "critic/more is unknown"),
        (lambda tensors: tensors.update({"other/weight": torch.zeros(1)}), "other/weight is unknown"),
        (lambda tensors: tensors.update({"critic/weight": torch.zeros(1, 5)}), "critic/weight is (1, 5), not (1, 3)"),
        (lambda tensors: tensors.update({"critic/bias": torch.zeros(())}), "critic/bias is (), not (1,)"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_taken(change: Any, words: str) -> None:
    """One tensor that is missing, unknown or of another shape: the others are not taken either."""
    mine = networks(seed=1)
    before, tensors = named(mine), named(networks(seed=2))
    change(tensors)

    with pytest.raises(RlctlError) as caught:
        take_weights(mine, tensors, SOURCE)

    assert caught.value.message == f"the weights in {SOURCE} are of another network: {words}."
    assert "Algorithm, network settings and spaces" in (caught.value.hint or "")
    assert equal(named(mine), before)


def test_all_differences_are_named() -> None:
    """Several at once are one refusal."""
    tensors = named(networks())
    tensors["critic/heavy"] = tensors.pop("critic/weight")

    with pytest.raises(RlctlError, match="critic/weight is missing; critic/heavy is unknown"):
        take_weights(networks(), tensors, SOURCE)


def test_of_many_differences_the_rest_is_counted() -> None:
    """A network with nothing in common does not fill the screen."""
    modules = {"deep": nn.Sequential(*(nn.Linear(1, 1) for _ in range(12)))}

    with pytest.raises(RlctlError) as caught:
        take_weights(modules, {}, SOURCE)

    assert caught.value.message.count(" is missing") == 20
    assert caught.value.message.endswith(" and 4 more.")


def test_another_width_is_named_by_every_shape() -> None:
    """A network of other hidden layers: the message has both shapes."""
    with pytest.raises(RlctlError, match=r"actor/0\.weight is \(8, 3\), not \(4, 3\)"):
        take_weights(networks(4), named(networks(8)), SOURCE)


# ---- files ---------------------------------------------------------------------------------------------------------


class Villain:
    """What is unpickled runs what it likes: here it leaves a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.proof),)


def written(value: Any, **how: Any) -> io.BytesIO:
    """Return what `torch.save` makes of a value."""
    file = io.BytesIO()
    torch.save(value, file, **how)
    file.seek(0)
    return file


FORMATS = [written({"a": torch.zeros(3)}, _use_new_zipfile_serialization=new).getvalue() for new in (True, False)]
"""A small file as torch writes it, and as it did before 1.6."""


def test_tensors_and_containers_need_no_trust(tmp_path: Path) -> None:
    """State dictionaries, numbers and texts are data."""
    state = OrderedDict(named(networks()))
    file = written({"state": state, "step": 7, "name": "x", "none": [None, (1.5, True)]})

    found = read_torch_file(file, tmp_path / "model.pt", trust=False)

    assert equal(found["state"], state)
    assert (found["step"], found["name"], found["none"]) == (7, "x", [None, (1.5, True)])


def test_a_file_that_would_run_code_does_not_without_trust(tmp_path: Path) -> None:
    """It is refused with what it would have done and how to allow it, and the code has not run."""
    proof, path = tmp_path / "pwned", tmp_path / "model.pt"
    torch.save({"weights": torch.zeros(3), "payload": Villain(proof)}, path)

    with pytest.raises(RlctlError) as caught, path.open("rb") as file:
        read_torch_file(file, path, trust=False)

    assert caught.value.message == f"{path} can only be read by unpickling, which runs whatever code is in it."
    assert caught.value.hint == "If you know where it comes from: --trust."
    assert not proof.exists()


def test_the_same_file_runs_its_code_with_trust(tmp_path: Path) -> None:
    """The test above can fail: that code is real, and trust is what it says."""
    proof, path = tmp_path / "pwned", tmp_path / "model.pt"
    torch.save({"weights": torch.zeros(3), "payload": Villain(proof)}, path)

    with path.open("rb") as file:
        found = read_torch_file(file, path, trust=True)

    assert torch.equal(found["weights"], torch.zeros(3))
    assert proof.is_dir()


@pytest.mark.parametrize("trust", [True, False])
@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"no file of torch's", b"PK\x03\x04" + bytes(40), bytes(100)],
    ids=["empty", "letters", "text", "zip", "zeros"],
)
def test_what_is_no_file_of_torch_is_refused_in_words(tmp_path: Path, content: bytes, trust: bool) -> None:
    """Empty, torn or something else: one error of rlctl's own, that names the file."""
    path = tmp_path / "model.pt"

    with pytest.raises(RlctlError, match=r"model\.pt"):
        read_torch_file(io.BytesIO(content), path, trust)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_in_words(data: st.DataObject) -> None:
    """A few bytes that are others, in either format of torch's: tensors, or an error of rlctl's own; never a traceback."""
    whole = bytearray(data.draw(st.sampled_from(FORMATS)))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))

    with contextlib.suppress(RlctlError):
        read_torch_file(io.BytesIO(whole), Path("model.pt"), trust=False)


def test_a_file_of_classes_that_are_not_here_is_refused_in_words(tmp_path: Path) -> None:
    """Trust does not bring a package: what is missing is named."""
    content = pickle.dumps(Fraction(1)).replace(b"fractions", b"fractures")

    with pytest.raises(RlctlError, match="No module named 'fractures'"):
        read_torch_file(io.BytesIO(content), tmp_path / "model.pt", trust=True)


@pytest.mark.parametrize("trust", [True, False])
def test_a_file_that_was_cut_off_is_refused_in_words(tmp_path: Path, trust: bool) -> None:
    """However much of it is left."""
    whole = written(named(networks())).getvalue()

    for share in (0.1, 0.5, 0.9, 0.999):
        with pytest.raises(RlctlError, match=r"model\.pt"):
            read_torch_file(io.BytesIO(whole[: int(len(whole) * share)]), tmp_path / "model.pt", trust)


# ---- generators, while a policy is lent ----------------------------------------------------------------------------


def drawn() -> list[Any]:
    """Return what the global generators give next."""
    return [random.random(), float(np.random.random()), float(torch.rand(()))]


def test_generators_are_seeded_meanwhile_and_put_back() -> None:
    """Inside, what is drawn follows from the seed alone; outside, nobody can tell that something was drawn."""
    seed_everything(1)
    expected = [drawn(), drawn()]
    seed_everything(7)
    of_seven = drawn()

    seed_everything(1)
    first = drawn()
    with preserved_random_states(7):
        assert drawn() == of_seven
        drawn()
    assert [first, drawn()] == expected

    with preserved_random_states(7):
        assert drawn() == of_seven, "the second time as the first"


def test_without_a_seed_generators_go_on_and_are_put_back() -> None:
    """Inside, the stream is what it would have been; outside, it is taken up where it was left."""
    seed_everything(1)
    expected = drawn()

    seed_everything(1)
    with preserved_random_states():
        assert drawn() == expected
    assert drawn() == expected


def test_generators_are_put_back_after_an_exception() -> None:
    """An evaluation that fails leaves the training as it was too."""
    seed_everything(1)
    before = repr(random_states())

    with pytest.raises(ZeroDivisionError), preserved_random_states(7):
        assert drawn() == 1 / 0
    assert repr(random_states()) == before


def test_zero_is_a_seed() -> None:
    """A seed of 0 is not taken for none."""
    seed_everything(0)
    of_zero = drawn()
    seed_everything(1)

    with preserved_random_states(0):
        assert drawn() == of_zero
