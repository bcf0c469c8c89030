"""A Slurm of a test's own: a controller and two nodes on this machine, all files and ports of which are nobody else's."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from attrs import define, field

from rlctl.testing.processes import wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0
MaxArraySize=5
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
KillWait=5
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=1000 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=60 State=UP PriorityTier=1
PartitionName=urgent Nodes=n1,n2 MaxTime=60 State=UP PriorityTier=10
"""


def missing_programs() -> list[str]:
    """Return which programs of Slurm are not installed here."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


@define
class Slurm:
    """Controller, authentication and two nodes, each a child of this process."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(factory=dict)

    @property
    def conf(self) -> Path:
        """The file that Slurm's programs find through SLURM_CONF."""
        return self.folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """Return what Slurm's programs need."""
        path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
        return {**os.environ, "SLURM_CONF": str(self.conf), "PATH": path}

    def start(self) -> Slurm:
        """Start all of it, and wait until both nodes are idle."""
        (self.folder / "state").mkdir(parents=True)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        self.conf.write_text(
            _CONF.format(
                host=socket.gethostname().partition(".")[0],
                ports=_free_ports(3),
                user=getpass.getuser(),
                folder=self.folder,
            )
        )
        files = {"key-file": "key", "pid-file": "pid", "socket": "socket", "log-file": "log", "seed-file": "seed"}
        own = [f"--{option}={self.folder}/munge.{name}" for option, name in files.items()]
        self._start("munged", "--foreground", "--force", *own)
        wait_until((self.folder / "munge.socket").exists, 60, "munged listens")
        self._start("slurmctld", "-D")
        for node in ("n1", "n2"):
            self.start_node(node)
        wait_until(lambda: self.nodes() == ["idle", "idle"], 120, "both nodes are idle")
        return self

    def nodes(self) -> list[str]:
        """Return the states of both nodes."""
        return self.says("sinfo", "--noheader", "--Node", "--partition=main", "--format=%T").split()

    def start_node(self, name: str) -> None:
        """Start a node's daemon."""
        (self.folder / f"spool.{name}").mkdir(exist_ok=True)
        self._start(name, "-D", "-N", name, program="slurmd")

    def _start(self, name: str, *arguments: str, program: str | None = None) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [program or name, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=self.environment, cwd=self.folder,
            )  # fmt: skip

    def says(self, *argv: str, script: str | None = None) -> str:
        """Return what a program of Slurm says; nothing when it fails."""
        said = subprocess.run(
            argv, env=self.environment, input=script or "", capture_output=True, text=True, timeout=60, check=False
        )
        return said.stdout.strip()

    def job(self) -> dict[str, str]:
        """Return the one job that is not over: its number, state, node and how often it was started again."""
        fields = ("JobID", "State", "NodeList", "RestartCnt")
        wanted = ",".join(f"{name}:|" for name in fields)
        lines = self.says("squeue", "--noheader", f"--Format={wanted}").splitlines()
        assert len(lines) == 1, lines
        return dict(zip(fields, lines[0].split("|"), strict=False))

    def lose_node(self, name: str) -> None:
        """Kill a node's daemon, the processes that mind its jobs, and these jobs, at once."""
        jobs = self.says("squeue", "--noheader", f"--nodelist={name}", "--format=%i").split()
        self.processes[name].kill()
        self.processes[name].wait()
        minders = tuple(f"slurmstepd: [{job}.".encode() for job in jobs)
        for pid in self._ours():
            of_node = f"SLURMD_NODENAME={name}".encode() in _words(pid, "environ")
            if of_node or _words(pid, "cmdline")[0].startswith(minders):
                _kill(pid)

    def close(self) -> None:
        """End all jobs and daemons; nothing of them stays."""
        if self.conf.exists():
            self.says("scancel", f"--user={getpass.getuser()}", "--signal=KILL", "--full")
        for process in reversed(self.processes.values()):
            process.kill()
            process.wait()
        for pid in self._ours():
            _kill(pid)

    def _ours(self) -> list[int]:
        """Return the processes that belong to this Slurm."""
        mark = f"SLURM_CONF={self.conf}".encode()
        pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        return [pid for pid in pids if pid != os.getpid() and mark in _words(pid, "environ")]


def _words(pid: int, what: str) -> list[bytes]:
    """Return a process's command line or environment; one empty word for one that is gone."""
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes().split(b"\0")
    except OSError:
        return [b""]


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports
