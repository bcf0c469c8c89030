"""`progress`: a bar that moves in a terminal, plain lines elsewhere, and nothing of either on stdout."""

import os
import pty
import re
import subprocess
import sys

SLOW = ["--set", "hyperparameters.step_seconds=0.004", "--set", "callbacks.progress.interval=0.3"]


def in_terminal(cli, *args):
    """Run `rlctl` with a pseudo-terminal as its stderr; returns (exit code, stdout, what the terminal was shown)."""
    leader, follower = pty.openpty()
    process = cli.start(*args, stderr=follower, env={"TERM": "xterm", "COLUMNS": "120", "LINES": "40"})
    os.close(follower)
    shown = b""
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:  # Linux reports the end of a terminal as an error
            break
        if not data:
            break
        shown += data
    os.close(leader)
    out, _ = process.communicate(timeout=60)
    return process.returncode, out, shown.decode(errors="replace")


def test_without_a_terminal_there_are_plain_lines(site, cli):
    """Where stderr is no terminal, a line says steps, share, mean return, speed and time left, every `interval`."""
    site("toy_worker")
    outcome = cli("run", "toy", "--total-timesteps", 400, *SLOW)
    lines = [line for line in outcome.err.splitlines() if "steps (" in line and not line.startswith("rlctl: 0/")]
    assert lines, outcome.err
    pattern = r"rlctl: \d+/400 steps \(\d+%\), return \d+\.\d, [\d ]+ steps/s, \d+ s left"
    assert all(re.fullmatch(pattern, line) for line in lines), lines


def test_without_a_terminal_there_are_no_control_characters(site, cli):
    """A log file gets text only: no escape sequence and no carriage return."""
    site("toy_worker")
    outcome = cli("run", "toy", "--total-timesteps", 400, *SLOW)
    assert not set("\x1b\r\b") & set(outcome.err)


def test_a_budget_in_episodes_is_counted_in_episodes(site, cli):
    """Of a run with a budget of episodes the lines say how many episodes it has."""
    site("toy_worker")
    outcome = cli("run", "toy", "--total-episodes", 60, *SLOW)
    assert re.search(r"rlctl: \d+/60 episodes \(\d+%\)", outcome.err), outcome.err


def test_in_a_terminal_there_is_a_bar(site, cli):
    """Where stderr is a terminal, a bar is drawn over itself and ends full."""
    site("toy_worker")
    code, _, shown = in_terminal(cli, "run", "toy", "--total-timesteps", 400, *SLOW)
    assert code == 0
    assert "━" in shown
    assert "\x1b[" in shown
    assert "400/400" in shown


def test_the_cursor_comes_back(site, cli):
    """A terminal whose cursor the bar has hidden has it again at the end, also after a failed run."""
    site("toy_worker")
    code, _, shown = in_terminal(cli, "run", "toy", "--set", "hyperparameters.raise_at=200", *SLOW)
    assert code == 1
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1


def test_data_on_stdout_is_not_disturbed(site, cli):
    """With a bar in the terminal, stdout still has nothing but the data that was asked for."""
    import json

    site("toy_worker")
    _, out, _ = in_terminal(cli, "run", "toy", "--json", *SLOW)
    assert json.loads(out)["status"] == "finished"


def test_rich_is_imported_only_for_a_bar():
    """Without a terminal nothing waits for rich."""
    program = "import sys, rlctl_callbacks.progress; print('rich' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
