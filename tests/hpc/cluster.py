"""A private SLURM on loopback: a controller and some nodes with pretended GPUs, started and stopped by their ids.

Nothing of it is a service of the machine: configuration, state, sockets and logs are in one folder. There is no
munge and no accounting database.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.hpc.container import Failed, call

GPUS = 2

CONFIGURATION = """
ClusterName=cornerstone
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
CommunicationParameters=NoInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SlurmctldParameters=enable_configless
GresTypes=gpu
# Too little memory ends a job, as it does on a cluster with cgroups.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/completed.txt
# Partition `billed` takes no job without an account.
JobSubmitPlugins=lua
# Partition `urgent` takes nodes from the others; what was there goes back to the queue, soon and not in two minutes.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AuthInfo=cred_expire=5
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
# A limit in minutes is kept to the second, so that a test need not wait.
OverTimeLimit=0
KillWait=2
EnforcePartLimits=ALL
MinJobAge=36000
ReturnToService=2
SlurmdTimeout=6
MessageTimeout=5
DefMemPerCPU=500
JobRequeue=1
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
"""

SUBMIT = """
function slurm_job_submit(description, partitions, user)
   if description.partition == "billed" and description.account == nil then
      slurm.log_user("partition billed needs an account")
      return slurm.ERROR
   end
   return slurm.SUCCESS
end
function slurm_job_modify(description, job, partitions, user)
   return slurm.SUCCESS
