"""`console`: a line on stderr for each so many episodes, in the process where the user waits."""

import re

from rlctl import Episode, Metrics, Progress, Result
from rlctl.testing import fake_run
from rlctl_callbacks.console import Console
from rlctl_callbacks.jsonl import JsonLines


def test_a_line_says_what_its_episodes_reached(tmp_path, capsys):
    """Mean and deviation of the returns, mean length, the last loss, and the time that is left at this speed."""
    info = fake_run(tmp_path, total_timesteps=100).info
    console, files = Console(info, every=2), JsonLines(info)
    files.rlctl_metrics(Metrics(step=5, seconds=1.0, values={"train/loss": 0.25, "train/q_value": 1.0}))
    for index, value in enumerate((1.0, 3.0, 7.0)):
        files.rlctl_episode_ended(Episode(index=index, step=10 * (index + 1), episode_return=value, length=10 + index))
    files.rlctl_checkpoint_due()  # writes what waits
    console.rlctl_status_changed(Progress(step=30, episodes=3, seconds=2.0))
    expected = "rlctl: episode 2, step 20/100: return 2.00 ± 1.00, length 10.5, loss 0.25, 8 s left\n"
    assert capsys.readouterr().err == expected
    console.rlctl_run_ended(Result(status="finished", reason="over", seconds=3.0))
    assert (
        capsys.readouterr().err
        == "rlctl: episode 3, step 30/100: return 7.00 ± 0.00, length 12.0, loss 0.25, 7 s left\n"
    )


def test_a_resumed_run_does_not_tell_again(tmp_path, capsys):
    """What was there before is counted, not shown."""
    info = fake_run(tmp_path, total_episodes=10).info
    files = JsonLines(info)
    files.rlctl_episode_ended(Episode(index=0, step=10, episode_return=1.0, length=10))
    files.rlctl_checkpoint_due()  # writes what waits
    console = Console(info, every=1)
    files.rlctl_episode_ended(Episode(index=1, step=20, episode_return=1.0, length=10))
    files.rlctl_checkpoint_due()
    console.rlctl_status_changed(Progress(step=20, episodes=2, seconds=2.0))
    assert capsys.readouterr().err.startswith("rlctl: episode 2/10, step 20: ")


def test_every_episode_of_a_run_is_in_a_line(site, cli):
    """From the command line: lines go to stderr while it trains, and the last one has the last episode."""
    site("toy_worker")
    outcome = cli(
        "run", "toy", "-n", "400", "--callback", "no-progress", "--set", "callbacks.console.every=20", "--json"
    )
    lines = re.findall(
        r"^rlctl: episode (\d+), step \d+/400: return -?[\d.]+ ± [\d.]+, length [\d.]+", outcome.err, re.MULTILINE
    )
    assert [int(line) for line in lines[:-1]] == [20 * (index + 1) for index in range(len(lines) - 1)]
    assert int(lines[-1]) == outcome.json()["episodes"]


def test_without_jsonl_it_says_why_it_is_silent(site, cli):
    """There is nothing to read then, and a line says so."""
    site("toy_worker")
    outcome = cli(
        "run", "toy", "-n", "50", "--callback", "console", "--callback", "no-jsonl", "--callback", "no-progress"
    )
    assert 'the callback "jsonl" is off' in outcome.err
