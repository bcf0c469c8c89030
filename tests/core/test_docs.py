"""The documentation holds: generated parts are current, links and commands exist, examples are files that work."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from rlctl.cli import cli as rlctl_group
from rlctl.vocabulary import VOCABULARY, is_known

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLE = ROOT / "examples" / "third_party_worker"
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "plugins/*/README.md", "examples/*/README.md")
    for path in ROOT.glob(pattern)
)
MACHINE_PATH = re.compile(r"(?<![\w.~/:<>-])/(?:home|root|work|tmp|Users|usr|opt|mnt|var|etc|data|workspace)\b")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name_of(page: Any) -> str:
    """Return the name of a page below the repository."""
    return page.relative_to(ROOT).as_posix() if isinstance(page, Path) else str(page)


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def read(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in that language."""
    return [code for found, code in FENCE.findall(read(page)) if found == language]


def load_generator() -> Any:
    """Import docs/generate.py, which is no package's."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = load_generator()


# ---- all pages -----------------------------------------------------------------------------------------------------


def test_the_index_has_every_page() -> None:
    """docs/README.md links to every page of docs/, and to no other."""
    linked = set(re.findall(r"\]\((\w[\w-]*\.md)\)", read(DOCS / "README.md")))
    assert linked == {path.name for path in DOCS.glob("*.md")} - {"README.md"}


def slug(heading: str) -> str:
    """Return the anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@every_page
def test_relative_links_resolve(page: Path) -> None:
    """A link to a file of the repository has that file, and its anchor a heading there."""
    text = FENCE.sub("", read(page))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", FENCE.sub("", read(file)), re.MULTILINE)
            assert anchor in map(slug, headings), f"{name_of(page)} links to {target}"


@every_page
def test_no_path_of_somebodys_machine_is_shown(page: Path) -> None:
    """Paths in the documentation are relative or placeholders."""
    found = [line for line in read(page).splitlines() if MACHINE_PATH.search(line)]
    assert found == []


# ---- command lines -------------------------------------------------------------------------------------------------


def shown_commands(page: Path) -> Iterator[tuple[str, bool]]:
    """Yield (command line, whether it must be complete) for every one that a page shows."""
    text = read(page)
    for language, code in FENCE.findall(text):
        for line in code.replace("\\\n", " ").splitlines():
            line = line.strip()
            if line.startswith("$ rlctl ") or (line.startswith("rlctl ") and language != "text"):
                # Without a language, what follows a wide gap is a remark.
                command = line if language else re.split(r"\s{2,}", line)[0]
                yield command.removeprefix("$ "), language in ("sh", "bash", "console")
    for line in re.findall(r"`(rlctl [^`]+)`", FENCE.sub("", text).replace("\n", " ")):
        yield line, False


def without_shell(line: str) -> list[str]:
    """Return the words of the first command of a line."""
    words = shlex.split(line, comments=True)
    ends = [index for index, word in enumerate(words) if word in ("|", ">", "2>", "&&", ";")]
    return words[1 : ends[0]] if ends else words[1:]


def check_command(words: list[str], *, complete: bool) -> None:
    """Raise AssertionError or click's own error for a command or option that does not exist."""
    command: click.Command = rlctl_group
    context = click.Context(command, info_name="rlctl")
    while isinstance(command, click.Group) and words and not words[0].startswith("-") and not words[0].isupper():
        found = command.get_command(context, words[0])
        assert found is not None, f"there is no command {words[0]}"
        command, words = found, words[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    if complete and not isinstance(command, click.Group):
        try:
            command.make_context(str(command.name), list(words))
        except click.exceptions.Exit:
            return  # --help
    else:
        options = {"--help", "-h", *(option for item in command.get_params(context) for option in item.opts)}
        used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used <= options, f"there is no option {', '.join(sorted(used - options))}"


@every_page
def test_command_lines_name_commands_and_options_that_exist(page: Path) -> None:
    """What is shown as a command line is one, down to its options; in sh and console blocks it is complete."""
    for line, complete in shown_commands(page):
        try:
            check_command(without_shell(line), complete=complete)
        except (AssertionError, click.UsageError) as error:
            pytest.fail(f"{name_of(page)}: {line}\n{error}")


@pytest.mark.parametrize(
    "line",
    ["rlctl ru dqn", "rlctl run --sed 3", "rlctl workers show", "rlctl runs list --limit many", "rlctl config chek"],
)
def test_a_wrong_command_line_would_be_found(line: str) -> None:
    """The check above is no decoration."""
    with pytest.raises((AssertionError, click.UsageError)):
        check_command(without_shell(line), complete=True)


# ---- generated parts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "part", "make"), generator.PARTS, ids=[f"{page}-{part}" for page, part, _ in generator.PARTS]
)
def test_generated_parts_are_current(page: str, part: str, make: Callable[[], str]) -> None:
    """`make docs` would change nothing."""
    text = read(DOCS / page)
    assert generator.replaced(text, part, make()) == text, f"docs/{page} is out of date. Run: make docs"


