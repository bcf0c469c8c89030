"""`rlctl runs`: finding, showing, following, stopping and removing runs, and the states that a run can be in."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlctl.cli._curve import learning_curve
from rlctl.errors import RunDirectoryError, UsageError
from rlctl.events import Episode
from rlctl.runs import directory as directory_module
from rlctl.runs.directory import RunDirectory, create, host_name, is_alive, new_run_id, process_identity, state_of
from rlctl.runs.files import read_json, write_json
from rlctl.runs.manifest import installed_packages
from rlctl.runs.store import RunStore

Cli = Callable[..., Any]
Site = Callable[..., Any]
Wait = Callable[..., Any]
SLOW = ("--set", "hyperparameters.step_seconds=0.02", "-n", "100000")
"""A run that takes half an hour, in small steps."""


def made(root: Path, run_id: str, result: dict[str, Any] | None = None, **config: Any) -> RunDirectory:
    """Make a run's directory by hand, ended if it has a result; its process is one that is long gone."""
    full = {"worker": "toy", "algo": "count", "env": {"id": "moon"}, "seed": 1, "name": None, "labels": {}, **config}
    gone = {"pid": 2**22 + 1, "started": "1"}
    status = {"state": "running", "host": os.uname().nodename, "process": gone, "supervisor": gone}
    found = create(root, run_id, {"config.json": {"config": full}, "manifest.json": {}, "status.json": status})
    if result is not None:
        write_json(found.result, {"reason": "", "step": 0, "episodes": 0, **result})
    return found


def started(
    cli: Cli, wait_until: Wait, root: Path, run_id: str, *arguments: str
) -> tuple[subprocess.Popen[str], RunDirectory]:
    """Start a slow run and return its host process and directory, once it trains."""
    process = cli.start("run", "toy", *SLOW, "--run-id", run_id, *arguments)  # type: ignore[attr-defined]
    found = RunDirectory(root / run_id)
    wait_until(lambda: (read_json(found.status) or {}).get("step", 0) > 0)
    return process, found


@pytest.fixture
def root(tmp_path: Path, rlctl_env: dict[str, str]) -> Path:
    """Return the test's runs folder, which does not exist yet."""
    return tmp_path / "runs"


# ---- ids -----------------------------------------------------------------------------------------------------------------


def test_run_ids_are_unique() -> None:
    """Ten thousand ids made at once are all different."""
    assert len({new_run_id() for _ in range(10_000)}) == 10_000


def test_run_ids_have_the_form_of_a_ulid() -> None:
    """26 signs of Crockford's base 32, none of which can be mistaken for another."""
    assert all(
        len(run_id) == 26 and set(run_id) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
        for run_id in (new_run_id() for _ in range(100))
    )


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 2**48 - 1), min_size=2, max_size=5, unique=True))
def test_run_ids_sort_by_time(milliseconds: list[int]) -> None:
    """Ids of different milliseconds, from 1970 to the year 10889, sort as text in the order of their times."""
    ids = []
    with pytest.MonkeyPatch.context() as patch:
        for moment in sorted(milliseconds):
            patch.setattr(directory_module.time, "time_ns", lambda moment=moment: moment * 1_000_000)
            ids.append(new_run_id())

    assert ids == sorted(ids)


# ---- list ------------------------------------------------------------------------------------------------------------------


def test_no_runs_are_an_empty_list(cli: Cli) -> None:
    """Without a runs folder the list is empty: a note, `[]` as JSON, exit code 0."""
    plain, data = cli("runs", "list"), cli("runs", "list", "--json")

    assert (plain.code, plain.out) == (0, "")
    assert "No such run" in plain.err
    assert (data.code, data.json()) == (0, [])


