"""What is wrong with the words for sbatch, and with a machine without Slurm, is said before anything is written."""

import pytest

from rlctl.errors import UsageError
from rlctl_slurm.options import sbatch_options


def test_words_become_options_of_sbatch():
    """With or without their dashes; quotes keep a value together."""
    said = sbatch_options("partition=gpu --time=8:00:00 exclusive 'constraint=a100 & big'")
    assert said == ["--partition=gpu", "--time=8:00:00", "--exclusive", "--constraint=a100 & big"]
    assert sbatch_options(None) == []


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("output=x", '"output" is for rlctl to say'),
        ("array=0-9", '"array" is for rlctl to say'),
        ("signal=USR1@60", '"signal=USR1@60" would not reach the run'),
        ("-p gpu", '"p" is no option of sbatch'),
        ("time=", '"time=" is no option of sbatch'),
        ("'time", "cannot be split into words"),
    ],
)
def test_words_that_would_make_something_else_are_refused(words, problem):
    """A job's name and output are how rlctl finds it again; another signal would end it without a checkpoint."""
    with pytest.raises(UsageError, match=problem):
        sbatch_options(words)


def test_all_that_is_wrong_is_said_at_once():
    """Three words, three problems."""
    with pytest.raises(UsageError) as caught:
        sbatch_options("wrap=x signal=TERM t=1")
    assert all(f'"{word}' in str(caught.value) for word in ("wrap", "signal", "t=1"))


def test_without_slurm_nothing_is_written(site, cli, tmp_path):
    """The message says what is missing, and where to go."""
    site("toy_worker")
    outcome = cli("run", "toy", "--executor", "slurm", env={"PATH": str(tmp_path)})
    assert outcome.code == 3
    assert "Slurm is not available here: there is no program sinfo on the PATH" in outcome.err
    assert "Run rlctl where sbatch works" in outcome.err
    assert not (tmp_path / "runs").exists()