def test_backends_map_their_tags_into_the_vocabulary_only() -> None:
    """A backend's metrics have names of rlctl.vocabulary, or its own behind `backend/`."""
    for worker, module in generator.WORKER_MODULES.items():
        strangers = set(generator.canonical_names(module).values()) - set(VOCABULARY)
        assert strangers == set(), f"{worker} reports names that rlctl.vocabulary does not have"
    assert generator.reported_names(ROOT / "plugins/dqn/rlctl_dqn") <= set(VOCABULARY)


def test_every_metric_of_the_vocabulary_is_reported_by_some_backend() -> None:
    """The vocabulary promises no name that nobody reports; episodes are told by their own event, evaluations by rlctl."""
    reported = {name for path in generator.WORKER_MODULES.values() for name in generator.canonical_names(path).values()}
    reported |= generator.reported_names(ROOT / "plugins/dqn/rlctl_dqn")
    assert set(VOCABULARY) - reported - generator.evaluation_names() == {"episode/return", "episode/length"}


def test_evaluations_are_reported_by_rlctl_alone() -> None:
    """What an evaluation is reported as are the names `evaluation/...`, all of them; no backend reports one by itself."""
    names = generator.evaluation_names()
    assert names == {name for name in VOCABULARY if name.startswith("evaluation/")}
    own = generator.reported_names(ROOT / "plugins/dqn/rlctl_dqn")
    for path in generator.WORKER_MODULES.values():
        own |= set(generator.canonical_names(path).values())
    assert own & names == set()


def test_a_backends_own_tags_need_its_prefix() -> None:
    """A name outside of the vocabulary is unknown unless it says whose it is."""
    assert is_known("train/loss")
    assert is_known("backend/train/std")
    assert not is_known("train/std")


# ---- configuration -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "language"), [("configuration.md", "yaml"), ("configuration.md", "toml"), ("evaluation.md", "yaml")]
)
def test_configuration_examples_can_be_run(
    page: str, language: str, tmp_path: Path, fast_cli: Callable[..., Any]
) -> None:
    """`rlctl config check` accepts the files of the pages."""
    pytest.importorskip("stable_baselines3")
    examples = blocks(DOCS / page, language)
    assert examples
    for index, code in enumerate(examples):
        file = tmp_path / f"example{index}.{language}"
        file.write_text(code, encoding="utf-8")
        outcome = fast_cli("config", "check", file)
        assert outcome.code == 0, outcome.err


def test_yaml_and_toml_examples_say_the_same(tmp_path: Path) -> None:
    """The two long examples of docs/configuration.md are one configuration."""
    from rlctl.config.files import read_config

    said = []
    for language in ("yaml", "toml"):
        file = tmp_path / f"example.{language}"
        file.write_text(blocks(DOCS / "configuration.md", language)[0], encoding="utf-8")
        said.append(read_config(file)[0])
    assert said[0] == said[1]


@pytest.mark.parametrize("page", ["configuration.md", "dqn.md"])
def test_refusals_read_as_shown(page: str, fast_cli: Callable[..., Any]) -> None:
    """The first example of the page in a console prints what stands there."""
    pytest.importorskip("torch")
    command, _, shown = blocks(DOCS / page, "console")[0].partition("\n")
    outcome = fast_cli(*without_shell(command.removeprefix("$ ")))
    assert outcome.err == shown
    assert outcome.code == 2