def test_runs_are_listed_newest_first(cli: Cli, root: Path) -> None:
    """The list begins with the newest run and has its name, state, worker, environment and seed."""
    made(root, "A", {"status": "finished", "step": 5, "return_mean": 2.5}, name="first")
    time.sleep(0.02)
    made(root, "B", {"status": "failed"}, seed=0)

    rows = cli("runs", "list", "--json").json()

    assert [(row["run_id"], row["name"], row["state"], row["seed"]) for row in rows] == [
        ("B", None, "failed", 0),
        ("A", "first", "finished", 1),
    ]
    assert (rows[1]["step"], rows[1]["return_mean"], rows[1]["worker"], rows[1]["env"]) == (5, 2.5, "toy", "moon")


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (("--worker", "dqn"), ["C"]),
        (("--env", "sun"), ["B"]),
        (("--state", "failed"), ["B"]),
        (("--state", "lost"), ["D"]),
        (("--label", "a=1"), ["C", "A"]),
        (("--label", "a=2"), []),
        (("--label", "a=1", "--worker", "toy"), ["A"]),
        (("--limit", "2"), ["D", "C"]),
        (("--limit", "1", "--worker", "toy", "--state", "finished"), ["A"]),
    ],
)
def test_runs_are_filtered(cli: Cli, root: Path, arguments: tuple[str, ...], ids: list[str]) -> None:
    """Each filter keeps what fits, filters add up, and the limit counts what is left."""
    made(root, "A", {"status": "finished"}, labels={"a": "1"})
    made(root, "B", {"status": "failed"}, env={"id": "sun"})
    made(root, "C", {"status": "stopped"}, worker="dqn", labels={"a": "1", "b": "2"})
    made(root, "D")
    for index, name in enumerate("ABCD"):
        os.utime(root / name / "config.json", (index + 1, index + 1))

    assert [row["run_id"] for row in cli("runs", "list", "--json", *arguments).json()] == ids


@pytest.mark.parametrize("arguments", [("--state", "finishd"), ("--limit", "0"), ("--limit", "x"), ("--label", "a")])
def test_a_filter_that_cannot_be_meant_is_refused(cli: Cli, root: Path, arguments: tuple[str, ...]) -> None:
    """A state that does not exist, a limit of none and a label without text are errors, not empty lists."""
    made(root, "A", {"status": "finished"})

    outcome = cli("runs", "list", *arguments)

    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err


@pytest.mark.parametrize(
    "config", ['{"config": null}', '{"config": []}', "[]", "", "{", '{"config": {"env": "x", "labels": []}}', "\x00"]
)
def test_a_damaged_run_does_not_hide_the_others(cli: Cli, root: Path, config: str) -> None:
    """A run whose configuration cannot be read is listed with what is known, beside the sound ones."""
    made(root, "A", {"status": "finished"})
    (made(root, "B").config).write_text(config)

    outcome = cli("runs", "list", "--json")

    assert sorted(row["run_id"] for row in outcome.json()) == ["A", "B"]


@pytest.mark.parametrize("result", ['{"status": 3}', "[]", "{", '{"status": "failed", "failure": null}'])
def test_a_damaged_result_can_be_shown(cli: Cli, root: Path, result: str) -> None:
    """Showing a run whose result is torn says what is known and never shows a traceback."""
    made(root, "A").result.write_text(result)

    outcome = cli("runs", "show", "A")

    assert (outcome.code, "Traceback" in outcome.err) == (0, False)


@pytest.mark.parametrize("command", ["list", "show"])
def test_a_name_cannot_play_with_the_terminal(cli: Cli, root: Path, command: str) -> None:
    """Line breaks and escape sequences of a name are not printed; as data they are kept."""
    name = "a\nb\x1b[31m\rc"
    made(root, "A", {"status": "finished"}, name=name)

    plain, data = cli("runs", command), cli("runs", command, "--json").json()

    assert "a b [31m c" in plain.out
    assert "\x1b" not in plain.out
    assert (data[0] if command == "list" else data)["name"] == name


def test_folders_that_are_no_runs_are_left_out(cli: Cli, root: Path) -> None:
    """A model's folder with a config.json of its own, a hidden folder, a half-made run and a file are not listed."""
    made(root, "A", {"status": "finished"})
    for name in ("bert", ".hidden", ".B.77.partial"):
        (root / name).mkdir()
        (root / name / "config.json").write_text("{}")
    (root / "notes.txt").write_text("x")

    assert [row["run_id"] for row in cli("runs", "list", "--json").json()] == ["A"]


# ---- references -------------------------------------------------------------------------------------------------------------


def test_latest_is_the_newest_run(root: Path) -> None:
    """`@latest` is the run that was made last, whatever its id."""
    made(root, "Z")
    time.sleep(0.02)
    made(root, "A")

    assert RunStore(root).find("@latest").run_id == "A"


@pytest.mark.parametrize("reference", ["01ABCD", "01abc", "01ABCDEF", "the name", "runs/01ABCDEF"])
def test_a_run_can_be_called_in_several_ways(root: Path, monkeypatch: pytest.MonkeyPatch, reference: str) -> None:
    """By its id, the beginning of it in any case, its name, and the path of its folder."""
    monkeypatch.chdir(root.parent)
    made(root, "01ABCDEF", name="the name")
    made(root, "01XYZ")

    assert RunStore(root).find(reference).run_id == "01ABCDEF"


