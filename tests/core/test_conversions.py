"""`rlctl config convert`: what any converter returns becomes files, and every field that was not taken is named."""

import json

import pytest

from rlctl.config.files import read_config
from rlctl.config.writing import as_yaml, section
from rlctl.errors import Problem

CONVERT, RUN = ("config", "convert", "--from", "toy"), ("run", "--from-toy")
TWO = [{"name": "long", "steps": 5000, "color": "red"}, {"name": "short", "steps": 100}]


@pytest.fixture
def convert(site, fast_cli, tmp_path):
    """Return `convert(entries, *options)`: makes a file of the toy system and converts it; or does something else with it."""
    site("toy_worker", "toy_converter")

    def call(entries, *options, command=CONVERT):
        file = tmp_path / "theirs.json"
        file.write_text(json.dumps(entries))
        return fast_cli(*command, file, *options)

    return call


def test_one_configuration_is_printed(convert, tmp_path):
    """Without --output it is data, so it goes to stdout, with where it is from at its head; what the converter prints does not."""
    outcome = convert(TWO[1:])
    (tmp_path / "made.yaml").write_text(outcome.out)
    values, _ = read_config(tmp_path / "made.yaml")
    assert values == {"worker": "toy", "total_timesteps": 100, "labels": {"from": "toy"}}
    assert outcome.out.startswith(f"# From {tmp_path / 'theirs.json'} of the toy system, by `rlctl config convert`.\n")
    assert "this converter talks" in outcome.err


def test_several_are_written_to_a_folder(convert, tmp_path):
    """Each under its name; the paths are printed."""
    outcome = convert(TWO, "-o", tmp_path / "made")
    assert outcome.out.split() == [str(tmp_path / "made" / name) for name in ("long.yaml", "short.yaml")]
    steps = [read_config(tmp_path / "made" / name)[0]["total_timesteps"] for name in ("long.yaml", "short.yaml")]
    assert steps == [5000, 100]


def test_several_make_one_plan(convert, tmp_path):
    """With --plan, each a member after its name; on stdout it is data, too."""
    outcome = convert(TWO, "--plan")
    (tmp_path / "made.yaml").write_text(outcome.out)
    members = read_config(tmp_path / "made.yaml")[0]["members"]
    assert {name: member["run"]["total_timesteps"] for name, member in members.items()} == {"long": 5000, "short": 100}
    data = convert(TWO, "--plan", "--json", "-o", tmp_path / "plan.yaml").json()
    assert {made["file"] for made in data["configs"]} == {str(tmp_path / "plan.yaml")}
    assert read_config(tmp_path / "plan.yaml")[0]["members"] == members


