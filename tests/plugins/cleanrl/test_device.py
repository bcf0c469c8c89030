"""`device` for scripts, which know `cuda` and `cpu`; and a run whose model cannot be written."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.plugins.cleanrl.own_scripts import SCRIPT, write_source

from rlctl.errors import NotAvailableError
from rlctl.runs.files import read_json, read_lines
from rlctl_cleanrl.worker import script_device


@pytest.mark.network
@pytest.mark.parametrize(
    ("device", "code", "said"),
    [
        ("cuda", 3, "device: device cuda was asked for, and this machine shows none."),
        ("cuda:1", 3, "device: device cuda:1 was asked for, and this machine shows none."),
        ("mps", 2, "device: CleanRL's scripts know cpu and cuda, got mps."),
    ],
)
def test_a_device_that_cannot_be_had_is_refused_before_the_start(
    device: str, code: int, said: str, fast_cli: Any, cleanrl_cache: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU that CUDA_VISIBLE_DEVICES hides is none."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    outcome = fast_cli("run", "cleanrl/ppo", "--device", device, "--dry-run")
    assert (outcome.code, said in outcome.err) == (code, True), outcome.err


def test_cuda_means_the_device_of_that_number_in_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no machine with two GPUs to test on: what PyTorch would say of one is said here."""
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)

    assert [script_device(name).type for name in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]
    assert chosen == []
    assert script_device("cuda:1").type == "cuda"
    assert chosen == [torch.device("cuda:1")]
    with pytest.raises(NotAvailableError, match="device cuda:2: there are 2 CUDA devices"):
        script_device("cuda:2")


def test_a_run_says_what_it_was_on_and_that_its_model_is_not_written(cli: Any, tmp_path: Any) -> None:
    """`auto` without a GPU is the CPU; the training counts, whatever becomes of the file that its checkpoint stands for."""
    folder = write_source(tmp_path / "mine", 1)
    saves = (
        '    if args.save_model:\n        model_path = "nowhere/train.cleanrl_model"\n'
        "        torch.save(q_network.state_dict(), model_path)\n    envs.close()\n"
    )
    with_option = SCRIPT.replace("    cuda: bool = True\n", "    cuda: bool = True\n    save_model: bool = False\n")
    (folder / "cleanrl" / "train.py").write_text(with_option.replace("    envs.close()\n", saves))
    assert cli("workers", "setup", "cleanrl", "--source", folder, "--name", "mine").code == 0

    words = ("run", "cleanrl/mine/train", "-n", 100, "--callback", "no-progress", "--run-id", "r")
    answer = cli(*words, "--runs-dir", tmp_path, env={"CUDA_VISIBLE_DEVICES": ""})

    assert answer.code == 0, answer.err
    manifest = read_json(tmp_path / "r" / "manifest.json") or {}
    assert (manifest["device"], manifest["environment"]["CUDA_VISIBLE_DEVICES"]) == ("cpu", "")
    assert any(line["type"] == "model_not_written" for line in read_lines(tmp_path / "r" / "events.jsonl"))
    assert "rlctl: train.cleanrl_model is not written: " in (tmp_path / "r" / "logs" / "worker.log").read_text()
    assert "device" in cli("runs", "show", "r", "--runs-dir", tmp_path).out