def test_the_beginning_of_an_id_in_small_letters_is_found(root: Path) -> None:
    """An id that the user chose is found by its beginning as well."""
    made(root, "my-first-run")

    assert RunStore(root).find("my-f").run_id == "my-first-run"


def test_a_whole_id_wins_over_the_beginning_of_another(root: Path) -> None:
    """With runs "a" and "ab", "a" is the first one."""
    made(root, "a")
    made(root, "ab")

    assert RunStore(root).find("a").run_id == "a"


def test_an_ambiguous_beginning_is_refused(root: Path) -> None:
    """A beginning of two ids is refused with both."""
    made(root, "01AB")
    made(root, "01AC")

    with pytest.raises(UsageError, match=r'"01A" means 2 runs: .*01A[BC], 01A[BC]'):
        RunStore(root).find("01A")


def test_a_name_of_two_runs_is_refused(root: Path) -> None:
    """A name that two runs have is ambiguous, too."""
    made(root, "A1", name="base")
    made(root, "B1", name="base")

    with pytest.raises(UsageError, match="means 2 runs"):
        RunStore(root).find("base")


def test_an_unknown_run_is_refused_with_a_near_one(cli: Cli, root: Path) -> None:
    """A slip in a name is answered with the nearest name, exit code 2."""
    made(root, "01AB", name="baseline")

    outcome = cli("runs", "show", "basline")

    assert (outcome.code, outcome.out) == (2, "")
    assert 'there is no run "basline"' in outcome.err
    assert 'Did you mean "baseline"?' in outcome.err


@pytest.mark.parametrize("reference", ["@latest", "x", "@newest", "", ".", ".."])
def test_without_runs_no_reference_means_one(cli: Cli, reference: str) -> None:
    """Where there are no runs, every reference is refused and the place is named."""
    outcome = cli("runs", "show", reference)

    assert outcome.code == 2
    assert "there are no runs in" in outcome.err


@pytest.mark.parametrize("reference", ["", "@old", "*", "\x07", "é"])
def test_nonsense_means_no_run(root: Path, reference: str) -> None:
    """Neither an empty text nor a pattern is taken for some run."""
    made(root, "A")

    with pytest.raises(UsageError, match="there is no run"):
        RunStore(root).find(reference)


# ---- show ------------------------------------------------------------------------------------------------------------------


def test_a_run_is_shown_with_its_curve(cli: Cli, site: Site, root: Path) -> None:
    """State, reason, steps and the development of the return in as many parts as asked for."""
    site("toy_worker")
    cli("run", "toy", "-n", "1000", "--name", "base", "--label", "a=b")

    plain = cli("runs", "show", "@latest", "--parts", "5")
    data = cli("runs", "show", "@latest", "--parts", "5", "--json").json()

    assert "toy/count on toy, seed 1" in plain.out
    assert "finished: total_timesteps = 1000 reached" in plain.out
    assert "a=b" in plain.out
    assert [part["step"] for part in data["curve"]] == [part * data["curve"][-1]["step"] // 5 for part in range(1, 6)]
    assert sum(part["episodes"] for part in data["curve"]) == data["episodes"] > 50
    assert data["manifest"]["seed"] == 1


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_run_with_nan_returns_can_be_shown(cli: Cli, site: Site, arguments: tuple[str, ...]) -> None:
    """Returns that are not finite break neither the table nor the JSON."""
    site("toy_worker")
    cli("run", "toy", "-n", "300", "--set", "hyperparameters.nan_at=100")

    outcome = cli("runs", "show", "@latest", *arguments)

    assert (outcome.code, outcome.err) == (0, "")
    assert "NaN" not in outcome.out


def test_a_run_can_be_shown_where_there_is_only_ascii(cli: Cli, site: Site) -> None:
    """A terminal without Unicode gets something readable, not a traceback, and JSON stays JSON."""
    site("toy_worker")
    cli("run", "toy", "-n", "300", "--name", "Größe")
    ascii_only = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}

    plain = cli("runs", "show", "@latest", env=ascii_only)
    data = cli("runs", "show", "@latest", "--json", env=ascii_only)

    assert (plain.code, plain.err) == (0, "")
    assert data.json()["name"] == "Größe"


