"""The file format of engines for the back end ``cuda``: read back, and every damage refused."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swinir_deploy.artifacts.cuda_engine import (
    Architecture,
    CudaEngine,
    Kernel,
    PackedTensor,
    Parameter,
    is_cuda_engine,
    read_cuda_engine,
    write_cuda_engine,
)
from swinir_deploy.artifacts.launch_program import (
    Expression,
    LaunchStep,
    Place,
    Program,
    Repeat,
    Weight,
    ceil_div,
    larger,
    select,
)
from swinir_deploy.errors import ArtifactError

BATCH, HEIGHT, WIDTH = map(Expression, ("batch", "picture_height", "picture_width"))
CUBIN = b"\x7fELF" + bytes(14) + (190).to_bytes(2, "little") + b" half_kernel " + bytes(100)


def small_engine() -> CudaEngine:
    """Two launches, one of them repeated, and two weights; nothing that could be run."""
    pointer = Parameter("source", "pointer"), Parameter("result", "pointer")
    kernel = Kernel(
        "half",
        "half_kernel",
        {"CHANNELS": 64},
        (*pointer, Parameter("rows", "i32"), Parameter("eps", "f32"), Parameter("w", "pointer")),
        warps=4,
        shared_bytes=1024,
        registers=32,
        spill_bytes=0,
        cubin=CUBIN,
    )
    rows = Expression("rows")

    def launch(source: str, result: str, number: Any) -> LaunchStep:
        arguments = {
            "source": Place(source, 0),
            "result": Place(result, rows * 64 if result == "arena" else 0),
            "rows": number,
            "eps": 1e-5,
            "w": Weight("b"),
        }
        return LaunchStep("0", (ceil_div(rows, 16), 2), arguments, {"CHANNELS": 64}, "edge")

    program = Program(
        definitions=(("rows", BATCH * HEIGHT), ("small", select(rows, 1, 0))),
        steps=(
            launch("input", "arena", rows),
            Repeat(
                ceil_div(HEIGHT, 8),
                "band",
                (("first", Expression("band") * 8),),
                (launch("arena", "output", larger(Expression("first"), 3)),),
            ),
        ),
        arena_elements=rows * 128,
        output_shape=(BATCH, 3, HEIGHT * 2, WIDTH * 2),
    )
    return CudaEngine(
        io="tensor",
        half="fp16",
        tensors=(
            PackedTensor("a", "fp16", (3, 5), 0),
            PackedTensor("b", "fp32", (7,), 256),
        ),
        weights=bytes(range(256)) + bytes(28),
        architectures={"sm80": Architecture((kernel,), program)},
        compiler="Triton 3.6.0",
    )


def changed(content: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Return the file with another manifest and the right hash of it."""
    header = struct.Struct("<8sIIQ32s8x")
    magic, version, size, length, _ = header.unpack_from(content)
    manifest = json.loads(content[size : size + length])
    change(manifest)
    text = json.dumps(manifest).encode()
    assert len(text) <= length + 4096
    if len(text) > length:  # the sections would move
        pytest.fail("the changed manifest does not fit")
    text = text.ljust(length, b" ")
    digest = hashlib.sha256(text).digest()
    return header.pack(magic, version, size, length, digest) + text + content[size + length :]


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    engine = small_engine()
    path = tmp_path / "x.engine"
    path.write_bytes(write_cuda_engine(engine))
    assert read_cuda_engine(path) == engine
    assert is_cuda_engine(path)
    assert not is_cuda_engine(tmp_path / "missing")


def test_the_layout_is_as_documented() -> None:
    """By hand, from the bytes alone."""
    content = write_cuda_engine(small_engine())
    assert content[:8] == b"SWINIRCU"
    version, header, length = struct.unpack_from("<IIQ", content, 8)
    assert (version, header) == (1, 64)
    manifest = content[64 : 64 + length]
    assert hashlib.sha256(manifest).digest() == content[24:56]
    assert (64 + length) % 256 == 0
    values = json.loads(manifest)
    place = values["weights"]
    weights = content[place["offset"] : place["offset"] + place["size"]]
    assert place["offset"] % 256 == 0
    assert hashlib.sha256(weights).hexdigest() == place["sha256"]
    assert weights == small_engine().weights
    step = values["architectures"]["sm80"]["program"]["steps"][0]
    assert step["grid"] == [["rows", 16, "ceil"], 2]
    assert step["arguments"] == [
        ["input"],
        ["arena", ["rows", 64, "*"]],
        ["i32", ["rows"]],
        ["f32", 1e-5],
        ["weight", 1],
    ]


