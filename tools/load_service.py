"""Load a service with many clients, compare every result, and disturb it meanwhile.

    python tools/load_service.py [--clients 64] [--pictures 2000] [--model tiny-sr-x2] [-o FILE]

Makes pictures of mixed size, restores each kind once as a folder by ``swinir-deploy restore``, and
starts ``swinir-deploy serve`` in a process of its own. All clients then send pictures as fast as
they get answers; each result must be the file that ``restore`` wrote, byte by byte. Meanwhile a
further client sends slowly, cuts its bodies and goes away. Prints a table: latencies, memory of the
service in each quarter, and the throughput beside that of ``restore`` on a folder of the same
pictures. Needs the extra ``serve``.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SIDES = ((24, 32), (48, 48), (64, 40), (96, 120), (33, 57), (160, 128))
SUFFIXES = (".png", ".jpg", ".tif", ".webp")
PROGRAM = (sys.executable, "-m", "swinir_deploy")


@dataclass
class Load:
    """What the clients share.

    Attributes:
        port: of the service.
        bodies: name -> picture.
        wanted: name -> result.
        names: what is still to be sent.
    """

    port: int
    bodies: dict[str, bytes]
    wanted: dict[str, bytes]
    names: list[str]
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_over: threading.Event = field(default_factory=threading.Event)

    def client(self) -> None:
        """Send pictures over one connection until none is left; 429 is tried again."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        while True:
            with self.lock:
                if not self.names:
                    break
                name = self.names.pop()
            began = time.perf_counter()
            while True:
                connection.request("POST", "/v1/restore", self.bodies[name])
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 429:
                    break
                with self.lock:
                    self.refused += 1
                time.sleep(0.05)
            with self.lock:
                self.seconds.append(time.perf_counter() - began)
                self.statuses[answer.status] += 1
                if body != self.wanted[name]:
                    self.wrong.append(f"{name}: {answer.status} {body[:200]!r}")
        connection.close()

    def disturb(self, seed: int) -> None:
        """Send slowly, in halves, damaged, and go away."""
        chance = random.Random(seed)
        head = "POST /v1/restore HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n"
        while not self.is_over.is_set():
            body = bytearray(self.bodies[chance.choice(sorted(self.bodies))])
            kind = chance.choice(("cut", "gone", "slow", "damaged"))
            with socket.create_connection(("127.0.0.1", self.port), timeout=60) as stream:
                stream.sendall(head.format(len(body)).encode())
                if kind == "damaged":
                    for _ in range(8):
                        body[chance.randrange(len(body))] = chance.randrange(256)
                if kind == "cut":
                    stream.sendall(body[: len(body) // 2])
                    continue
                if kind == "slow":
                    for start in range(0, len(body), max(1, len(body) // 4)):
                        stream.sendall(body[start : start + max(1, len(body) // 4)])
                        self.is_over.wait(0.1)
                else:
                    stream.sendall(body)
                if kind != "gone":
                    status = int(stream.recv(64).split()[1])
                    with self.lock:
                        self.statuses[-status] += 1
            self.is_over.wait(0.02)


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


def make_pictures(folder: Path, copies: int) -> list[Path]:
    """Write pictures of every size and format, and ``copies`` of each for a folder's time."""
    made = []
    for number, (height, width) in enumerate(SIDES):
        rng = np.random.default_rng(number)
        small = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
        picture = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        for suffix in SUFFIXES:
            for copy in range(copies):
                path = folder / f"{number}-{copy}{suffix}"
                picture.save(path)
                made.append(path)
    return made


def main() -> None:
    """Read the command line, load a service, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--model", default="tiny-sr-x2")
    parser.add_argument("--disturbing", type=int, default=2, help="clients that misbehave")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        report = measure(Path(name), options)
    print(json.dumps(report, indent=1))
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    sound = not report["wrong"] and report["lost"] == 0 and not report["server_errors"]
    sys.exit(0 if sound else 1)


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run everything in a folder, and return the figures."""
    kinds = len(SIDES) * len(SUFFIXES)
    (folder / "in").mkdir()
    pictures = make_pictures(folder / "in", -(-options.pictures // kinds))
    base = [*PROGRAM, "restore", folder / "in", folder / "out", "--model", options.model, "-q"]
    began = time.perf_counter()
    subprocess.run([*map(str, base), "--json"], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    folder_s = time.perf_counter() - began
    first = [path for path in pictures if "-0." in path.name]
    bodies = {path.name: path.read_bytes() for path in first}
    wanted = {path.name: (folder / "out" / path.name).read_bytes() for path in first}

    words = [*PROGRAM, "serve", options.model, "--port", "0", "-q"]
    port = free_port()
    words[words.index("0")] = str(port)
    server = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        wait_until_ready(port)
        names = (sorted(bodies) * (-(-options.pictures // kinds)))[: options.pictures]
        random.Random(1).shuffle(names)
        load = Load(port, bodies, wanted, names)
        clients = [threading.Thread(target=load.client) for _ in range(options.clients)]
        others = [
            threading.Thread(target=load.disturb, args=(seed,))
            for seed in range(options.disturbing)
        ]
        memory: list[float] = []
        began = time.perf_counter()
        for thread in (*clients, *others):
            thread.start()
        while any(thread.is_alive() for thread in clients):
            memory.append(memory_mb(server.pid))
            time.sleep(0.2)
        served_s = time.perf_counter() - began
        load.is_over.set()
        for thread in others:
            thread.join()
    finally:
        server.terminate()
        code = server.wait(60)
    quarters = [
        statistics.median(memory[len(memory) * n // 4 : len(memory) * (n + 1) // 4] or [0])
        for n in range(4)
    ]
    times = sorted(load.seconds)
    return {
        "clients": options.clients,
        "pictures": options.pictures,
        "lost": options.pictures - sum(load.statuses[s] for s in load.statuses if s > 0),
        "statuses": {str(s): n for s, n in sorted(load.statuses.items()) if s > 0},
        "statuses_of_the_disturbing": {str(-s): n for s, n in load.statuses.items() if s < 0},
        "wrong": load.wrong[:5],
        "server_errors": [s for s in load.statuses if abs(s) >= 500 and abs(s) not in (503, 504)],
        "asked_again_after_429": load.refused,
        "p50_s": round(times[len(times) // 2], 3),
        "p99_s": round(times[int(len(times) * 0.99)], 3),
        "memory_mb_by_quarter": [round(one) for one in quarters],
        "served_s": round(served_s, 2),
        "folder_s": round(folder_s, 2),
        "throughput_of_restore": round(folder_s / served_s, 3),
        "exit_code": code,
    }


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until_ready(port: int) -> None:
    """Wait until the service takes requests."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit("the service did not become ready")


if __name__ == "__main__":
    main()