@pytest.mark.parametrize(
    "line", ["{}", '{"episode": 1}', '{"episode": 0, "step": 1, "return": null, "length": 1, "env": 0, "seconds": 0}']
)
def test_a_foreign_line_among_the_episodes_is_passed_over(cli: Cli, root: Path, line: str) -> None:
    """A line that is JSON and no episode costs only itself, in show and tail."""
    good = '{"episode": 0, "step": 10, "return": 1.5, "length": 10, "env": 0, "seconds": 0.1}'
    made(root, "A", {"status": "finished"}).episodes.write_text(f"{good}\n{line}\n{good}\n")

    shown, tailed = cli("runs", "show", "A", "--json"), cli("runs", "tail", "A", "--no-follow")

    assert sum(part["episodes"] for part in shown.json()["curve"]) == 2
    assert len(tailed.out.splitlines()) == 2


@settings(deadline=None, max_examples=60)
@given(steps=st.lists(st.integers(0, 10**6), min_size=1, max_size=30).map(sorted), parts=st.integers(1, 50))
def test_a_curve_leaves_no_episode_out(steps: list[int], parts: int) -> None:
    """However episodes lie, each is in exactly one part, there are at most `parts`, and their steps rise."""
    episodes = [Episode(index=i, step=step, episode_return=float(i), length=1) for i, step in enumerate(steps)]

    curve = learning_curve(episodes, parts)

    assert sum(part["episodes"] for part in curve) == len(steps)
    assert 1 <= len(curve) <= parts
    assert [part["step"] for part in curve] == sorted(part["step"] for part in curve)
    assert math.isclose(
        sum(part["return_mean"] * part["episodes"] for part in curve), sum(range(len(steps))), abs_tol=1e-6
    )


# ---- tail -------------------------------------------------------------------------------------------------------------------


def test_tail_follows_a_live_run_to_its_end(cli: Cli, site: Site, root: Path, wait_until: Wait) -> None:
    """Following prints episodes while they happen, returns when the run ends, and says how it ended."""
    site("toy_worker")
    process, found = started(cli, wait_until, root, "r")
    printed = root / "printed.jsonl"
    with printed.open("w") as out:
        follower = cli.start("runs", "tail", "r", "-n", "0", "--json", stdout=out)  # type: ignore[attr-defined]
    wait_until(printed.read_text)
    assert state_of(found) == "running"
    found.request_stop("enough")

    _, err = follower.communicate(timeout=60)
    process.wait(60)

    indices = [json.loads(line)["episode"] for line in printed.read_text().splitlines()]
    assert indices == list(range(indices[0], indices[0] + len(indices)))
    assert indices[-1] == (read_json(found.result) or {})["episodes"] - 1
    assert (follower.returncode, "stopped: enough" in err) == (0, True)


@pytest.mark.parametrize(("number", "count"), [("0", 0), ("3", 3), ("1000", 20)])
def test_tail_begins_with_the_last_lines(cli: Cli, root: Path, number: str, count: int) -> None:
    """`-n` says how many of the lines that are there already are shown."""
    lines = [{"episode": i, "step": i, "return": 1.0, "length": 1, "env": 0, "seconds": 0.0} for i in range(20)]
    made(root, "A", {"status": "finished"}).episodes.write_text("".join(json.dumps(line) + "\n" for line in lines))

    outcome = cli("runs", "tail", "A", "-n", number, "--no-follow", "--json")

    assert [json.loads(line)["episode"] for line in outcome.out.splitlines()] == list(range(20 - count, 20))


@pytest.mark.parametrize(
    ("number", "lines"), [("0", []), ("2", ["line 8", "line 9"]), ("99", [f"line {i}" for i in range(10)])]
)
def test_tail_shows_the_log(cli: Cli, root: Path, number: str, lines: list[str]) -> None:
    """`--log` shows the worker's own output instead, as many lines as asked for."""
    made(root, "A", {"status": "finished"}).log.write_text("".join(f"line {i}\n" for i in range(10)))

    outcome = cli("runs", "tail", "A", "--log", "-n", number, "--no-follow")

    assert outcome.out.split("\n")[:-1] == (lines or [""])[: len(lines) or 1] or outcome.out.splitlines() == lines


def test_tail_follows_the_log_of_a_live_run(cli: Cli, site: Site, root: Path, wait_until: Wait) -> None:
    """What the worker prints while it is followed appears, binary garbage as well, and each byte once."""
    site("toy_worker")
    process, found = started(cli, wait_until, root, "r")
    follower = cli.start("runs", "tail", "r", "--log", "-n", "0", text=False, errors=None)  # type: ignore[attr-defined]
    time.sleep(1.5)
    with found.log.open("ab") as log:
        log.write(b"\xff\xfe garbage one\n")
    time.sleep(0.5)
    with found.log.open("ab") as log:
        log.write(b"two\n")
    found.request_stop("enough")

    out, _ = follower.communicate(timeout=60)
    process.wait(60)

    assert (out.count(b"\xff\xfe garbage one\n"), out.count(b"two\n")) == (1, 1)