def test_the_program_is_evaluated() -> None:
    program = read_cuda_engine(write_cuda_engine(small_engine())).architectures["sm80"].program
    plan = program.plan(2, 20, 5)
    assert plan.output_shape == (2, 3, 40, 10)
    assert plan.arena_elements == 40 * 128
    assert [launch.arguments["rows"] for launch in plan.launches] == [40, 3, 8, 16]
    assert plan.launches[0].grid == (3, 2)


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("io",), "bytes", "io"),
        (("weights", "offset"), 1 << 40, "outside"),
        (("weights", "offset"), 0, "outside"),
        (("weights", "size"), -1, "outside"),
        (("weights", "sha256"), "0" * 64, "SHA-256"),
        (("tensors", 0, "offset"), 255, "does not lie"),
        (("tensors", 0, "shape"), [3, 10**9], "does not lie"),
        (("tensors", 0, "shape"), [], "does not lie"),
        (("tensors", 1, "name"), "a", "two weights"),
        (("tensors", 0, "dtype"), "fp64", "dtype"),
        (("architectures",), {}, "no architecture"),
        (("architectures", "sm80", "kernels", 0, "warps"), 3, "3 warps"),
        (("architectures", "sm80", "kernels", 0, "shared_bytes"), 1 << 20, "1048576 bytes"),
        (("architectures", "sm80", "kernels", 0, "entry"), "other", "no function"),
        (("architectures", "sm80", "kernels", 0, "entry"), "a b", "no function"),
        (("architectures", "sm80", "program", "steps", 0, "kernel"), 1, "no kernel"),
        (("architectures", "sm80", "program", "steps", 0, "kernel"), True, "no kernel"),
        (("architectures", "sm80", "program", "steps", 0, "grid"), [], "0 axes"),
        (("architectures", "sm80", "program", "steps", 0, "grid"), [["x"]], "unknown name"),
        (("architectures", "sm80", "program", "steps", 0, "grid"), [["+"]], "operand"),
        (("architectures", "sm80", "program", "steps", 0, "grid"), [[1, 2]], "one value"),
        (("architectures", "sm80", "program", "steps", 0, "grid"), [["band"]], "unknown name"),
        (("architectures", "sm80", "program", "steps", 0, "arguments"), [], "5 arguments"),
        (("architectures", "sm80", "program", "steps", 0, "arguments", 0), ["i32", 1], "source"),
        (("architectures", "sm80", "program", "steps", 0, "arguments", 2), ["f32", 1.5], "rows"),
        (("architectures", "sm80", "program", "steps", 0, "arguments", 4), ["weight", 2], "'w'"),
        (("architectures", "sm80", "program", "steps", 1, "index"), "rows", "new name"),
        (("architectures", "sm80", "program", "steps", 1, "index"), "max", "new name"),
        (("architectures", "sm80", "program", "definitions", 0, 0), "batch", "new name"),
        (("architectures", "sm80", "program", "arena_elements"), 1.5, "no number"),
        (("architectures", "sm80", "program", "arena_elements"), 2**63, "no number"),
    ],
)
def test_a_wrong_manifest_is_refused(where: tuple[Any, ...], value: Any, words: str) -> None:
    """Also where its hash is right: by whoever wrote it."""

    def change(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        for step in where[:-1]:
            place = place[step]
        place[where[-1]] = value

    with pytest.raises(ArtifactError, match=words):
        read_cuda_engine(changed(write_cuda_engine(small_engine()), change), "x.engine")


def test_code_for_another_machine_is_refused() -> None:
    engine = small_engine()
    kernel = engine.architectures["sm80"].kernels[0]
    for cubin in (b"", b"half_kernel" * 10, b"\x7fELF" + bytes(14) + b"\x3e\x00 half_kernel"):
        wrong = Architecture((replace(kernel, cubin=cubin),), engine.architectures["sm80"].program)
        content = write_cuda_engine(replace(engine, architectures={"sm80": wrong}))
        with pytest.raises(ArtifactError, match="machine code"):
            read_cuda_engine(content)


def test_a_newer_version_says_so() -> None:
    content = bytearray(write_cuda_engine(small_engine()))
    content[8] = 2
    with pytest.raises(ArtifactError, match=r"version 2 of the format.*reads version 1"):
        read_cuda_engine(bytes(content))


@pytest.mark.parametrize("content", [b"", b"SWINIRCU", b"ONNX" * 40, b"SWINIRCU" + bytes(60)])
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError):
        read_cuda_engine(content, "x.engine")


def test_every_mutation_is_read_or_refused() -> None:
    """10,000 of them: bytes changed, parts cut, doubled and exchanged."""
    whole = write_cuda_engine(small_engine())
    length = struct.unpack_from("<Q", whole, 16)[0]
    used = len(whole[64 : 64 + length].rstrip())
    generator = random.Random(5)
    refused = 0
    for turn in range(10_000):
        content = bytearray(whole)
        kind = turn % 5
        place = generator.randrange(64 + used if kind else len(content))
        if kind in (0, 1):
            content[place] ^= 1 << generator.randrange(8)
        elif kind == 2:
            del content[place:]
        elif kind == 3:
            content[place:place] = content[: generator.randrange(64)]
        else:
            content[place] = generator.randrange(256)
        if kind and turn % 2:  # with the right hash: what is wrong must be seen itself
            content[24:56] = hashlib.sha256(content[64 : 64 + length]).digest()
        try:
            engine = read_cuda_engine(bytes(content), "x.engine")
        except ArtifactError:
            refused += 1
            continue
        for architecture in engine.architectures.values():
            try:
                architecture.program.plan(1, 9, 9)
            except (ArtifactError, ValueError):
                refused += 1
    assert refused > 7_000
