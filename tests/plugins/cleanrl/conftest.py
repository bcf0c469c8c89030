"""What holds for every test of the cleanrl worker: the shims stay in processes of their own."""

from collections.abc import Iterator

import gymnasium
import pytest


@pytest.fixture(autouse=True)
def gymnasium_stays_as_it_is() -> Iterator[None]:
    """Fail the test that puts the shims into this process: what other tests do here would depend on their order."""
    yield
    changed = [name for name in ("wrappers", "vector") for value in vars(getattr(gymnasium, name)).values()
               if getattr(value, "__module__", "").startswith("rlctl_cleanrl")]  # fmt: skip
    assert not changed, f"gymnasium.{changed[0]} has rlctl_cleanrl's classes now"
