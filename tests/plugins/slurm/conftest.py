"""Fixtures for tests on Slurm: one of their own on this machine, where its programs are installed."""

from pathlib import Path

import pytest
from tests.plugins.slurm.cluster import Slurm, missing_programs


@pytest.fixture(scope="module")
def slurm_of_module(tmp_path_factory):
    """Return a Slurm with two nodes; a test is skipped where Slurm is not installed."""
    missing = missing_programs()
    if missing:
        pytest.skip(f"needs Slurm (apt-get install slurm-wlm munge); there is no {', '.join(missing)}")
    found = Slurm(Path(tmp_path_factory.mktemp("slurm")))
    try:
        yield found.start()
    finally:
        found.close()


@pytest.fixture
def slurm(slurm_of_module, site, monkeypatch, wait_until):
    """Return the Slurm for rlctl's processes too, with nothing in its queue, and leases of ten seconds."""
    environment = slurm_of_module.environment
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, environment[name])
    monkeypatch.setenv("RLCTL_LEASE_SECONDS", "10")
    site("toy_worker")
    yield slurm_of_module
    slurm_of_module.says("scancel", "--me")
    wait_until(lambda: not slurm_of_module.says("squeue", "--noheader"), 60)
