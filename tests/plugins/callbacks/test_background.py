"""What stands before services: however one behaves, the training is not stopped, not slowed, and told once."""

import time

import pytest
from attrs import field, frozen

from rlctl import Result
from rlctl.runs.files import read_lines
from rlctl.testing import fake_run
from rlctl_callbacks.background import Background, Row

END = Result(status="finished", reason="over")


@pytest.fixture
def info(tmp_path):
    """A run to write into."""
    return fake_run(tmp_path).info


@frozen
class Sound:
    """A service that takes everything; `known` is the last step that it has already."""

    known: int = -1
    steps: list = field(factory=list)
    ends: list = field(factory=list)

    def open(self):
        return self.known

    def send(self, rows):
        self.steps.extend(row.step for row in rows)

    def close(self, result):
        self.ends.append(result)

    def kill(self):
        self.ends.append("killed")


class Raising(Sound):
    def send(self, rows):
        raise ConnectionError("unreachable")


class Missing(Sound):
    def open(self):
        raise ImportError("no module named service")


class Hanging(Sound):
    def send(self, rows):
        time.sleep(60)


class Slow(Sound):
    def send(self, rows):
        time.sleep(0.05 * len(rows))
        super().send(rows)


def trouble(info):
    """Return what was said of the callback."""
    return [
        line["message"] for line in read_lines(info.directory / "events.jsonl") if line["type"] == "callback_trouble"
    ]


def logged(info, service, rows, pause=0.0, **options):
    """Hand rows to a service as a training does; returns the longest time that one of them took, in seconds."""
    background = Background("mine", info, service, **{"patience": 2.0, **options})
    longest = 0.0
    for step in range(rows):
        start = time.thread_time()
        background.put(Row(step, {"a": 1.0}))
        longest = max(longest, time.thread_time() - start)
        time.sleep(pause)
    background.close(END)
    return longest


def test_all_rows_arrive_in_their_order(info):
    """A sound service has each row once, and is closed with the result; nothing is said."""
    service = Sound()
    logged(info, service, 5000)
    assert service.steps == list(range(5000))
    assert service.ends == [END]
    assert trouble(info) == []


def test_a_resumed_run_tells_nothing_twice(info):
    """Rows that the service has already are left out, and are not counted as lost."""
    service = Sound(known=6)
    logged(info, service, 10)
    assert service.steps == [7, 8, 9]
    assert trouble(info) == []


@pytest.mark.parametrize("kind", [Raising, Missing])
def test_a_service_that_fails_says_so_once(info, capfd, kind):
    """However many rows fail: one message when it happens, and one at the end that counts what was lost."""
    logged(info, kind(), 300, pause=0.005)
    first, last = trouble(info)
    assert "unreachable" in first or "no module named service" in first
    assert "The training goes on" in first
    assert last == "300 of 300 points did not reach it"
    assert capfd.readouterr().err.count("rlctl: callback mine") == 2


def test_a_service_that_hangs_is_left_behind(info):
    """The end waits for `patience` and no longer; the service is killed, and what it did not take is counted."""
    start = time.monotonic()
    service = Hanging()
    logged(info, service, 10, patience=1.0)
    assert time.monotonic() - start < 10
    assert service.ends == ["killed"]
    assert trouble(info) == ["it did not answer for 1 s. The training goes on.", "10 of 10 points did not reach it"]


def test_a_slow_service_slows_nothing(info):
    """The queue is bounded: what does not fit is dropped at once, said once, and counted."""
    service = Slow()
    assert logged(info, service, 1000, capacity=20) < 0.05
    first, last = trouble(info)
    assert first == "it is 20 points behind; later ones are dropped. The training goes on."
    assert last == f"{1000 - len(service.steps)} of 1000 points did not reach it"