# ---- stop -------------------------------------------------------------------------------------------------------------------


def test_stop_ends_a_run_at_a_safe_point(cli: Cli, site: Site, root: Path, wait_until: Wait) -> None:
    """A run that is stopped ends by itself, with the reason in its result; stop waits for that."""
    site("toy_worker")
    process, found = started(cli, wait_until, root, "r")

    outcome = cli("runs", "stop", "r", "--reason", "lunch")

    assert (outcome.code, outcome.out) == (0, "")
    assert "run r is stopped: lunch" in outcome.err
    assert (read_json(found.result) or {})["reason"] == "lunch"
    assert (process.wait(30), state_of(found)) == (75, "stopped")


def test_a_run_that_ignores_the_stop_is_killed(cli: Cli, site: Site, root: Path, wait_until: Wait) -> None:
    """After its grace a run that does not listen is killed with all it started, and counts as stopped."""
    site("toy_worker")
    arguments = (
        "--grace",
        "1",
        "--set",
        "hyperparameters.ignore_stop=true",
        "--set",
        "hyperparameters.child_seconds=600",
    )
    process, found = started(cli, wait_until, root, "r", *arguments)
    identity = (read_json(found.status) or {})["process"]
    begun = time.monotonic()

    outcome = cli("runs", "stop", "r", "--json")

    assert (outcome.code, outcome.json()["state"]) == (0, "stopped")
    assert 1 <= time.monotonic() - begun < 15
    assert process.wait(30) == 143
    assert not is_alive(identity)
    assert not is_alive(process_identity(int((found.backend / "child.pid").read_text())))


def test_stop_kill_does_not_wait(cli: Cli, site: Site, root: Path, wait_until: Wait) -> None:
    """`--kill` ends a run at once, however long its grace."""
    site("toy_worker")
    process, found = started(cli, wait_until, root, "r", "--grace", "600", "--set", "hyperparameters.ignore_stop=true")
    begun = time.monotonic()

    assert cli("runs", "stop", "r", "--kill").code == 0

    assert time.monotonic() - begun < 15
    process.wait(30)
    assert state_of(found) == "stopped"


def test_a_run_that_has_ended_cannot_be_stopped(cli: Cli, root: Path) -> None:
    """Stopping what has ended is an error that says how it ended, and changes nothing."""
    found = made(root, "A", {"status": "finished"})

    outcome = cli("runs", "stop", "A")

    assert (outcome.code, "has ended already: finished" in outcome.err) == (2, True)
    assert not found.stop_request.exists()


# ---- remove ------------------------------------------------------------------------------------------------------------------


def test_remove_deletes_a_run(cli: Cli, root: Path) -> None:
    """With --yes a run is gone, and only that one."""
    made(root, "A", {"status": "finished"})
    made(root, "B", {"status": "finished"})

    outcome = cli("runs", "remove", "A", "--yes")

    assert (outcome.code, [path.name for path in root.iterdir()]) == (0, ["B"])


def test_remove_asks_first(cli: Cli, root: Path) -> None:
    """Without --yes and without anybody to answer, nothing is removed and the exit code says so."""
    made(root, "A", {"status": "finished"})

    outcome = cli("runs", "remove", "A")

    assert outcome.code != 0
    assert (root / "A" / "config.json").is_file()
    assert "Delete" in outcome.err


@pytest.mark.parametrize(("answer", "left"), [("y\n", False), ("n\n", True), ("\n", True)])
def test_remove_listens_to_the_answer(cli: Cli, root: Path, answer: str, left: bool) -> None:
    """Only a yes removes."""
    made(root, "A", {"status": "finished"})

    process = cli.start("runs", "remove", "A", stdin=subprocess.PIPE)  # type: ignore[attr-defined]
    process.communicate(answer, timeout=60)

    assert (root / "A").exists() is left