# ---- writing a plugin ----------------------------------------------------------------------------------------------


def printed_files() -> dict[str, str]:
    """Return the files of the example as the page prints them: name → text."""
    text = read(DOCS / "writing-a-plugin.md")
    return dict(re.findall(r"^`([\w/.]+)`:\n\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def test_the_pages_code_is_the_code_of_the_example() -> None:
    """docs/writing-a-plugin.md prints the files of examples/third_party_worker."""
    names = {
        "pyproject.toml",
        "rlctl_crossentropy/plugin.py",
        "rlctl_crossentropy/worker.py",
        "tests/test_crossentropy.py",
    }
    printed = printed_files()
    assert set(printed) == names
    for name, code in printed.items():
        assert code == read(EXAMPLE / name), f"docs/writing-a-plugin.md prints another {name}"


def test_other_code_of_the_page_runs() -> None:
    """Its other blocks of Python run as they are."""
    others = [code for code in blocks(DOCS / "writing-a-plugin.md", "python") if code not in printed_files().values()]
    assert others
    for code in others:
        exec(compile(code, "docs/writing-a-plugin.md", "exec"), {"__name__": "example"})


def test_the_example_uses_public_names_only() -> None:
    """It imports nothing with a leading underscore, and of this repository rlctl alone."""
    for path in EXAMPLE.rglob("*.py"):
        code = read(path)
        assert not re.search(
            r"\b(?:from|import) [\w.]*\b_\w|rlctl_(?!crossentropy|workers|check_run)\w+|\._\w", code
        ), path


# ---- the run directory ---------------------------------------------------------------------------------------------

PLUGIN_OBJECT_RUN = """
import rlctl
from rlctl import Progress, RunConfig, hookimpl

class Stopper:
    @hookimpl
    def rlctl_should_stop(self, progress: Progress):
        return "enough" if progress.step >= 50 else None

rlctl.run(
    RunConfig(worker="toy", total_timesteps=10**6, callbacks={"raises": True},
              hyperparameters={"step_seconds": 0.001}),
    plugins=[Stopper()], run_id="program",
)
"""


@pytest.fixture(scope="module")
def left_runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Make runs that leave, together, every file that there is: a finished, a failed, one with an observer, one that goes on,
    one that goes back, and, where gymnasium is installed, one that is evaluated in training and afterwards.
    """
    folder = tmp_path_factory.mktemp("documented")
    sites = [ROOT / "tests" / "fake_site" / name for name in ("toy_worker", "toy_callbacks")]
    path = os.pathsep.join([*map(str, sites), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "RLCTL_RUNS_DIR": str(folder / "runs")}
    nan = ["--set", "hyperparameters.nan_at=20", "--set", "hyperparameters.metrics_every=10"]
    commands = {
        "finished": ["-m", "rlctl", "run", "toy", "--run-id", "finished"],
        "failed": ["-m", "rlctl", "run", "toy", "--run-id", "failed", "--set", "hyperparameters.raise_at=40", *nan],
        "program": ["-c", PLUGIN_OBJECT_RUN],
        "resumed": ["-m", "rlctl", "run", "toy", "--run-id", "resumed", "--stop-at", "50"],
        "again": ["-m", "rlctl", "resume", "resumed"],
        "back": ["-m", "rlctl", "resume", "resumed", "--checkpoint", "50"],
    }
    if importlib.util.find_spec("gymnasium"):
        commands["evaluated"] = ["-m", "rlctl", "run", "toy", "--run-id", "evaluated", "--evaluate-every", "400"]
        commands["measured"] = ["-m", "rlctl", "evaluate", "evaluated", "--checkpoint", "best", "--episodes", "2"]
    codes = {"failed": 1, "resumed": 75}
    for name, command in commands.items():
        done = subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == codes.get(name, 0), done.stderr
    return [folder / "runs" / name for name in commands if name not in ("again", "back", "measured")]


def documented(heading: str) -> str:
    """Return a section of the page on the run directory."""
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", read(DOCS / "run-directory.md"), re.MULTILINE | re.DOTALL
    )
    assert found, f"docs/run-directory.md has no section {heading}"
    return found.group(1)


def test_every_file_and_key_of_a_run_is_documented(left_runs: list[Path]) -> None:
    """What a run leaves and the page on it know of each other: files, keys, and keys of lines."""
    import json

    from rlctl.runs.files import read_json, read_lines

    page = read(DOCS / "run-directory.md")
    for run in left_runs:
        for path in sorted(run.rglob("*")):
            name = re.sub(r"step-\d{12}", "step-STEP", path.relative_to(run).as_posix())
            name = re.sub(r"^abandoned/\d{3}/", "", name)  # which has what is documented of the run itself
            if name.startswith("checkpoints/") and path.name != "checkpoint.json":
                continue  # a worker's own
            assert path.is_dir() or f"`{name}`" in page, f"{name} is not documented"
            if path.suffix == ".json":
                data = read_json(path)
                assert data is not None, f"{name} is no JSON"
                undocumented = {key for key in data if f"`{key}`" not in documented(f"`{name}`")}
                assert undocumented == set(), f"{name} has undocumented keys"
            elif path.suffix == ".jsonl" and path.parent == run:
                section = documented(f"`{name}`") + documented("Numbers that are not finite")
                if name == "evaluations_after.jsonl":
                    section += documented("`evaluations.jsonl`")
                keys = {key for line in read_lines(path) for key in line}
                undocumented = {key for key in keys if f"`{key}`" not in section and f'"{key}"' not in section}
                assert undocumented == set(), f"{name} has undocumented keys"
    types = {line["type"] for run in left_runs for line in read_lines(run / "events.jsonl")}
    life = {"run_created", "run_resumed", "training_started", "training_ended", "run_ended"}
    assert types == life | {"callback_failed", "checkpoint_saved"}
    assert {f"`{name}`" for name in types} <= set(re.findall(r"`\w+`", documented("`events.jsonl`")))
    manifest = read_json(left_runs[0] / "manifest.json") or {}
    inner = {key for name in ("python", "hardware", "worker") for key in manifest[name]}
    inner |= set(manifest["callbacks"]["jsonl"]) | {"commit", "branch", "dirty", "diff_sha256"}
    assert {key for key in inner if f"`{key}`" not in documented("`manifest.json`")} == set()
    failure = (read_json(left_runs[1] / "result.json") or {})["failure"]
    assert {key for key in failure if f"`{key}`" not in documented("`result.json`")} == set()
    assert '"nonfinite"' in (left_runs[1] / "metrics.jsonl").read_text(encoding="utf-8")
    for code in blocks(DOCS / "run-directory.md", "json"):
        json.loads(code)


def test_documented_keys_exist(left_runs: list[Path]) -> None:
    """The first column of the page's tables of keys names no key that a run does not have."""
    from rlctl.evaluations import Evaluation
    from rlctl.runs.files import read_json

    rows = re.findall(r"^\| (`[^|]*) \|", documented("`evaluations.jsonl`"), re.MULTILINE)
    named = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert named == set(Evaluation(step=1, episodes=1, checkpoint=None, measured=()).to_json())
    for name in ("manifest.json", "status.json", "result.json"):
        rows = re.findall(r"^\| (`[^|]*) \|", documented(f"`{name}`"), re.MULTILINE)
        named = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
        assert named == {key for run in left_runs for key in read_json(run / name) or {}}, name


def test_the_pages_code_reads_a_run(left_runs: list[Path]) -> None:
    """Its only requirement is a folder `runs` below the current one."""
    (code,) = blocks(DOCS / "run-directory.md", "python")
    folder = left_runs[0].parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("finished ")


# ---- exit codes ----------------------------------------------------------------------------------------------------


def test_every_exit_code_is_documented() -> None:
    """docs/exit-codes.md has the numbers and names of ExitCode, and no others."""
    from rlctl.errors import ExitCode

    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", read(DOCS / "exit-codes.md"), re.MULTILINE)
    assert {(int(code), name) for code, name in rows} == {(code.value, code.name) for code in ExitCode}
