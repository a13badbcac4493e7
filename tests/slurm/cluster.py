"""A Slurm cluster on this machine: munged, slurmctld and two slurmd on loopback, in one folder.

`python -m tests.slurm.cluster` starts one for a shell, and ends it with the shell.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

REPOSITORY = Path(__file__).parents[2]
DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "scancel", "scontrol", "sinfo", "srun")
NODES = ("n1", "n2")

# What each node claims to have, so that jobs do not wait for each other; any device passes for a
# GPU where no control group guards it
_RESOURCES = "CPUs=8 RealMemory=64000 Gres=gpu:2"
_GPUS = ("/dev/null", "/dev/zero")

# Wall-clock time for daemons to start and to end, and between two looks [s]
_START, _END, _GUARD_LIMIT, LOOK = 60.0, 10.0, 60.0, 0.1

# States in which a job has ended
_ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL")

# Traces of launchers and jobs around us, which jobs must not inherit
_FOREIGN = ("PMI_", "PMIX_", "OMPI_COMM", "SLURM", "SBATCH", "SIMCORE")

# Waits until this process ends, in whatever way, and then kills what is left of daemons and jobs
_GUARD = """
read -r
for place in /proc/[0-9]*; do
    grep -qzxF "SLURM_CONF=$1/slurm.conf" "$place/environ" && kill -KILL "${place##*/}"