@pytest.mark.parametrize(
    ("names", "output", "words"),
    [
        (["a", "b"], "folder", "a plan is one file"),
        (["a b", "a-b"], "plan.yaml", "two of these names are one id: a b, a-b."),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused(convert, tmp_path, names, output, words):
    """Nothing is written."""
    outcome = convert([{"name": name, "steps": 100} for name in names], "--plan", "-o", tmp_path / output)
    assert (outcome.code, words in outcome.err) == (2, True), outcome.err
    assert not (tmp_path / output).exists()


def test_several_need_a_folder(convert, tmp_path):
    """Neither stdout nor one file has a place for two."""
    for options in ((), ("-o", tmp_path / "one.yaml")):
        outcome = convert(TWO, *options)
        assert (outcome.code, outcome.out) == (2, "")
        assert "2 configurations: long, short. Say a folder" in outcome.err


def test_a_file_is_written_and_says_how_to_run_it(convert, tmp_path):
    """Its head has the command, what has changed, and what was left out, of the entry and of the whole file."""
    file = tmp_path / "one.yaml"
    convert(TWO[:1], "-o", file)
    head = [line for line in file.read_text().splitlines() if line.startswith("#")]
    assert head[2:] == [
        f"#   rlctl run -c {file}", "#",
        "# Changed:", "#   steps: is total_timesteps", "#",
        "# Left out:", "#   color: a run has none like red Paint it.", "#   shade: nor this", "#   version: no use",
    ]  # fmt: skip


def test_every_field_that_is_not_taken_is_told(convert):
    """On stderr, one line each, whatever is in it."""
    told = convert(TWO[:1]).err.splitlines()
    assert "rlctl: long: changed: steps: is total_timesteps" in told
    assert "rlctl: long: left out: color: a run has none like red Paint it." in told
    assert "rlctl: theirs.json: left out: version: no use" in told


def test_the_same_as_data(convert, tmp_path):
    """With --json, also without --output."""
    data = convert([*TWO, {"name": "odd"}], "--json").json()
    assert data["system"] == "the toy system"
    assert data["left_out"] == [{"field": "version", "reason": "no use", "hint": None}]
    long, _, odd = data["configs"]
    assert long["changed"] == [{"field": "steps", "reason": "is total_timesteps", "hint": None}]
    assert [item["field"] for item in long["left_out"]] == ["color", "shade"]
    assert (long["config"]["total_timesteps"], long["file"], long["problems"]) == (5000, None, [])
    assert odd["config"] is None
    assert odd["unusable"] == [{"field": "steps", "reason": "is required", "hint": None}]
    made = convert(TWO, "-o", tmp_path / "made", "--json").json()["configs"]
    assert [item["file"] for item in made] == [str(tmp_path / "made" / f"{name}.yaml") for name in ("long", "short")]


def test_what_is_no_training_costs_only_itself(convert, tmp_path):
    """The others are written, and the exit code says that there was one."""
    outcome = convert([{"name": "odd"}, *TWO], "-o", tmp_path / "made")
    assert outcome.code == 1
    assert "rlctl: odd: cannot be used: steps: is required" in outcome.err
    assert len(outcome.out.split()) == 2


def test_what_cannot_be_run_here_is_said_at_once(convert):
    """A configuration is checked like one of `rlctl config check`; that something is not installed here is no fault of it."""
    outcome = convert([{"name": "later", "steps": 10, "worker": "toi"}])
    assert outcome.code == 0
    assert 'later: cannot be run here: worker: there is no worker "toi". Did you mean "toy"?' in outcome.err


def test_a_file_of_another_content_is_not_replaced(convert, tmp_path):
    """Nothing is written, not even the other one; the same content again is no problem."""
    convert(TWO, "-o", tmp_path / "made")
    (tmp_path / "made" / "long.yaml").write_text("worker: mine\n")
    (tmp_path / "made" / "short.yaml").unlink()
    outcome = convert(TWO, "-o", tmp_path / "made")
    assert (outcome.code, outcome.out) == (2, "")
    assert "long.yaml: exists already. Remove it, or say another --output." in outcome.err
    assert not (tmp_path / "made" / "short.yaml").exists()
    (tmp_path / "made" / "long.yaml").unlink()
    assert [convert(TWO, "-o", tmp_path / "made").code for _ in range(2)] == [0, 0]


def test_a_name_does_not_leave_the_folder(convert, tmp_path):
    """Whatever a foreign file calls itself; two that are then one are refused."""
    convert([{"name": "../../up", "steps": 10}], "-o", tmp_path / "made")
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["..-..-up.yaml"]
    outcome = convert([{"name": "a/b", "steps": 1}, {"name": "a b", "steps": 2}], "-o", tmp_path / "twice")
    assert "a-b.yaml: two configurations would have this file" in outcome.err


@pytest.mark.parametrize("output", ["made.toml", "there.txt"])
def test_an_output_that_cannot_be_meant_is_refused(convert, tmp_path, output):
    """YAML is what is written, and a file is no folder."""
    (tmp_path / "there.txt").touch()
    outcome = convert(TWO, "-o", tmp_path / output)
    assert outcome.code == 2
    assert "expected a folder, or a file that ends in .yaml or .yml" in outcome.err


def test_a_file_that_cannot_be_read_is_said_by_the_converter(site, fast_cli, tmp_path):
    """With its own words."""
    site("toy_converter")
    outcome = fast_cli("config", "convert", "--from", "toy", tmp_path / "nowhere")
    assert (outcome.code, outcome.out) == (2, "")
    assert "is no file of the toy system." in outcome.err


def test_a_system_that_nobody_knows_is_answered_with_the_nearest(site, fast_cli, tmp_path):
    """And a converter that cannot be loaded with its plugin."""
    site("toy_converter")
    unknown = fast_cli("config", "convert", "--from", "toi", tmp_path)
    assert unknown.code == 3
    assert 'there is no converter "toi". Did you mean "toy"?' in unknown.err
    absent = fast_cli("config", "convert", "--from", "absent", tmp_path)
    assert absent.code == 3
    assert 'converter "absent" of toy-converter cannot be loaded: AttributeError' in absent.err


def test_converters_are_listed_with_their_plugin(site, fast_cli):
    """As all that a plugin brings."""
    site("toy_converter")
    (row,) = [row for row in fast_cli("plugins", "list", "--json").json() if row["distribution"] == "toy-converter"]
    assert row["brings"] == ["converter absent", "converter toy"]


# ---- rlctl run --from-SYSTEM ---------------------------------------------------------------------------------------


def test_a_file_of_another_system_trains(convert, tmp_path):
    """At once, and what became of its fields is said as by a conversion."""
    outcome = convert(TWO[:1], "-n", 300, "--seed", 7, "--run-id", "made", command=RUN)
    assert outcome.code == 0, outcome.err
    config = json.loads((tmp_path / "runs" / "made" / "config.json").read_text())["config"]
    assert (config["worker"], config["total_timesteps"], config["seed"]) == ("toy", 300, 7)
    assert config["labels"] == {"from": "toy"}
    assert "rlctl: long: left out: color: a run has none like red Paint it." in outcome.err


def test_a_dry_run_says_which_field_a_value_is_from(convert, tmp_path):
    """And the file where the converter does not say; what the command line overrides is the command line's."""
    said = convert(TWO[:1], "--set", "labels.more=1", "--dry-run", "--json", command=RUN).json()
    assert said["config"]["total_timesteps"] == 5000
    assert said["origins"]["total_timesteps"] == "theirs.json: steps"
    assert (said["origins"]["worker"], said["origins"]["labels.more"]) == ("theirs.json", "--set labels.more")
    assert convert(TWO[:1], "-n", 3, "--dry-run", "--json", command=RUN).json()["origins"]["total_timesteps"] == (
        "--total-timesteps"
    )
    assert not (tmp_path / "runs").exists()


def test_a_problem_names_the_field_that_it_is_from(convert):
    """As it names the line of a configuration file."""
    refused = convert([{"name": "odd", "steps": "many"}], command=RUN)
    assert refused.code == 2
    assert 'total_timesteps: expected an integer or null, got "many" (from theirs.json: steps)' in refused.err


def test_what_makes_no_single_training_is_refused_by_name(convert, tmp_path):
    """Several, with how to choose; none; and one that cannot be used, with the reason."""
    several = convert(TWO, command=RUN)
    assert (several.code, several.out) == (2, "")
    assert "makes 2 configurations, and a run has one: long, short." in several.err
    assert f"rlctl config convert --from toy {tmp_path / 'theirs.json'} -o FOLDER" in several.err
    assert "makes 0 configurations, and a run has one: none." in convert([], command=RUN).err
    odd = convert([{"name": "odd"}], command=RUN)
    assert (odd.code, odd.err) == (2, "this converter talks\nrlctl: steps: is required (from theirs.json)\n")
    assert not (tmp_path / "runs").exists()


def test_two_files_of_any_kind_are_refused(convert, tmp_path):
    """There is one configuration to override."""
    outcome = convert(TWO[:1], "--config", "mine.yaml", command=RUN)
    assert outcome.code == 2
    assert f'two configuration files: "mine.yaml" and "{tmp_path / "theirs.json"}".' in outcome.err


def test_there_is_an_option_for_each_system(site, fast_cli):
    """As long as its plugin is there; a wrong one is answered with the nearest."""
    assert "--from-toy" not in fast_cli("run", "--help").out
    site("toy_converter")
    assert "--from-toy FILE" in " ".join(fast_cli("run", "--help").out.split())
    assert "In place of --config: of the toy system." in " ".join(fast_cli("verify", "resume", "--help").out.split())
    assert "--from-toy" in fast_cli("run", "--from-toi", "x").err


def test_a_training_of_another_system_can_be_verified(convert):
    """As any that `rlctl run` would start."""
    verified = convert(TWO[1:], "--json", command=("verify", "resume", "--from-toy"))
    assert verified.code == 0, verified.err
    assert verified.json()["steps"] == 100


def test_nothing_leaves_a_comment():
    """A line break in a foreign text does not make a key of it."""
    problem = Problem("first\nworker: evil", "word " * 40)
    lines = as_yaml({"worker": "toy"}, section("Left out:", [problem])).splitlines()
    assert lines[:2] == ["#", "# Left out:"]
    assert lines[2].startswith("#   first worker: evil: word word")
    assert lines[3].startswith("#     word")
    assert lines[4:] == ["worker: toy"]