def test_remove_refuses_a_running_run(cli: Cli, site: Site, root: Path, wait_until: Wait) -> None:
    """A run that goes on is not removed, even with --yes, and how to stop it is said."""
    site("toy_worker")
    process, found = started(cli, wait_until, root, "r")

    outcome = cli("runs", "remove", "r", "--yes")

    assert (outcome.code, "is still running. Stop it first: rlctl runs stop r" in outcome.err) == (2, True)
    assert found.config.is_file()
    found.request_stop("end of the test")
    process.wait(60)


def test_remove_is_all_or_nothing(cli: Cli, site: Site, root: Path, wait_until: Wait) -> None:
    """Of several runs none is removed when one of them cannot be."""
    site("toy_worker")
    made(root, "A", {"status": "finished"})
    process, found = started(cli, wait_until, root, "r")

    assert cli("runs", "remove", "A", "r", "--yes").code == 2
    assert cli("runs", "remove", "A", "nobody", "--yes").code == 2

    assert (root / "A").exists()
    found.request_stop("end of the test")
    process.wait(60)


def test_remove_does_not_touch_what_is_no_run(cli: Cli, root: Path) -> None:
    """A folder with a config.json that is not a run, such as a model's, is never removed."""
    model = cli.folder / "bert"  # type: ignore[attr-defined]
    model.mkdir()
    (model / "config.json").write_text('{"architectures": []}')
    made(root, "A", {"status": "finished"})

    outcome = cli("runs", "remove", "bert", "./bert", model, "--yes")

    assert (outcome.code, (model / "config.json").is_file()) == (2, True)


def test_an_interrupted_removal_can_be_repeated(root: Path) -> None:
    """What is left of a removal that was killed neither shows nor stands in the way of the next."""
    doomed = root / ".A.removed"
    found = made(root, "A", {"status": "finished"})
    doomed.mkdir()
    (doomed / "left.txt").write_text("x")

    RunStore(root).remove(found)

    assert list(root.iterdir()) == []


# ---- states -----------------------------------------------------------------------------------------------------------------


def test_a_run_passes_through_its_states(cli: Cli, site: Site, root: Path, wait_until: Wait) -> None:
    """Created before it trains, running while it does, stopped after."""
    site("toy_worker")
    process = cli.start("run", "toy", *SLOW, "--run-id", "r", "--set", "hyperparameters.start_seconds=0")  # type: ignore[attr-defined]
    found = RunDirectory(root / "r")
    seen = []

    def watch() -> bool:
        state = state_of(found) if found.config.exists() else "none"
        if not seen or seen[-1] != state:
            seen.append(state)
        return state == "running"

    wait_until(watch)
    found.request_stop("enough")
    process.wait(60)
    watch()

    assert [state for state in seen if state != "none"] == ["created", "running", "stopped"]


def test_a_run_goes_on_until_its_result_is_there(root: Path) -> None:
    """A status that says how it ended a moment before is not enough: nobody could tell why a run has failed."""
    status = {"state": "failed", "host": host_name(), "process": process_identity()}
    found = create(root, "r", {"config.json": {}, "manifest.json": {}, "status.json": status})
    assert state_of(found) == "running"
    write_json(found.result, {"status": "failed"})
    assert state_of(found) == "failed"


def test_a_run_is_lost_when_host_and_worker_are_killed(cli: Cli, site: Site, root: Path, wait_until: Wait) -> None:
    """After kill -9 of both processes nobody can write a result: the run is lost, and can be shown and removed."""
    site("toy_worker")
    process, found = started(cli, wait_until, root, "r")
    worker = (read_json(found.status) or {})["process"]["pid"]
    process.kill()
    os.kill(worker, signal.SIGKILL)
    process.wait()

    wait_until(lambda: state_of(found) == "lost")

    assert [row["state"] for row in cli("runs", "list", "--json").json()] == ["lost"]
    assert "lost" in cli("runs", "show", "r").out
    assert cli("runs", "tail", "r").code == 0
    assert "has ended already: lost" in cli("runs", "stop", "r").err
    assert cli("runs", "remove", "r", "--yes").code == 0


def test_a_new_process_with_an_old_number_is_another_one() -> None:
    """A pid that was used again does not bring a dead run back to life: the start time counts as well."""
    here = process_identity()

    assert is_alive(here)
    assert not is_alive({**here, "started": "0"})
    assert not is_alive({"pid": 2**22 + 1, "started": "1"})
    assert not is_alive(None)


