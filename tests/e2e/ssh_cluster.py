"""A cluster of two machines on this one, from ``ray up`` to ``ray down``, with the shipped cluster.yaml.

Machines are namespaces: each has its processes, network, home, /tmp/ray and sshd, so that nothing outside is seen or
disturbed. They take their packages from this interpreter's environment; the project itself arrives over ssh and is
installed by the commands of cluster.yaml. Needs root, unshare, ip, sshd, ssh and rsync. Run it alone with

    python tests/e2e/ssh_cluster.py
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
NODES = {"head": "10.77.0.1", "worker": "10.77.0.2"}
CLIENT = "10.77.0.254"
STUDY = (
    "run table3 --categories board,screw --set epochs=1 --set map_size=48 "
    "--nodes 2 --nodes-timeout 120 --cpus-per-trial 2"
)


def missing() -> str | None:
    """Why the script cannot run here, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs Linux and root, for namespaces"
    tools = ("unshare", "nsenter", "mount", "ip", "ssh", "ssh-keygen", "rsync", "pkill")
    if absent := [tool for tool in tools if shutil.which(tool) is None]:
        return f"needs {', '.join(absent)}"
    if shutil.which("sshd") is None and not Path("/usr/sbin/sshd").exists():
        return "needs sshd"
    probe = " && ".join(
        (
            "mount --make-rprivate /",
            "mount -t tmpfs tmpfs /mnt",
            "ip link add promptad type bridge",
            "ip link add one type veth peer name two",
        )
    )
    tried = subprocess.run([*NAMESPACES, "sh", "-c", probe], capture_output=True, text=True, check=False)
    return f"may not create namespaces here: {tried.stderr.strip()}" if tried.returncode else None


NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc")


