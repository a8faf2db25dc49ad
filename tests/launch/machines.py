"""A checkout with stand-ins on PATH for what sets up, bills money or needs a cluster.

Each stand-in writes its words to a file and does the least that the scripts need: gcloud's `ssh` runs its
command in a directory that plays the machine's home, `scp` copies, python's `-m venv` makes an environment of itself.
Where the variable FAIL names an action, that fails half-way.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
WORD, CALL = "\037", "\036"  # what ends them in the file of calls: no word has these

PYTHON = """
case "${1:-} ${2:-}" in
    "-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
    "-m clusterlm_jax.main")
        echo "JAX_PLATFORMS=$JAX_PLATFORMS" > "$CLOUD/platform"
        case " $* " in *" --help "*) exit ;; esac
        mkdir -p runs/synthetic; echo row >> runs/synthetic/rows
        while [ -e "$CLOUD/hold" ]; do sleep .05; done
        echo "the job's last line"
        exit "$(cat "$CLOUD/code" 2> /dev/null || echo 0)" ;;
esac
"""

GCLOUD = """
kind=$3 action=$4 name=$5
case $action in
    create)
        mkdir -p "$CLOUD/home"
        case " $* " in *" --labels=launcher=clusterlm_jax "*) echo clusterlm_jax ;; esac > "$CLOUD/$kind" ;;
    describe)
        case "$*" in
            *state.state*) echo "$(head -n 1 "$CLOUD/states")"; sed -i 1d "$CLOUD/states" ;;
            *) cat "$CLOUD/$kind" ;; # there is none: an error
        esac ;;
    delete) rm "$CLOUD/$kind" ;;
    scp)
        from=${5/#$name:/} to=${6/#*:/$CLOUD/home/}
        case $5 in *:*) from=$CLOUD/home/${5#*:} ;; esac
        [ "$FAIL" = scp ] || cp "$from" "$to" ;;
    ssh)
        for word in "$@"; do case $word in --command=*) command=${word#--command=} ;; esac; done
        cd "$CLOUD/home" && HOME=$PWD bash -c "$command" 3>&- ;; # as over a network, of the descriptors only three
esac || exit
[ "$FAIL" != "$action" ]
"""

SBATCH = """
while [ "$1" != launch/slurm_task.sh ]; do shift; done
SLURM_JOB_ID=7 SLURM_CPUS_PER_TASK=4 bash "$@"
"""

SRUN = """
echo "$SRUN_CPUS_PER_TASK" > "$CLOUD/processors"
exec "$@"
"""

# `docker run ... clusterlm_jax[:gpu] FLAGS` does what the image's entry point says, in the checkout.
DOCKER = """
case $1 in
    build) test -f "$3" ;;
    run)
        MACHINE=local
        while case $1 in clusterlm_jax*) false ;; esac do shift; done
        case $1 in *:gpu) MACHINE=gpu ;; esac
        shift
        export MACHINE
        exec ENTRYPOINT "$@" ;;
esac
"""

# `sky launch ... --env FLAGS=...` does what the task says, in the checkout.
SKY = """
while [ $# -gt 0 ]; do case $1 in FLAGS=*) export "$1" ;; esac; shift; done
bash -c SETUP && bash -c RUN
"""


class Checkout:
    """The launch scripts of this repository in a directory of their own.

    Attributes:
      path: of the checkout.
      cloud: what gcloud's stand-in has: a file for each resource, `home` of the machine; and `hold`, which keeps the
        main job from ending while it is there, and `code`, what it ends with.
    """

    def __init__(self, directory: Path) -> None:
        self.path, self.cloud = directory / "checkout", directory / "cloud"
        self._calls, self._programs = directory / "calls", directory / "bin"
        for folder in (self.path, self.cloud, self._programs):
            folder.mkdir()
        shutil.copytree(ROOT / "launch", self.path / "launch")
        for file in ROOT.glob("requirements*"):
            shutil.copy(file, self.path)
        self.stand_in("nvidia-smi", "")
        self.stand_in("python3", PYTHON)
        self.stand_in("gcloud", GCLOUD)
        self.stand_in("sbatch", SBATCH)
        self.stand_in("srun", SRUN)
        self.stand_in("scontrol", "")
        task = yaml.safe_load((ROOT / "launch" / "sky.yaml").read_text())
        phases = {name.upper(): shlex.quote(task[name]) for name in ("setup", "run")}
        self.stand_in("sky", SKY.replace("SETUP", phases["SETUP"]).replace("RUN", phases["RUN"]))
        self.stand_in("docker", DOCKER.replace("ENTRYPOINT", shlex.join(entry_point())))

    def stand_in(self, name: str, script: str) -> None:
        """Puts a program on PATH that writes its words down, then does what a script says."""
        recorded = r"""(IFS=$'\037'; printf '%s\036' "${0##*/}$IFS$*" >> "$CALLS")""" + "\n"
        program = self._programs / name
        program.write_text(f"#!/usr/bin/env bash\n{recorded}{script}")
        program.chmod(0o755)

    def environment(self, **variables: str) -> dict[str, str]:
        standing = {"PATH": f"{self._programs}:{os.environ['PATH']}", "CALLS": str(self._calls), "FAIL": ""}
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("TPU_", "SLURM_"))}
        return outside | standing | {"CLOUD": str(self.cloud), "PYTHON": "python3"} | variables

    def start(self, command: str, **variables: str) -> subprocess.Popen:
        """Starts a line of bash in the checkout, in a session of its own."""
        given = ["bash", "-euc", command]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        surroundings = self.environment(**variables)
        return subprocess.Popen(given, cwd=self.path, env=surroundings, start_new_session=True, **pipes)

    def run(self, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs a line of bash in the checkout to its end."""
        process = self.start(command, **variables)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def calls(self, program: str = "") -> list[list[str]]:
        """The words of every call so far, of one program or of all; `python` is that of an environment."""
        every = self._calls.read_text() if self._calls.exists() else ""
        found = [call.rstrip(WORD).split(WORD) for call in every.split(CALL)[:-1]]
        return [words for words in found if words[0].startswith(program)]

    def main_jobs(self) -> list[list[str]]:
        """The flags of every main job that was begun."""
        begun = ["python", "-m", "clusterlm_jax.main"]
        return [words[3:] for words in self.calls("python") if words[:3] == begun and "--help" not in words]


def entry_point() -> list[str]:
    """What a container of launch/Dockerfile runs."""
    return json.loads(re.search(r"^ENTRYPOINT (.*)$", (ROOT / "launch" / "Dockerfile").read_text(), re.MULTILINE)[1])
