"""The launcher runs unmodified scripts and hands out iterations, scalars and episodes; test_recordings: the same ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("gymnasium")

from rlctl_cleanrl.launcher import NoMainLoopError, find_main_loop

PLUGIN = Path(__file__).parents[3] / "plugins" / "cleanrl"

# Runs in an interpreter of its own: the shims change the whole process.
RUNNER = """
import json, sys
from pathlib import Path
import torch
from rlctl_cleanrl.launcher import run_script

torch.set_num_threads(1)
order = json.loads(sys.argv[1])
rows, scalars, episodes, seen, modules = [], [], [], [], []

def on_iteration(script):
    seen.append(script.get("global_step", -1))
    modules.append(script["__name__"] == "__main__" and vars(sys.modules["__main__"]) is script)
    return order["stop_after"] is None or len(seen) <= order["stop_after"]

def on_scalar(tag, value, step):
    scalars.append((tag, value, step))
    if tag == "charts/episodic_return":
        rows.append([step, value.hex(), None])
    elif tag == "charts/episodic_length":
        rows[-1][2] = int(value)

before = sys.modules["__main__"], list(sys.argv)
script = run_script(
    Path(order["path"]), order["argv"], on_iteration=on_iteration, on_scalar=on_scalar,
    on_episode=lambda *episode: episodes.append(episode), extra_path=Path(order["path"]).parents[1], **order["options"],
)
Path("result.json").write_text(json.dumps({
    "rows": rows, "scalars": scalars, "episodes": episodes, "seen": seen, "in_main": all(modules),
    "restored": before == (sys.modules["__main__"], sys.argv) and str(Path(order["path"]).parent) not in sys.path,
    "files": sorted(str(path) for path in Path(".").rglob("*") if path.is_file()),
    "tensorboard": "tensorboard" in sys.modules,
}))
"""

TINY = """
import gymnasium as gym
import sys
from torch.utils.tensorboard import SummaryWriter
import numpy as np
import pickle
import torch

class Thing:
    pass

if __name__ == "__main__":
    writer = SummaryWriter("runs/tiny")
    writer.add_text("ignored", "text")
    for step in range(3):
        pass
    copy = pickle.loads(pickle.dumps(Thing()))
    for global_step in range(10):
        inner = [type(range(4)).__name__ for _ in range(2)]
        values = [1.5, np.float32(2), np.array([3.5]), torch.tensor(4.5)]
        writer.add_scalar("value", values[global_step % 4], global_step)
    open("after.txt", "w").write(f"{global_step} {inner} {sys.argv[1:]} {sys.argv[0] == __file__}")
    writer.close()