class Lab:
    """The machines, and what a user does at a terminal beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.began = time.monotonic()
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:5.1f} s] {text}", flush=True)

    def prepare(self) -> None:
        """Keys, accounts and homes; then the network and the machines."""
        lab = self.folder
        for name in ("client/.ssh", "client/tmp", "home", "nodes/head"):
            (lab / name).mkdir(parents=True)
        for key in (lab / "client/.ssh/id_ed25519", lab / "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        # A copy of the whole folder: a file mounted over another vanishes when the other is replaced.
        shutil.copytree("/etc", lab / "etc", symlinks=True, ignore_dangling_symlinks=True)
        home = f"root:x:0:0:root:{lab}/home:/bin/bash"
        _edit(lab / "etc/passwd", r"^root:.*$", home)
        # An account with '!' is locked for keys too.
        _edit(lab / "etc/shadow", r"^root:[^:]*:", "root:*:")
        (lab / "etc/hosts").write_text(
            "127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in NODES.items())
        )
        (lab / "sshd_config").write_text(
            f"Port 22\nHostKey {lab}/host_key\nAuthorizedKeysFile {lab}/client/.ssh/id_ed25519.pub\n"
            "StrictModes no\nUsePAM no\nPermitRootLogin yes\nMaxSessions 50\nMaxStartups 50\nPrintMotd no\n"
        )
        self._environment(lab / "nodes" / "head")
        shutil.copytree(lab / "nodes" / "head", lab / "nodes" / "worker", symlinks=True)
        mount_private = "mount --make-rprivate / && mkdir -p /tmp/ray && mount -t tmpfs tmpfs /tmp/ray"
        for command in (
            mount_private,
            "ip link set lo up",
            "ip link add promptad type bridge",
            f"ip address add {CLIENT}/24 dev promptad",
            "ip link set promptad up",
        ):
            subprocess.run(["sh", "-c", command], check=True)
        for name, address in NODES.items():
            self.start(name, address)

    def _environment(self, home: Path) -> None:
        """A virtual environment that sees this one's packages, but not the project: that must arrive by itself."""
        # Ray's workers are nice to others: here they would starve beside whatever else the machine does.
        (home / ".bashrc").write_text("export RAY_worker_niceness=0\n")
        (home / ".config/pip").mkdir(parents=True)
        # No network here: dependencies are present, and the project is built with what is installed.
        (home / ".config/pip/pip.conf").write_text("[global]\nno-index = true\nno-build-isolation = false\n")
        subprocess.run([sys.executable, "-m", "venv", "--copies", str(home / "promptad-venv")], check=True)
        pip = [str(home / "promptad-venv/bin/python"), "-m", "pip"]
        # Python 3.11's own is too old to build the project, and would hide this environment's.
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", "setuptools"], check=False, capture_output=True)
        site = next((home / "promptad-venv/lib").glob("python*/site-packages"))
        # A plain line, so that .pth files there (the project's own, if it is installed to be edited) do not count.
        (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
        # pip leaves out console scripts of what it did not install.
        ray = home / "promptad-venv/bin/ray"
        ray.write_text(
            f"#!{self.folder}/home/promptad-venv/bin/python\nimport sys\nfrom ray.scripts.scripts import main\n"
            "sys.exit(main())\n"
        )
        ray.chmod(0o755)

    def start(self, name: str, address: str) -> None:
        script = Path(__file__).with_name("node.sh")
        log = (self.folder / f"{name}.log").open("ab")
        node = subprocess.Popen(
            [*NAMESPACES, "bash", str(script), str(self.folder), name, address],
            stdout=log,
            stderr=log,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        self.nodes[name] = node
        init = self._init_of(node.pid)
        subprocess.run(
            ["ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", name, "netns", str(init)], check=True
        )
        subprocess.run(["ip", "link", "set", f"to-{name}", "master", "promptad", "up"], check=True)

    def inside(self, name: str) -> list[str]:
        """What to put before a command to run it on a machine."""
        return ["nsenter", "--all", "--target", str(self._init_of(self.nodes[name].pid))]

    def _init_of(self, unshare: int) -> int:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            children = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()
            if children:
                return int(children[0])
            time.sleep(0.05)
        raise TimeoutError("a node did not start")

    def user(self, command: str, *, seconds: float, expect: int = 0) -> str:
        """Run a command line as the user of the client machine; returns what it printed."""
        self.say(f"$ {command}")
        environment = {
            "HOME": str(self.folder / "client"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TMPDIR": str(self.folder / "client/tmp"),
            "LANG": "C.UTF-8",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        watchdog = threading.Timer(seconds, os.killpg, (process.pid, signal.SIGKILL))
        watchdog.start()
        lines = []
        for line in process.stdout or ():
            print(f"          | {line.rstrip()}", flush=True)
            lines.append(line)
        process.wait()
        watchdog.cancel()
        assert process.returncode == expect, f"{command}: exit code {process.returncode}, not {expect} ({seconds} s)"
        return "".join(lines)


def _edit(path: Path, pattern: str, replacement: str) -> None:
    path.write_text(re.sub(pattern, replacement, path.read_text(), flags=re.MULTILINE))


def story(lab: Lab) -> None:
    """What the documentation promises, in its order."""
    text = (ROOT / "cluster.yaml").read_text()
    for placeholder, value in (
        ("HEAD_ADDRESS", NODES["head"]),
        ("WORKER_ADDRESS", NODES["worker"]),
        ("USER_NAME", "root"),
        # ssh looks ~ up in the accounts, where root's home is another machine's.
        ("~/.ssh/id_ed25519", f"{lab.folder}/client/.ssh/id_ed25519"),
    ):
        assert placeholder in text, f"cluster.yaml has no {placeholder}"
        text = text.replace(placeholder, value)
    config = lab.folder / "cluster.yaml"
    config.write_text(text)
    lab.user("ray get-auth-token --generate > /dev/null", seconds=60)
    lab.user(f"ray up --yes {config}", seconds=240)
    digest = lab.user("python study/run.py digest", seconds=60).split()[-1]
    where = lab.user(f"""ray exec {config} 'cd / && python -c "import study; print(study.__file__)"'""", seconds=60)
    assert "/home/promptad-venv/lib/" in where, "the project was not installed on the head"

    submit = f"ray submit {config} study/run.py --"
    first = lab.user(f"{submit} {STUDY} --seeds 1 --code {digest}", seconds=600)
    assert "connected to the Ray cluster" in first
    assert "going on with" not in first, "the worker did not join"
    planned = int(found(r"(\d+) cells planned, 0 need no work", first))

    again = lab.user(f"{submit} {STUDY} --seeds 1 --code {digest}", seconds=300)
    found(rf"{planned} cells planned, {planned} need no work, 0 to run", again)
    skewed = lab.user(f"{submit} {STUDY} --seeds 1 --code 0123456789abcdef", seconds=300, expect=1)
    found(f"--code asks for 0123456789abcdef, but the packages in use, .*promptad-venv.* are {digest}", skewed)

    killer = threading.Thread(target=kill_raylet_after_rows, args=(lab, planned + 3))
    killer.start()
    third = lab.user(f"{submit} {STUDY} --seeds 2 --code {digest}", seconds=600)
    killer.join()
    found(rf"{2 * planned} cells planned, {planned} need no work, {planned} to run", third)
    last = lab.user(f"{submit} {STUDY} --seeds 2 --code {digest}", seconds=300)
    found(rf"{2 * planned} cells planned, {2 * planned} need no work, 0 to run", last)
    rows = rows_of(lab)
    assert len(rows) == 2 * planned, f"{len(rows)} rows"
    assert {row["status"] for row in rows} == {"ok"}, "cells failed"
    hosts = sorted({row["provenance"]["host"] for row in rows})
    lab.say(f"{len(rows)} rows, computed on {' and '.join(hosts)}")
    assert hosts == ["head", "worker"], "a machine did no work"

    lab.user(f"ray rsync-down {config} results/report/ {lab.folder}/client/report/", seconds=60)
    assert (lab.folder / "client/report/index.html").is_file()
    lab.user(f"ray down --yes {config}", seconds=300)
    assert not raylets(lab, "head"), "Ray still runs on the head"


def found(pattern: str, text: str) -> str:
    """The first group (or all) of what ``pattern`` finds in ``text``."""
    match = re.search(pattern, text)
    assert match is not None, f"nothing matches {pattern!r}"
    return match.group(match.re.groups and 1)


def rows_of(lab: Lab) -> list[dict[str, Any]]:
    """The study's rows, as they lie in the head's home."""
    sys.path[:0] = [each for each in (str(ROOT), str(ROOT / "tests")) if each not in sys.path]
    from helpers.stored_rows import stored_rows

    return list(stored_rows(lab.folder / "nodes/head/results").values())


def raylets(lab: Lab, name: str) -> list[int]:
    """Process numbers, in that machine, of its raylets."""
    listed = subprocess.run([*lab.inside(name), "pgrep", "-f", "raylet/raylet"], capture_output=True, check=False)
    return [int(number) for number in listed.stdout.split()]


def kill_raylet_after_rows(lab: Lab, count: int) -> None:
    """SIGKILL the worker's raylet once there are ``count`` rows."""
    deadline = time.monotonic() + 200
    while len(rows_of(lab)) < count and time.monotonic() < deadline:
        time.sleep(0.1)
    for number in raylets(lab, "worker"):
        subprocess.run([*lab.inside("worker"), "kill", "-9", str(number)], check=True)
        lab.say(f"killed the worker's raylet (process {number}) at {len(rows_of(lab))} rows")


def main() -> int:
    """Enter own namespaces, run the story there, and leave nothing behind."""
    if (reason := missing()) is not None:
        print(f"skipped: {reason}")
        return 0
    if os.environ.get("PROMPTAD_LAB") is None:
        with tempfile.TemporaryDirectory(prefix="promptad-lab-") as folder:
            inside = [*NAMESPACES, sys.executable, str(Path(__file__).resolve())]
            return subprocess.run(inside, env={**os.environ, "PROMPTAD_LAB": folder}, check=False).returncode
    lab = Lab(Path(os.environ["PROMPTAD_LAB"]))
    lab.prepare()
    try:
        story(lab)
    finally:
        for node in lab.nodes.values():
            node.kill()
    lab.say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