done
rm -rf "$1"
"""

_CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
FirstJobId={first_job}
SlurmdTimeout=300
SlurmdParameters=config_overrides
MailProg=/bin/true
KillWait=5
SchedulerParameters=batch_sched_delay=1,sched_interval=5
GresTypes=gpu
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} {resources}
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} {resources}
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def lack_of_slurm() -> str | None:
    """Say what is missing to start a cluster, None if nothing is."""
    missing = [name for name in (*DAEMONS, *COMMANDS) if find(name) is None]
    if missing:
        return f"needs {', '.join(missing)}: apt-get install slurm-wlm munge"
    return None


def find(name: str) -> str | None:
    """Return the path of a program, also of those that only root has on its path."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Cluster:
    """Two nodes on loopback; leaving the context ends all jobs and daemons.

    Parameters
    ----------
    site : path
        The site file that is sourced before jobs are submitted.

    Attributes
    ----------
    folder : Path
        Where the daemons keep their files.
    environment : dict of str to str
        With which commands reach the cluster.
    """

    def __init__(self, site: Path = REPOSITORY / "slurm/site.sh") -> None:
        self.site = site
        # Sockets take short paths only
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self._daemons: list[subprocess.Popen[bytes]] = []
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
        self.environment = kept | {"SLURM_CONF": str(self.folder / "slurm.conf")}
        self._guard = subprocess.Popen(
            ["bash", "-c", _GUARD, "guard", str(self.folder)], env=kept, stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> Cluster:
        try:
            self._configure()
            self._start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def call(self, *command: str | os.PathLike[str], folder: Path | None = None) -> str:
        """Run a command on the cluster and return what it printed; raise when it fails."""
        done = subprocess.run(
            command, cwd=folder, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def sourced(self, *command: str, folder: Path) -> str:
        """Run a command after the site file was sourced, as a user does on a login node."""
        text = f"source {shlex.quote(str(self.site))} && {shlex.join(command)}"
        return self.call("bash", "-c", text, folder=folder)

    def submit(self, *arguments: str, folder: Path) -> str:
        """Submit a script of slurm/, given its name among options of sbatch and its arguments.

        Returns
        -------
        str
            The number of the job.
        """
        scripts = {path.name: str(path) for path in (REPOSITORY / "slurm").glob("*.sbatch")}
        named = [scripts.get(argument, argument) for argument in arguments]
        return self.sourced("sbatch", "--parsable", *named, folder=folder).strip()

    def finished(self, job_id: str, limit: float = 240.0) -> dict[str, str]:
        """Wait for the end of a job, at most so long [s]; return what Slurm knows of it."""
        wait_for(
            lambda: self.job(job_id)["JobState"] in _ENDED, limit, f"job {job_id}",
            lambda: f"{self.job(job_id)}\n{self.log(job_id)}\n{self._logs()}",
        )  # fmt: skip
        return self.job(job_id)

    def hurry(self, job_id: str) -> None:
        """Let a job that is requeued begin soon; Slurm would hold it for two minutes.

        Not at once: slurmd takes a start in the seconds after the kill for the old one.
        """
        wait_for(lambda: self.job(job_id)["Restarts"] != "0", 60.0, f"the requeue of {job_id}",
                 lambda: self.log(job_id))  # fmt: skip

        def is_hurried() -> bool:
            with contextlib.suppress(RuntimeError):
                self.call("scontrol", "update", f"JobId={job_id}", "StartTime=now+5")
                return True
            return False

        wait_for(is_hurried, 30.0, f"job {job_id} to be pending")

    def log(self, job_id: str) -> str:
        """Return what a job has printed."""
        path = Path(self.job(job_id)["StdOut"])
        return path.read_text(errors="replace") if path.exists() else ""

    def job(self, job_id: str) -> dict[str, str]:
        """Return what Slurm knows of a job, by name, such as "JobState"."""
        words = self.call("scontrol", "show", "job", "--oneliner", job_id).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def end(self) -> None:
        """End all jobs and daemons, and remove the folder."""
        with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired, TimeoutError):
            self._cancel_all()
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            try:
                daemon.wait(_END)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._guard.communicate(timeout=_GUARD_LIMIT)

    def _configure(self) -> None:
        user = pwd.getpwuid(os.geteuid()).pw_name
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o600)
        # MPICH names shared memory after the job: the numbers must not be those of killed jobs of
        # another cluster on this machine, whose memory may still be there
        first_job = 1000 + secrets.randbelow(10_000_000)
        text = _CONFIGURATION.format(
            first_job=first_job,
            user=user,
            folder=self.folder,
            ports=_free_ports(3),
            resources=_RESOURCES,
        )
        (self.folder / "slurm.conf").write_text(text)

        lines = [f"Name=gpu File={device}\n" for device in _GPUS]
        (self.folder / "gres.conf").write_text("AutoDetect=off\n" + "".join(lines))

    def _start(self) -> None:
        folder = self.folder
        munge = [
            "--foreground", "--force", f"--socket={folder}/munge.socket",
            f"--key-file={folder}/munge.key", f"--log-file={folder}/munged.log",
            f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munge.seed",
        ]  # fmt: skip
        self._start_daemon("munged", *munge)
        wait_for(lambda: (folder / "munge.socket").exists(), _START, "munged", self._logs)
        self._start_daemon("slurmctld", "-D", "-f", str(folder / "slurm.conf"))
        for node in NODES:
            self._start_daemon("slurmd", "-D", "-N", node, "-f", str(folder / "slurm.conf"))
        wait_for(self._is_idle, _START, "idle nodes", self._logs)

    def _start_daemon(self, name: str, *arguments: str) -> None:
        number = len(self._daemons)
        with (self.folder / f"daemon-{number}.out").open("wb") as output:
            self._daemons.append(
                subprocess.Popen(
                    [find(name) or name, *arguments], env=self.environment,
                    stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )  # fmt: skip

    def _is_idle(self) -> bool:
        with contextlib.suppress(RuntimeError):
            return self.call("sinfo", "--noheader", "--Node", "--format=%T").split() == ["idle"] * 2
        return False

    def _cancel_all(self) -> None:
        if self._daemons and all(daemon.poll() is None for daemon in self._daemons):
            self.call(
                "scancel", "--full", "--signal=KILL", "--state=RUNNING", "--user", str(os.geteuid())
            )
            self.call("scancel", "--user", str(os.geteuid()))
            wait_for(
                lambda: not self.call("squeue", "--noheader").strip(), _END, "the end of all jobs"
            )

    def _logs(self) -> str:
        files = sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")])
        return "\n".join(f"{path.name}:\n{path.read_text(errors='replace')}" for path in files)


def wait_for(
    condition: Callable[[], bool], limit: float, what: str, tell: Callable[[], str] = str
) -> None:
    """Look again and again until a condition holds; raise `TimeoutError` after a time [s]."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {limit:g} s for {what}\n{tell()}")
        time.sleep(LOOK)


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def main() -> int:
    """Start a cluster, a shell on it, and end the cluster with the shell."""
    if lack := lack_of_slurm():
        print(lack, file=sys.stderr)
        return 1
    with Cluster() as cluster:
        print(f"two nodes, {' and '.join(NODES)}, until this shell ends", file=sys.stderr)
        shell = os.environ.get("SHELL", "/bin/bash")
        return subprocess.run(
            sys.argv[1:] or [shell], env=cluster.environment, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