"""


@pytest.fixture(scope="module")
def cleanrl_scripts(fetched_cleanrl: Path) -> Path:
    """Return the folder of CleanRL 1.2.0."""
    return fetched_cleanrl / "cleanrl" / "snapshots" / "pypi-1.2.0"


def launch(folder: Path, path: Path, argv: list[str], stop_after: int | None = None, **options: Any) -> dict[str, Any]:
    """Run a script through the launcher in a process and a folder of its own."""
    order = {"path": str(path), "argv": argv, "stop_after": stop_after, "options": options}
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(PLUGIN)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUNNER, json.dumps(order)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def test_ppo_reports_iterations_and_the_episodes_of_all_environments(cleanrl_scripts: Path, tmp_path: Path) -> None:
    """Of ppo.py every rollout is observed, and more episodes are reported than the script itself logs."""
    result = launch(tmp_path, cleanrl_scripts / "cleanrl" / "ppo.py", ["--seed", "1", "--total-timesteps", "2048"])
    assert [(row[0], float.fromhex(row[1])) for row in result["rows"][:3]] == [(60, 15), (108, 27), (116, 29)]
    assert len(result["seen"]) == 2048 // 512 + 1
    assert len(result["episodes"]) > len(result["rows"]), "every sub-environment's episodes are reported"
    assert all(episode[0] == episode[1] and 0 <= episode[2] < 4 for episode in result["episodes"])


def test_dqn_reports_every_step_and_each_episode_that_it_logs(cleanrl_scripts: Path, tmp_path: Path) -> None:
    """Of dqn.py every step is observed, and the reported episodes are the logged ones."""
    argv = ["--seed", "1", "--total-timesteps", "1500", "--learning-starts", "1000"]
    result = launch(tmp_path, cleanrl_scripts / "cleanrl" / "dqn.py", argv)
    assert result["seen"] == list(range(-1, 1500))
    assert len(result["rows"]) > 10
    assert [[step, float(value).hex(), length] for value, length, _, step in result["episodes"]] == result["rows"]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Write a script with the form of CleanRL's and return its path."""
    return write_tiny(tmp_path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Run such a script once without any options, for all tests that only look: its result and its folder."""
    folder = tmp_path_factory.mktemp("plain")
    return launch(folder, write_tiny(folder), ["--seed", "3"]), folder


def write_tiny(folder: Path) -> Path:
    """Write the script into a folder of its own within the given one; return its path."""
    path = folder / "scripts" / "tiny.py"
    path.parent.mkdir()
    path.write_text(TINY)
    return path


def test_the_script_runs_as_main_with_its_arguments(plain: tuple[dict[str, Any], Path]) -> None:
    """The script is `__main__`, sees its arguments, can pickle its classes, and leaves the process as it was."""
    result, folder = plain
    assert (folder / "after.txt").read_text() == "9 ['range', 'range'] ['--seed', '3'] True"
    assert result["in_main"]
    assert result["restored"]


def test_only_the_main_loop_is_observed(plain: tuple[dict[str, Any], Path]) -> None:
    """on_iteration comes before each of the ten iterations of the last loop and once after them."""
    assert plain[0]["seen"] == [-1, *range(10)]


def test_scalars_arrive_as_floats(plain: tuple[dict[str, Any], Path]) -> None:
    """Python floats, numpy scalars, arrays of one element and tensors arrive as floats."""
    scalars = plain[0]["scalars"]
    assert scalars[:5] == [["value", [1.5, 2.0, 3.5, 4.5, 1.5][step], step] for step in range(5)]


def test_stopping_ends_the_loop_and_not_the_script(tiny: Path, tmp_path: Path) -> None:
    """When on_iteration says no, the loop ends there and the code after it still runs."""
    result = launch(tmp_path, tiny, [], stop_after=4)
    assert result["seen"] == [-1, 0, 1, 2, 3]
    assert (tmp_path / "after.txt").read_text().startswith("3 ")


def test_iterations_can_be_skipped(tiny: Path, tmp_path: Path) -> None:
    """A resumed run starts its loop where the run before it ended."""
    result = launch(tmp_path, tiny, [], skip_iterations=7)
    assert [step for _, _, step in result["scalars"]] == [7, 8, 9]


def test_no_tensorboard_file_is_written_unless_asked_for(plain: tuple[dict[str, Any], Path]) -> None:
    """By default there is neither an event file nor an import of tensorboard, but the log folder exists."""
    result, folder = plain
    assert not any("tfevents" in name for name in result["files"])
    assert not result["tensorboard"]
    assert (folder / "runs" / "tiny").is_dir()


def test_tensorboard_files_are_written_on_request(tiny: Path, tmp_path: Path) -> None:
    """With write_tensorboard the scalars are reported and written."""
    pytest.importorskip("tensorboard")
    result = launch(tmp_path, tiny, [], write_tensorboard=True)
    assert any("tfevents" in name for name in result["files"])
    assert len(result["scalars"]) == 10


def test_every_training_script_has_a_main_loop(cleanrl_scripts: Path) -> None:
    """In each of the 28 scripts of 1.2.0 the main loop is found, by its variable and its line."""
    found = {path.stem: find_main_loop(path.read_text()) for path in sorted((cleanrl_scripts / "cleanrl").glob("*.py"))}
    assert len(found) >= 27
    assert {loop.variable for loop in found.values()} == {"global_step", "update", "phase"}
    assert found["ppo_rnd_envpool"].variable == "update"


def test_a_script_without_a_main_loop_is_refused() -> None:
    """A file that has no loop over a range under its main guard is no training script."""
    with pytest.raises(NoMainLoopError):
        find_main_loop("for i in range(3):\n    pass\n")


def test_a_range_inside_a_progress_bar_is_found() -> None:
    """The loop of the qdagger scripts, `for … in track(range(…))`, counts as a main loop."""
    assert find_main_loop('if __name__ == "__main__":\n  for i in track(range(3)):\n    pass\n').first_line == 2
