"""Run a command where nothing can be reached, and see what it would have looked up and kept.

In a network namespace of its own there is no network but the loopback, and the only name server is
a socket of this module that notes every question. HOME and the working directory are empty folders.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["Seen", "run_isolated", "unshared"]


_SILENCING = {
    "APPVEYOR",
    "BITBUCKET_BUILD_NUMBER",
    "BUILDKITE",
    "CI",
    "CIRCLECI",
    "CODEBUILD_BUILD_ID",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "JENKINS_URL",
    "ORT_DISABLE_TELEMETRY",
    "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI",
    "TEAMCITY_VERSION",
    "TF_BUILD",
    "TRAVIS",
}


def unshared(*kinds: str) -> list[str]:
    """Return the words that begin a command in namespaces of its own; skip where none are."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        pytest.skip("namespaces are Linux's, and need the program unshare")
    words = ["unshare", *(f"--{kind}" for kind in kinds)]
    words += [] if os.geteuid() == 0 else ["--map-root-user"]
    tried = subprocess.run([*words, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"this machine does not allow namespaces: {tried.stderr.strip()}")
    return words


@dataclass(frozen=True)
class Seen:
    """What a command did.

    Attributes:
        code: its exit code.
        output: what it printed.
        questions: host names that it asked the name server for.
        home: files in its HOME afterwards.
        work: files in its working directory afterwards.
    """

    code: int
    output: str
    questions: tuple[str, ...]
    home: tuple[str, ...]
    work: tuple[str, ...]


def run_isolated(arguments: Sequence[object], folder: Path, **environment: str) -> Seen:
    """Run a command without a network.

    Args:
        arguments: the command and its arguments.
        folder: an empty folder for HOME, the working directory and the cache.
        environment: on top of this process's.
    """
    words = unshared("net", "mount")
    home, work = folder / "home", folder / "work"
    for made in (home, work):
        made.mkdir(parents=True)
    resolver = folder / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    # What a desktop, a CI or these tests have set must not decide: in a CI, all are silent.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _SILENCING and not name.startswith("XDG_") and "proxy" not in name.lower()
    }
    kept |= {"HOME": str(home), "SWINIR_DEPLOY_CACHE": str(folder / "cache"), **environment}
    done = subprocess.run(
        [*words, sys.executable, __file__, resolver, *map(str, arguments)],
        cwd=work,
        env=kept,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    listed = (
        tuple(sorted(str(p.relative_to(top)) for p in top.rglob("*"))) for top in (home, work)
    )
    return Seen(report["code"], report["output"], tuple(report["questions"]), *listed)


# ------------------------------------------------------------------------- inside the namespaces


def _raise_loopback() -> None:
    import fcntl
    import socket
    import struct

    up, get, put = 0x1, 0x8913, 0x8914  # IFF_UP, SIOCGIFFLAGS, SIOCSIFFLAGS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, get, request))[1]
        fcntl.ioctl(control, put, struct.pack("16sh14x", b"lo", flags | up))


def _name_in(question: bytes) -> str:
    """Return the host name in a DNS message."""
    labels, at = [], 12
    while at < len(question) and question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode("ascii", "replace"))
        at += 1 + question[at]
    return ".".join(labels)


def _main(resolver: str, command: list[str]) -> None:
    import socket
    import threading
    import time

    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "--bind", resolver, "/etc/resolv.conf"], check=True)
    _raise_loopback()
    questions: list[str] = []
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def answer() -> None:
        while True:
            message, whence = server.recvfrom(4096)
            questions.append(_name_in(message))
            # No such name: an error, so that nobody waits.
            server.sendto(
                message[:2] + b"\x81\x83" + message[4:6] + bytes(6) + message[12:], whence
            )

    threading.Thread(target=answer, daemon=True).start()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    time.sleep(0.5)
    found = sorted(set(questions))
    print(json.dumps({"code": done.returncode, "output": done.stdout, "questions": found}))


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2:])
