"""Shell scripts of several trainings: the tags in their first comments, the environments of their phases, what is wrong."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

from rlctl.errors import Problem, UsageError, did_you_mean
from rlctl.families import FAMILIES, OTHER

TAGS = ("description", "phases", "total_timesteps", "env_family")
DEFAULT_FOLDER = Path("scripts")
_HEAD_LINES = 30
_TAG = re.compile(r"#\s*@(\w+)\s*:?\s*(.*?)\s*")
_PHASE = re.compile(
    r"""^\s*(?:(?:export|readonly|declare\s+-\w+)\s+)?(PHASE|LEVEL)(\d+)_ENV=
        (?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<plain>[^\s;#]+))""",
    re.VERBOSE | re.MULTILINE,
)
_DEFAULT_VALUE = re.compile(r"\$\{\w+:?[-=](.*)\}")


@frozen(kw_only=True)
class Script:
    """A script as it is now. `phases` and `total_timesteps` are what its tags say, `envs` phase → environment."""

    path: Path
    text: str
    description: str = ""
    phases: int | None = None
    total_timesteps: int | None = None
    env_family: str | None = None
    envs: dict[int, str]
    interpreter: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def name(self) -> str:
        """The name of its file, without the suffix."""
        return self.path.stem

    @property
    def sha256(self) -> str:
        """The hash of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def find_scripts(folders: Iterable[Path]) -> list[Script]:
    """Return the scripts, `*.sh`, in folders, by name."""
    return [read_script(path) for folder in folders for path in sorted(folder.glob("*.sh"))]


def find_script(reference: str, folders: Iterable[Path]) -> Script:
    """Return the script that a path or a name means. Raises UsageError when there is none, or more than one."""
    path = Path(reference)
    if path.suffix == ".sh" and path.is_file():
        return read_script(path)
    found = {path.resolve(): path for folder in folders for path in folder.glob("*.sh")}
    matches = [path for path in found.values() if reference in (path.stem, path.name)]
    if len(matches) == 1:
        return read_script(matches[0])
    if matches:
        raise UsageError(f'"{reference}" means {" and ".join(map(str, matches))}.', hint="Give the path of one.")
    places = ", ".join(map(str, folders))
    hint = did_you_mean(reference, (path.stem for path in found.values()))
    raise UsageError(f'there is no script "{reference}" in {places}.', hint=hint or "Give a path, or --folder.")


def read_script(path: Path) -> Script:
    """Return a script with all that is wrong with it. Raises UsageError for a file that cannot be read as text."""
    try:
        text = path.read_bytes().decode()  # with line ends as they are
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the script {path} cannot be read: {error}.") from error
    problems: list[Problem] = []
    tags = _tags(text, path.name, problems)
    envs = _envs(text)
    phases = _positive("phases", tags, problems)
    if phases is not None and envs and max(envs) > phases:
        where = tags["phases"][1]
        problems.append(
            Problem("@phases", f"is {phases}, and there is an environment of phase {max(envs)}.", None, where)
        )
    return Script(
        path=path,
        text=text,
        description=tags.get("description", ("", ""))[0],
        phases=phases,
        total_timesteps=_positive("total_timesteps", tags, problems),
        env_family=_family(tags, problems),
        envs=envs,
        interpreter=_interpreter(text, path.name, problems),
        problems=tuple(problems),
    )


def _tags(text: str, name: str, problems: list[Problem]) -> dict[str, tuple[str, str]]:
    """Return tag → (its text, its line) of the first comments."""
    found: dict[str, tuple[str, str]] = {}
    for number, line in enumerate(text.splitlines()[:_HEAD_LINES], 1):
        match = _TAG.fullmatch(line.strip())
        if match is None:
            continue
        tag, value = match.groups()
        where = f"{name}:{number}"
        if tag not in TAGS:
            problems.append(Problem(f"@{tag}", "is no tag.", did_you_mean(tag, TAGS), where))
        elif tag in found:
            problems.append(Problem(f"@{tag}", f"is said twice, first in {found[tag][1]}.", "Keep one.", where))
        else:
            found[tag] = value, where
    return found


def _positive(tag: str, tags: dict[str, tuple[str, str]], problems: list[Problem]) -> int | None:
    if tag not in tags:
        return None
    text, where = tags[tag]
    if re.fullmatch(r"[1-9][0-9_]*", text):
        return int(text)
    problems.append(Problem(f"@{tag}", f'expected a whole number from 1 on, got "{text}"', None, where))
    return None


def _family(tags: dict[str, tuple[str, str]], problems: list[Problem]) -> str | None:
    if "env_family" not in tags:
        return None
    text, where = tags["env_family"]
    known = [*(family.name for family in FAMILIES), OTHER]
    if text not in known:
        problems.append(Problem("@env_family", f'there is no family "{text}".', did_you_mean(text, known), where))
    return text


def _envs(text: str) -> dict[int, str]:
    """Return phase → environment, as `PHASE1_ENV="..."` or `LEVEL1_ENV=...` says; of `${1:-NAME}` the default."""
    found: dict[int, str] = {}
    for match in _PHASE.finditer(text):
        value = next(part for part in match.group("double", "single", "plain") if part is not None)
        default = _DEFAULT_VALUE.fullmatch(value)
        found.setdefault(int(match[2]), default[1] if default else value)
    return dict(sorted(found.items()))


def _interpreter(text: str, name: str, problems: list[Problem]) -> tuple[str, ...]:
    """Return the words of the first line that says what reads the script."""
    first = text.partition("\n")[0].rstrip("\r")
    if not first.startswith("#!"):
        message = "there is no #! line: it is not said what reads the script."
        problems.append(Problem("shebang", message, "Begin with #!/usr/bin/env bash", f"{name}:1"))
        return ()
    if first != text.partition("\n")[0]:
        problems.append(Problem("shebang", "its lines end as on Windows.", "Save it with \\n.", f"{name}:1"))
    words = tuple(shlex.split(first[2:]))
    program = words[-1] if words[:1] == ("/usr/bin/env",) else (words or ("",))[0]
    if shutil.which(program) is None:
        problems.append(Problem("shebang", f'there is no "{program}" here.', None, f"{name}:1"))
    return words