def test_a_zombie_is_not_alive() -> None:
    """A process that has ended and was not waited for does not count as running."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = process_identity(process.pid)
    assert is_alive(identity)
    process.stdin.close()  # type: ignore[union-attr]
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    alive = is_alive(identity)
    process.wait()

    assert not alive


def test_a_run_of_another_machine_is_believed(root: Path) -> None:
    """On a shared disk, the processes of another host cannot be seen: what its status says holds."""
    found = made(root, "A")
    write_json(found.status, {**(read_json(found.status) or {}), "host": "elsewhere"})

    assert state_of(found) == "running"


# ---- creation ----------------------------------------------------------------------------------------------------------------


def test_a_run_appears_whole(root: Path) -> None:
    """While a run's folder is made, no reader sees a part of it."""
    made(root, "A")

    assert [path.name for path in root.iterdir()] == ["A"]
    assert {path.name for path in (root / "A").iterdir()} == {
        "config.json",
        "manifest.json",
        "status.json",
        "logs",
        "backend",
    }


def test_a_run_is_on_the_disk_before_it_appears(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut a run is there with all of its files or not at all: each is synced, then the names, then it is renamed."""
    done: list[int | str] = []
    sync, rename = os.fsync, Path.rename

    def noted_sync(handle: int) -> None:
        sync(handle)
        done.append(os.fstat(handle).st_ino)

    def noted_rename(path: Path, target: Path) -> Path:
        done.append("renamed")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    found = create(root, "A", {"config.json": {"seed": 1}, "manifest.json": {}, "status.json": {"state": "created"}})

    synced = [file.stat().st_ino for file in (found.config, found.manifest, found.status, found.path)]
    assert done == [*synced, "renamed"]


def test_all_may_read_the_files_of_a_run(root: Path) -> None:
    """Whoever looks into a shared folder of runs reads them, whatever permissions new files have by default."""
    before = os.umask(0o077)
    try:
        found = made(root, "A", {"status": "finished"})
    finally:
        os.umask(before)

    assert {oct(file.stat().st_mode & 0o777) for file in (found.config, found.status, found.result)} == {"0o644"}


def test_data_that_is_no_json_leaves_no_folder(root: Path) -> None:
    """A creation that fails for whatever reason leaves nothing, not even the runs folder that it made."""
    with pytest.raises(ValueError, match="JSON"):
        create(root, "A", {"config.json": {"x": math.nan}})

    assert not root.exists()


@pytest.mark.parametrize("kind", ["run", "folder", "file", "link"])
def test_an_id_that_exists_is_refused(root: Path, kind: str) -> None:
    """Whatever has the name already is left as it is."""
    root.mkdir()
    (root / "other").mkdir()
    if kind == "run":
        made(root, "A", {"status": "finished"})
    elif kind == "link":
        (root / "A").symlink_to(root / "other")
    else:
        getattr(root / "A", {"folder": "mkdir", "file": "touch"}[kind])()
    before = sorted(root.rglob("*"))

    with pytest.raises(RunDirectoryError, match='there is a run "A"'):
        made(root, "A")

    assert sorted(root.rglob("*")) == before


def test_of_a_package_that_is_there_twice_the_one_that_is_imported_counts(tmp_path, monkeypatch):
    """The manifest, and what is compared on resuming, name the version that comes first on the path."""
    for version in ("2.0", "1.0"):
        folder = tmp_path / version / f"twice-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: twice\nVersion: {version}\n")
        monkeypatch.syspath_prepend(folder.parent)

    assert installed_packages()["twice"] == "1.0"


# ---- the index -------------------------------------------------------------------------------------------------------------


def old(run: RunDirectory) -> RunDirectory:
    """Return a run as if its files had been written an hour ago: what is younger than two seconds is not in the index."""
    hour_ago = time.time() - 3600
    for file in (run.config, run.result):
        os.utime(file, (hour_ago, hour_ago))
    return run


def by_id(root: Path) -> dict[str, dict[str, Any]]:
    """Return what a list has of each run."""
    return {row["run_id"]: row for row in RunStore(root).rows()}


def test_a_list_reads_ended_runs_from_its_index(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second list opens no file of a run that has ended; without the index it is the same list."""
    for number in range(3):
        old(made(root, f"r{number}", {"status": "finished", "step": number}))
    first = by_id(root)
    with monkeypatch.context() as patched:
        patched.setattr("rlctl.runs.store.read_record", lambda run: pytest.fail(f"{run.path} was read"))
        assert by_id(root) == first
    (root / ".index.json").unlink()
    assert by_id(root) == first


def test_a_run_changed_by_hand_is_listed_as_it_is_now(root: Path) -> None:
    """Edited in place, replaced, resumed, deleted, renamed, copied: the list says what the folders say."""
    for name in ("edited", "replaced", "resumed", "deleted", "renamed", "stripped"):
        old(made(root, name, {"status": "finished", "step": 5}))
    by_id(root)
    edited = RunDirectory(root / "edited").config
    edited.write_text(edited.read_text().replace('"worker": "toy"', '"worker": "yot"'))
    write_json(RunDirectory(root / "replaced").result, {"status": "failed", "step": 7})
    RunDirectory(root / "resumed").result.unlink()
    shutil.rmtree(root / "deleted")
    (root / "renamed").rename(root / "other")
    RunDirectory(root / "stripped").manifest.unlink()

    rows = by_id(root)

    assert rows.keys() == {"edited", "replaced", "resumed", "other"}
    assert rows["edited"]["worker"] == "yot"
    assert (rows["replaced"]["state"], rows["replaced"]["step"]) == ("failed", 7)
    assert rows["resumed"]["state"] == "lost"
    assert rows["other"]["directory"] == str(root / "other")
    assert "deleted" not in (root / ".index.json").read_text()


def test_what_was_just_written_is_not_in_the_index(root: Path) -> None:
    """A file could be written twice within one tick of the clock that stamps it."""
    made(root, "young", {"status": "finished", "step": 5})
    by_id(root)
    assert not (root / ".index.json").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 1, "rows": 3}',
        '{"format": 99, "rows": {"a": 1}}',
        '{"format": 2, "rows": 3}',
        '{"format": 2, "rows": {"a": 1}}',
        '{"format": 2, "rows": {"a": []}}',
        '{"format": 2, "rows": {"a": ["b", "1 1 1 1 1 1"]}}',
    ],
)
def test_a_damaged_index_costs_time_only(root: Path, text: str) -> None:
    """Whatever is in it, the list is right, and the index is made anew."""
    old(made(root, "a", {"status": "finished", "step": 5}))
    (root / ".index.json").write_text(text)
    assert by_id(root)["a"]["step"] == 5
    assert '"a"' in (root / ".index.json").read_text()