end
"""

WRAPPER = """#!/bin/sh
# The executor takes SLURM_* out of the environment of what it starts; only a private cluster misses it.
export SLURM_CONF={folder}/slurm.conf
exec {program} "$@"
"""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    opened = [socket.socket() for _ in range(count)]
    try:
        for entry in opened:
            entry.bind(("127.0.0.1", 0))
        return [entry.getsockname()[1] for entry in opened]
    finally:
        for entry in opened:
            entry.close()


def wait(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until something holds.

    Raises:
        Failed: when it does not in that time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"after {seconds:.0f} s still not: {what}")
        time.sleep(0.1)


@dataclass
class Cluster:
    """A controller and nodes n0, n1, ... of 4 cores, 8 GB and two GPUs each (none of which exist)."""

    folder: Path
    nodes: int = 2
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [f"n{index}" for index in range(self.nodes)]

    @property
    def environment(self) -> dict[str, str]:
        """What is to be set for clients."""
        return {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }

    def start(self) -> None:
        """Write the configuration and start everything."""
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        ports = free_ports(1 + self.nodes)
        host = socket.gethostname()
        text = CONFIGURATION.format(host=host, port=ports[0], folder=self.folder, user=getpass.getuser())
        for name, port in zip(self.names, ports[1:], strict=True):
            text += f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=8000 "
            text += f"Feature={'a100' if name == 'n0' else 'h100'} Gres=gpu:{GPUS} State=UNKNOWN\n"
        text += "PartitionName=gpu Nodes=ALL Default=YES MaxTime=7-0 State=UP\n"
        text += "PartitionName=billed Nodes=ALL MaxTime=7-0 State=UP\n"
        text += "PartitionName=urgent Nodes=ALL MaxTime=7-0 PriorityTier=10 State=UP\n"
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "job_submit.lua").write_text(SUBMIT)
        devices = [self.folder / f"gpu{index}" for index in range(GPUS)]
        for device in devices:
            if not device.exists():
                os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # another name of the null device
        (self.folder / "gres.conf").write_text(f"AutoDetect=off\nName=gpu File={self.folder}/gpu[0-{GPUS - 1}]\n")
        for name in ("srun", "sbatch"):
            path = self.folder / "bin" / name
            path.write_text(WRAPPER.format(folder=self.folder, program=shutil.which(name)))
            path.chmod(0o755)
        self.start_controller()
        for name in self.names:
            self.start_node(name)
        wait(lambda: self.client("sinfo", "-h", "-N", "-o", "%t").split().count("idle") >= self.nodes, 30, "nodes idle")

    def start_controller(self) -> None:
        self._daemon("slurmctld", "slurmctld", "-D", "-f", str(self.folder / "slurm.conf"))
        wait(self._answers, 30, "slurmctld answers")

    def start_node(self, name: str) -> None:
        self._daemon(name, "slurmd", "-D", "-N", name, "-f", str(self.folder / "slurm.conf"))

    def _daemon(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                [f"/usr/sbin/{command[0]}", *command[1:]],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    def _answers(self) -> bool:
        done = subprocess.run(
            ["scontrol", "ping"], env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
        )
        return "is UP" in done.stdout

    def client(self, *command: str) -> str:
        """Run a client such as squeue."""
        return call(*command, env={**os.environ, **self.environment})

    def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End a daemon."""
        daemon = self.daemons.pop(name)
        daemon.send_signal(how)
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def restart_controller(self, pause: float) -> None:
        """End slurmctld, leave it away for a while, start it again with its state."""
        self.end("slurmctld")
        time.sleep(pause)
        self.start_controller()

    def kill_node(self, name: str) -> None:
        """What a power cut does: the node's daemon and all that runs under it are gone, without a last word."""
        jobs = [job for job, node in self.running().items() if node == name]
        self.end(name, signal.SIGKILL)
        self._kill(jobs)

    def _kill(self, jobs: list[str]) -> None:
        """Kill the processes of jobs; first those of SLURM's own that would report the end of the others."""
        config = f"SLURM_CONF={self.folder}/slurm.conf".encode()
        marks = [f"SLURM_JOB_ID={job}".encode() for job in jobs]
        found: list[int] = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                content = (path / "environ").read_bytes().split(b"\0")
                if config in content and any(mark in content for mark in marks):
                    found = [*_stewards(int(path.name)), *found, int(path.name)]
            except OSError:
                continue
        for pid in dict.fromkeys(found):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def jobs(self) -> dict[str, tuple[str, str]]:
        """Every job that the controller remembers: id -> (state, node)."""
        rows = self.client("squeue", "--states=all", "--noheader", "--format=%i|%T|%N").splitlines()
        return {row.split("|")[0]: (row.split("|")[1], row.split("|")[2]) for row in rows}

    def running(self) -> dict[str, str]:
        """Jobs that run: id -> node."""
        return {job: node for job, (state, node) in self.jobs().items() if state == "RUNNING"}

    def logs(self, lines: int = 60) -> str:
        """The state of the queue and the ends of the daemons' logs, for a failed test's report."""
        ends = [
            f"{path.name}:\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
            for path in sorted(self.folder.glob("*.log"))
        ]
        return "\n".join([str(self.jobs()), self.client("sinfo", "-N", "-l"), *ends])

    def calm(self) -> None:
        """Cancel what is left of jobs and wait for idle nodes, so that the next test starts from a clean queue."""
        left = [job for job, (state, _) in self.jobs().items() if state in ("RUNNING", "PENDING", "COMPLETING")]
        if left:
            self.client("scancel", *left)
        for name in self.names:
            if name not in self.daemons:
                self.start_node(name)
        wait(
            lambda: self.client("sinfo", "-h", "-p", "gpu", "-N", "-o", "%t").split() == ["idle"] * self.nodes,
            60,
            "idle nodes",
        )

    def stop(self) -> None:
        """End the jobs and everything that was started."""
        if "slurmctld" in self.daemons:
            subprocess.run(
                ["scancel", f"--user={getpass.getuser()}"],
                env={**os.environ, **self.environment},
                capture_output=True,
                check=False,
            )
            time.sleep(1)
        for name in [name for name in self.daemons if name != "slurmctld"]:
            self.end(name)
        for name in list(self.daemons):
            self.end(name)


def _stewards(pid: int) -> list[int]:
    """The slurmstepd above a job's process."""
    found = []
    while pid > 1:
        status = Path(f"/proc/{pid}/status").read_text()
        pid = int(re.search(r"PPid:\s*(\d+)", status)[1])  # type: ignore[index]
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"slurmstepd"):
            found.append(pid)
    return found
