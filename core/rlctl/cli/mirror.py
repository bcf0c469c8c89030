"""`rlctl runs pull` and `rlctl runs push`: a run comes back from where it was mirrored, or is sent there now."""

from __future__ import annotations

from pathlib import Path

import click

from rlctl.cli._render import json_option, note, number, pairs, print_json
from rlctl.errors import RlctlError, RunDirectoryError, UsageError
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_json
from rlctl.runs.store import RunStore, default_root, read_record

_runs_dir = click.option(
    "--runs-dir", type=click.Path(path_type=Path), help="Where runs are kept: RLCTL_RUNS_DIR, else ./runs."
)


@click.command()
@click.argument("uri")
@_runs_dir
@json_option
def pull(uri: str, runs_dir: Path | None, as_json: bool) -> None:
    """Bring a run back that `save_uri` mirrored, as SAVE_URI/RUN_ID, verified by hash.

    What an interrupted pull has brought is not fetched again. A run of that id that is here already is left as it is.
    """
    from rlctl.runs import pull as pulling
    from rlctl.runs.remote import open_remote, require_uri

    require_uri(uri)
    try:
        found = pulling.pull(open_remote(uri), runs_dir or default_root())
    except RlctlError:
        raise
    except Exception as error:
        raise _unreachable(uri, error) from error
    record = read_record(found.directory)
    if as_json:
        print_json({**record.summary(), "received_bytes": found.received, "mirrored_at": found.index["mirrored_at"]})
        return
    pairs([
        ("run", record.directory.run_id),
        ("state", record.state),
        ("step of its last checkpoint", number(found.index["step"], 0)),
        ("received", f"{number(found.received, 0)} bytes"),
        ("directory", str(record.directory.path)),
    ])  # fmt: skip
    if found.index["state"] in ("created", "running"):
        note("it was still trained when it was mirrored last. If it is trained there now, do not resume it here.")


@click.command()
@click.argument("reference", metavar="RUN", default="@latest")
@click.option("--to", "uri", metavar="URI", help="Where to; by default where its `save_uri` says.")
@_runs_dir
@json_option
def push(reference: str, uri: str | None, runs_dir: Path | None, as_json: bool) -> None:
    """Send a run to where `save_uri` mirrors it, or to another URI, now; what is there is not sent again."""
    from rlctl.launch.mirror_process import locked
    from rlctl.runs.mirror import Mirror
    from rlctl.runs.remote import open_remote, require_uri

    directory = RunStore(runs_dir or default_root()).find(reference)
    uri = uri or read_record(directory).config.get("save_uri")
    if uri is None:
        raise UsageError(f"run {directory.run_id} has no save_uri.", hint="Say where to: --to URI.")
    require_uri(uri)
    place = f"{uri.rstrip('/')}/{directory.run_id}"
    with locked(directory) as alone:
        if not alone:
            raise UsageError(f"run {directory.run_id} is being mirrored by its own process.")
        try:
            mirror = Mirror(directory, open_remote(place))
            index = mirror.send()
        except RlctlError:
            raise
        except Exception as error:
            raise _unreachable(place, error) from error
    if as_json:
        print_json({"run_id": directory.run_id, "uri": place, "sent_bytes": mirror.sent, "files": len(index["files"])})
    else:
        note(f"{place} has all {len(index['files'])} files; {number(mirror.sent, 0)} bytes were sent")


def mirror_in_words(directory: RunDirectory) -> str | None:
    """Return how the mirror of a run fares, None without one."""
    from rlctl.runs.mirror import STATE_FILE

    said = read_json(directory.path / STATE_FILE)
    if said is None:
        return None
    if said.get("state") == "failing":
        return f"{said['uri']}: failing: {said.get('error')}"
    return f"{said['uri']}: {said.get('state')}, {number(said.get('bytes'), 0)} bytes in {said.get('files', 0)} files"


def _unreachable(uri: str, error: Exception) -> RlctlError:
    return RunDirectoryError(f"{uri} cannot be used: {type(error).__name__}: {error}")