def test_a_list_that_stops_early_keeps_the_index(cli: Cli, root: Path) -> None:
    """`--limit 1` has not seen the others, and forgets none of them."""
    for number in range(3):
        old(made(root, f"r{number}", {"status": "finished", "step": number}))
    by_id(root)
    before = (root / ".index.json").read_text()
    assert len(cli("runs", "list", "--limit", 1, "--json").json()) == 1
    assert (root / ".index.json").read_text() == before


def test_a_name_is_found_in_the_index(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding a run by its name opens no file of a run that has ended and was listed or looked for before."""
    for number in range(3):
        old(made(root, f"r{number}", {"status": "finished"}, name=f"number {number}"))
    assert RunStore(root).find("number 1").run_id == "r1"
    monkeypatch.setattr("rlctl.runs.store.read_record", lambda run: pytest.fail(f"{run.path} was read"))
    assert RunStore(root).find("number 2").run_id == "r2"


def test_a_name_changed_by_hand_is_the_one_that_counts(root: Path) -> None:
    """The index does not know the new name, and its old one means nothing any more."""
    config = old(made(root, "A", {"status": "finished"}, name="before")).config
    assert RunStore(root).find("before").run_id == "A"
    config.write_text(config.read_text().replace("before", "after"))
    assert RunStore(root).find("after").run_id == "A"
    with pytest.raises(UsageError, match='there is no run "before"'):
        RunStore(root).find("before")


@pytest.mark.parametrize("reference", ["@latest", "r2", "r1", "R1"])
def test_a_run_is_found_by_its_id_without_opening_a_file(
    root: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    """The newest run, one by its id, and one by the beginning of its id."""
    for number, run_id in enumerate(("r1x", "r2", "r2y")):
        os.utime(made(root, run_id).config, (number + 1, number + 1))
    monkeypatch.setattr(Path, "read_text", lambda path, **_: pytest.fail(f"{path} was read"))
    found = RunStore(root).find(reference)
    assert found.run_id == {"@latest": "r2y", "r2": "r2"}.get(reference, "r1x")


def test_the_latest_run_is_one_with_a_manifest(root: Path) -> None:
    """A newer folder that has only a config.json, as one that is being removed, is passed over."""
    for number, run_id in enumerate(("A", "B")):
        os.utime(made(root, run_id).config, (number + 1, number + 1))
    RunDirectory(root / "B").manifest.unlink()
    assert RunStore(root).find("@latest").run_id == "A"
