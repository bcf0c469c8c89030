"""What a host hands over in one turn is started together, where the engine can do that; each is then a task of its own."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from rlctl.launch.executor import Demand, NotStartedError, Task
from rlctl.launch.gathering import Executors, GatheringExecutor
from rlctl.launch.start import make_executor
from rlctl.plugins import discover
from rlctl.runs.files import read_json


@pytest.fixture
def folder(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an engine that starts three at once."""
    site("toy_worker", "toy_engine")
    monkeypatch.setenv("RLCTL_LEASE_SECONDS", "2")
    (tmp_path / "engine").mkdir()
    return tmp_path / "engine"


@pytest.fixture
def executor(folder: Path) -> GatheringExecutor:
    """Return its executor, as a host has it."""
    found = Executors(discover()).of("arrays", str(folder))
    assert isinstance(found, GatheringExecutor)
    return found


def task(root: Path, name: str, words: str = "true", **demanded: Any) -> Task:
    """Return a script in a directory of its own."""
    (root / name).mkdir()
    return Task(
        run_id=name, argv=("sh", "-c", words), environment={}, log=root / name / "log", directory=root / name,
        demand=Demand(**demanded),
    )  # fmt: skip


def arrays(folder: Path) -> list[str]:
    """Return what was started in one go: how many, with how many cores."""
    path = folder / "arrays"
    return path.read_text().splitlines() if path.exists() else []


def ended(executor: GatheringExecutor, handles: list[Any]) -> bool:
    return all(executor.poll(handle) == 0 for handle in handles)


def test_those_of_one_demand_are_started_together(executor: Any, folder: Path, tmp_path: Path, wait_until: Any) -> None:
    """At most as many as the engine takes; what is left alone is started alone. Before the hand-over nothing is."""
    handles = [executor.submit(task(tmp_path, f"a{index}", f"echo {index}")) for index in range(5)]
    handles += [executor.submit(task(tmp_path, "big", cpus=2))]
    assert [executor.poll(handle) for handle in handles] == [None] * 6
    assert list(folder.iterdir()) == []

    executor.hand_over()

    assert arrays(folder) == ["3 with 1", "2 with 1"]
    assert len(list(folder.glob("placement-*"))) == 1
    wait_until(lambda: ended(executor, handles), 60)
    assert [(tmp_path / f"a{index}" / "log").read_text() for index in range(5)] == [f"{index}\n" for index in range(5)]


def test_without_a_turn_of_a_host_each_is_started_at_once(folder: Path, tmp_path: Path, wait_until: Any) -> None:
    """A single run waits for nobody."""
    executor: Any = make_executor("arrays", discover(), str(folder))
    handle = executor.submit(task(tmp_path, "a"))
    wait_until(lambda: ended(executor, [handle]), 60)
    assert arrays(folder) == []


def test_each_is_found_again_by_its_own_name(executor: Any, tmp_path: Path, wait_until: Any) -> None:
    """Who comes later follows each task of what was started together."""
    handles = [executor.submit(task(tmp_path, name, "sleep 30")) for name in ("a", "b")]
    executor.hand_over()
    names = [read_json(handle.folder / "job.json")["name"] for handle in handles]  # type: ignore[index]
    assert [name.rpartition("_")[2] for name in names] == ["0", "1"]
    followed = [executor.attach(tmp_path / name) for name in ("a", "b")]
    assert [handle.job.name for handle in followed] == names
    for handle in followed:
        executor.kill(handle)
    wait_until(lambda: all(executor.poll(handle) == -signal.SIGKILL for handle in handles), 60)


def test_a_host_that_dies_before_the_hand_over_leaves_what_can_be_placed_again(
    executor: Any, tmp_path: Path, folder: Path, wait_until: Any
) -> None:
    """The engine knows nothing of it, and who comes later has it run once."""
    executor.submit(task(tmp_path, "a", "echo once"))
    later: Any = make_executor("arrays", discover(), str(folder))
    handle = later.attach(tmp_path / "a")
    wait_until(lambda: ended(later, [handle]), 60)
    assert (tmp_path / "a" / "log").read_text().splitlines()[1:] == ["once"]


def test_a_refusal_reaches_each_that_it_concerns(executor: Any, folder: Path, tmp_path: Path) -> None:
    """`poll` raises it, for what is started together and for what is started alone; no later one is spoilt."""
    handles = [executor.submit(task(tmp_path, f"a{index}")) for index in range(3)]
    handles.append(executor.submit(task(tmp_path, "gpu", gpus=1)))
    (folder / "refuses").touch()
    executor.hand_over()
    said = []
    for handle in handles:
        with pytest.raises(NotStartedError) as caught:
            executor.poll(handle)
        said.append(str(caught.value))
    assert said == ["this engine refuses"] * 3 + ["this engine has no GPU"]
    (folder / "refuses").unlink()
    late = executor.submit(task(tmp_path, "late"))
    executor.hand_over()
    assert executor.poll(late) is None


def test_the_members_of_a_plan_that_begin_together_are_gathered(cli: Any, folder: Path) -> None:
    """Three at the first turn, the two that need them at the second; each has its own place and its own log."""
    lines = ["members:"]
    lines += [f"  {name}: {{script: echo {name}}}" for name in "abc"]
    lines += [f"  {name}: {{script: echo {name}, needs: [a, b, c]}}" for name in "de"]
    (cli.folder / "p.yaml").write_text("\n".join(lines))
    outcome = cli("plan", "run", "p.yaml", "-j", 3, "--executor", "arrays", "--address", folder)
    assert outcome.code == 0, outcome.err
    assert arrays(folder) == ["3 with 1", "2 with 1"]
    logs = list(cli.folder.parent.glob("plans/p/tasks/*/attempts/placement-*/keeper.log"))
    assert len(logs) == 5


def test_members_that_the_engine_does_not_take_could_not_be_started(cli: Any, folder: Path) -> None:
    """Each is said to be; the plan goes on with what the engine does take, and can be resumed."""
    (cli.folder / "p.yaml").write_text(
        f"members: {{first: {{script: touch {folder}/refuses}}, a: {{script: 'true', needs: [first]}},\n"
        f" b: {{script: 'true', needs: [first]}}}}\n"
    )
    placed = ("-j", 2, "--executor", "arrays", "--address", folder)
    outcome = cli("plan", "run", "p.yaml", *placed)
    assert outcome.code == 1, outcome.err
    for name in ("a", "b"):
        assert f"{name}: failed: could not be started: this engine refuses" in outcome.err
    (folder / "refuses").unlink()
    resumed = cli("plan", "resume", "p", *placed)
    assert resumed.code == 0, resumed.err
