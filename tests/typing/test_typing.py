"""rlctl's public types help a plugin's author: right code passes mypy --strict, wrong code does not."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

AUTHOR = Path(__file__).with_name("plugin_author.py")


def mypy(path, cache):
    """Run mypy --strict on one file, with no configuration but its own; returns (exit code, output)."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", str(cache), str(path)]
    answer = subprocess.run(command, cwd=cache, capture_output=True, text=True, check=False)
    return answer.returncode, answer.stdout + answer.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache for both runs of mypy, so that the second is fast."""
    return tmp_path_factory.mktemp("mypy")


def test_a_realistic_plugin_passes(cache):
    """A plugin that uses the whole public interface as documented has no type error."""
    code, output = mypy(AUTHOR, cache)
    assert code == 0, output


MISTAKES = """
import rlctl
from rlctl import AlgorithmDescriptor, Run, RunConfig, WorkerDescriptor
from rlctl import Workers  # attr-defined
from rlctl.testing import fake_ran  # attr-defined


def train(run: Run) -> None:
    run.advance("7")  # arg-type
    run.record_episode(1.0)  # call-arg
    run.record_metrics({"train/loss": "low"})  # dict-item
    run.end()  # attr-defined


WorkerDescriptor(name="x", summary="", entry_point="a:b", algorithm=())  # call-arg
AlgorithmDescriptor(name="x", default_env="e", default_total_timesteps="many")  # arg-type
RunConfig(algo="ppo")  # call-arg
rlctl.run("dqn")  # arg-type
rlctl.train()  # attr-defined
"""


def test_mistakes_are_found(cache):
    """Each typical mistake of a plugin's author is an error of the expected kind on its own line."""
    path = cache / "mistakes.py"
    path.write_text(MISTAKES)
    _, output = mypy(path, cache)
    expected = {number: line.split("# ")[1] for number, line in enumerate(MISTAKES.splitlines(), 1) if "# " in line}
    found = {}
    for line in output.splitlines():
        match = re.search(r"mistakes\.py:(\d+): error: .*\[([\w-]+)\]$", line)
        if match:
            found.setdefault(int(match[1]), set()).add(match[2])
    assert {number for number, kind in expected.items() if kind not in found.get(number, set())} == set(), output
