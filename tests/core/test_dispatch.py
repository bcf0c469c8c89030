"""The dispatcher: hooks are called one by one, in order, and a failing object costs only itself."""

import sys

import pytest

from rlctl import Progress, hookimpl
from rlctl.errors import PluginError
from rlctl.worker.dispatch import Dispatcher

PROGRESS = Progress(step=7, episodes=1, seconds=0.5)


class Failures(list):
    """Remembers (name, hook, message) of each failure it is told of."""

    def __call__(self, name, hook, error):
        self.append((name, hook, str(error)))


def writes(log, word):
    """Return an object that appends a word for each step."""

    class Writer:
        @hookimpl
        def rlctl_step(self):
            log.append(word)

    return Writer()


def raises(message="no"):
    """Return an object that raises at each step and whenever it is asked to stop."""

    class Raiser:
        @hookimpl
        def rlctl_step(self):
            raise ValueError(message)

        @hookimpl
        def rlctl_should_stop(self):
            raise ValueError(message)

        @hookimpl
        def rlctl_metrics(self):
            raise AssertionError("called although it is switched off")

    return Raiser()


def answers(answer):
    """Return an object that wants to stop for that reason, or not (None)."""

    class Answerer:
        @hookimpl
        def rlctl_should_stop(self):
            return answer

    return Answerer()


def dispatcher_of(**plugins):
    """Return (dispatcher, failures) with those objects registered in order."""
    failures = Failures()
    dispatcher = Dispatcher(failures)
    for name, plugin in plugins.items():
        dispatcher.register(name, plugin)
    return dispatcher, failures


def test_objects_are_called_in_order_of_registration():
    """Who is registered first is called first."""
    log = []
    dispatcher, _ = dispatcher_of(a=writes(log, "a"), b=writes(log, "b"), c=writes(log, "c"))
    dispatcher.call("rlctl_step", progress=PROGRESS)
    assert log == ["a", "b", "c"]


def test_an_implementation_can_ask_to_be_first_or_last():
    """`tryfirst` and `trylast` are honoured, as pluggy's users expect."""
    log = []

    class First:
        @hookimpl(tryfirst=True)
        def rlctl_step(self):
            log.append("first")

    class Last:
        @hookimpl(trylast=True)
        def rlctl_step(self):
            log.append("last")

    dispatcher, _ = dispatcher_of(last=Last(), plain=writes(log, "plain"), first=First())
    dispatcher.call("rlctl_step", progress=PROGRESS)
    assert log == ["first", "plain", "last"]


def test_an_implementation_gets_the_arguments_that_it_names():
    """An implementation may leave out arguments; those that it names are the ones of the call."""
    got = []

    class Wants:
        @hookimpl
        def rlctl_run_ended(self, result):
            got.append(result)

    dispatcher, _ = dispatcher_of(wants=Wants())
    dispatcher.call("rlctl_run_ended", run="the run", result="the result")
    assert got == ["the result"]


def test_a_failing_object_does_not_keep_later_ones_from_being_called():
    """An exception in one implementation is reported, and the next one is called all the same."""
    log = []
    dispatcher, failures = dispatcher_of(bad=raises(), good=writes(log, "good"))
    dispatcher.call("rlctl_step", progress=PROGRESS)
    assert (log, failures) == (["good"], [("bad", "rlctl_step", "no")])


def test_a_failing_object_is_called_no_more():
    """After its first exception an object is gone, with all of its hooks."""
    dispatcher, failures = dispatcher_of(bad=raises())
    dispatcher.call("rlctl_step", progress=PROGRESS)
    dispatcher.call("rlctl_step", progress=PROGRESS)
    dispatcher.call("rlctl_metrics", metrics=None)
    assert len(failures) == 1


def test_an_object_that_exits_is_one_that_failed():
    """A callback that calls sys.exit ends itself and not the run."""
    log = []

    class Exits:
        @hookimpl
        def rlctl_step(self):
            sys.exit(0)

    dispatcher, failures = dispatcher_of(bad=Exits(), good=writes(log, "good"))
    dispatcher.call("rlctl_step", progress=None)

    assert [name for name, *_ in failures] == ["bad"]
    assert log


def test_what_the_failure_handler_raises_ends_the_call():
    """A handler that raises, as for a critical callback, is not held up by the dispatcher."""

    def critical(name, hook, error):
        raise KeyError(name)

    dispatcher = Dispatcher(critical)
    dispatcher.register("vital", raises())
    with pytest.raises(KeyError, match="vital"):
        dispatcher.call("rlctl_step", progress=PROGRESS)


def test_an_interruption_is_no_failure_of_a_callback():
    """KeyboardInterrupt in a hook passes through: it belongs to the process, not to the object."""

    class Interrupted:
        @hookimpl
        def rlctl_step(self):
            raise KeyboardInterrupt

    dispatcher, failures = dispatcher_of(interrupted=Interrupted())
    with pytest.raises(KeyboardInterrupt):
        dispatcher.call("rlctl_step", progress=PROGRESS)
    assert failures == []


def test_the_first_answer_wins_and_says_whose_it_is():
    """`first` returns the first answer that is not None, with the name of who gave it."""
    dispatcher, _ = dispatcher_of(a=answers(None), b=answers("enough"), c=answers("too late"))
    assert dispatcher.first("rlctl_should_stop", progress=PROGRESS) == ("b", "enough")


def test_without_an_answer_there_is_none():
    """`first` returns None when every implementation does."""
    dispatcher, _ = dispatcher_of(a=answers(None))
    assert dispatcher.first("rlctl_should_stop", progress=PROGRESS) is None


def test_an_answer_is_looked_for_behind_a_failing_object():
    """An exception in `first` costs only its object; the next one is asked."""
    dispatcher, failures = dispatcher_of(bad=raises(), good=answers("enough"))
    assert dispatcher.first("rlctl_should_stop", progress=PROGRESS) == ("good", "enough")
    assert failures == [("bad", "rlctl_should_stop", "no")]


def test_wants_knows_whether_anybody_listens():
    """`wants` is true for a hook that an object implements, and for no other."""
    dispatcher, _ = dispatcher_of(a=answers(None))
    assert (dispatcher.wants("rlctl_should_stop"), dispatcher.wants("rlctl_step")) == (True, False)


def test_wants_forgets_an_object_that_failed():
    """Nobody listens any more when the only listener has failed."""
    dispatcher, _ = dispatcher_of(bad=raises())
    dispatcher.call("rlctl_step", progress=PROGRESS)
    assert dispatcher.wants("rlctl_step") is False


def test_an_object_registered_later_is_called_too():
    """Registration after a call takes effect at the next one."""
    log = []
    dispatcher, _ = dispatcher_of(a=writes(log, "a"))
    dispatcher.call("rlctl_step", progress=PROGRESS)
    dispatcher.register("b", writes(log, "b"))
    dispatcher.call("rlctl_step", progress=PROGRESS)
    assert log == ["a", "a", "b"]


def test_a_misspelt_hook_is_refused():
    """An object with a hook that does not exist is refused, with the nearest one that does."""

    class Misspelt:
        @hookimpl
        def rlctl_steps(self):
            pass

    with pytest.raises(PluginError, match=r'there is no hook rlctl_steps\. Did you mean "rlctl_step"\?'):
        dispatcher_of(misspelt=Misspelt())


def test_a_wrong_argument_is_refused():
    """An object with a hook that takes an argument it does not have is refused."""

    class Wrong:
        @hookimpl
        def rlctl_step(self, step):
            pass

    with pytest.raises(PluginError, match="'step'"):
        dispatcher_of(wrong=Wrong())


def test_a_wrapper_is_refused():
    """An object with a hook wrapper is refused."""

    class Wrapper:
        @hookimpl(wrapper=True)
        def rlctl_step(self):
            yield

    with pytest.raises(PluginError, match="hook wrapper"):
        dispatcher_of(wrapper=Wrapper())


def test_a_refused_object_is_not_called():
    """A refused object leaves nothing behind: its good hooks are not called."""
    log = []

    class HalfGood:
        @hookimpl
        def rlctl_step(self):
            log.append("called")

        @hookimpl
        def rlctl_steps(self):
            pass

    dispatcher, _ = dispatcher_of()
    with pytest.raises(PluginError):
        dispatcher.register("half", HalfGood())
    dispatcher.call("rlctl_step", progress=PROGRESS)
    assert log == []
