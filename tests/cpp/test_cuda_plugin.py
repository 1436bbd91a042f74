"""The plug-in ``cuda``, on a stand-in of the driver, against this package's own plan and reader."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from c_library import CLibrary, folder_of
from fake_driver import FakeDriver, Launched, fnv
from PIL import Image

from swinir_deploy.artifacts.cuda_engine import (
    Architecture,
    CudaEngine,
    Io,
    read_cuda_engine,
    write_cuda_engine,
)
from swinir_deploy.artifacts.engine import EngineMetadata, write_engine
from swinir_deploy.artifacts.launch_program import Buffer, Launch, Weight
from swinir_deploy.artifacts.metadata import ArtifactMetadata, Precision
from swinir_deploy.artifacts.shapes import ShapeProfile
from swinir_deploy.bundling import make_bundle
from swinir_deploy.errors import InputError
from swinir_deploy.models.load import LoadedModel
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.precision.plan import PrecisionPlan

pytest.importorskip("triton", reason="Triton is not installed")
from swinir_deploy.exporters.cuda.assemble import assemble_engine

BASE = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=8,
    img_range=1.0,
    depths=(2,),
    embed_dim=32,
    num_heads=(2,),
    upsampler="pixelshuffledirect",
)
WIDE = replace(BASE, embed_dim=180, num_heads=(6,))


@dataclass(frozen=True)
class Kind:
    """An engine to build."""

    config: SwinIRConfig
    precision: Precision = "fp16"
    io: Io = "tensor"


KINDS = {
    "light x2": Kind(BASE),
    "light x2, bytes, bf16": Kind(BASE, "bf16", "image"),
    "medium x4": Kind(replace(WIDE, upscale=4, upsampler="pixelshuffle")),
    "real x4": Kind(replace(BASE, upscale=4, upsampler="nearest+conv")),
    "jpeg gray, 3conv, bytes": Kind(
        replace(
            BASE,
            upscale=1,
            upsampler="",
            in_chans=1,
            window_size=7,
            img_range=255.0,
            resi_connection="3conv",
            patch_norm=False,
        ),
        "fp16",
        "image",
    ),
}
SHAPES = [(1, 16, 16), (2, 11, 13), (1, 5, 90), (3, 64, 48)]

# Compute capability, bytes of shared memory of a program, and whose code runs there.
GPUS = [((8, 6), 101376, "sm80"), ((9, 0), 232448, "sm90")]


@pytest.fixture(scope="session")
def driver() -> FakeDriver:
    return FakeDriver(folder_of("SWINIR_CPP_BUILD"))


@pytest.fixture(scope="session")
def c_cuda(driver: FakeDriver) -> CLibrary:
    return CLibrary(folder_of("SWINIR_CPP_BUILD"), "cuda", driver.path)


def built(kind: Kind) -> CudaEngine:
    torch.manual_seed(1)
    network = SwinIR(kind.config).eval().requires_grad_(False)
    model = LoadedModel(network, kind.config, None, "test", "sr", Path("test.pth"), "")
    return assemble_engine(model, PrecisionPlan(kind.precision), [80, 90], kind.io)


def written(path: Path, kind: Kind, content: bytes) -> Path:
    """The engine's file, with the sidecar that this package writes."""
    config = kind.config
    model = ArtifactMetadata(
        kind.io, config.upscale, config.in_chans, config.window_size, kind.precision
    )
    sides = (1, config.in_chans, 8, 8) if kind.io == "tensor" else (1, 8, 8, config.in_chans)
    sidecar = EngineMetadata(
        model=model,
        onnx_name="test.pth",
        onnx_sha256="0" * 64,
        flavour="cuda",
        library_version="Triton 3.6.0",
        profiles=(ShapeProfile(sides, sides, sides),),
        architectures=("sm80", "sm90"),
    )
    write_engine(path, content, sidecar)
    return path


@pytest.fixture(scope="module", params=KINDS)
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Kind, CudaEngine, Path]:
    kind = KINDS[request.param]
    made = built(kind)
    path = tmp_path_factory.mktemp("engines") / "x.engine"
    return kind, made, written(path, kind, write_cuda_engine(made))


def launched(
    launch: Launch, engine: CudaEngine, code: Architecture, addresses: dict[str, int]
) -> Launched:
    """What the driver has to be asked for."""
    kernel = code.kernels[int(launch.kernel)]
    offsets = {tensor.name: tensor.offset for tensor in engine.tensors}
    arguments = []
    for parameter in kernel.parameters:
        value = launch.arguments[parameter.name]
        if isinstance(value, Weight):
            packed = struct.pack("<Q", addresses["weights"] + offsets[value.name])
        elif isinstance(value, Buffer):
            packed = struct.pack("<Q", addresses[value.name] + 2 * value.offset)
        else:
            packed = struct.pack("<f" if parameter.kind == "f32" else "<i", value)
        arguments.append((len(packed), int.from_bytes(packed, "little")))
    x, y, z = (*launch.grid, 1, 1)[:3]
    return Launched(
        module=int(launch.kernel),
        entry=kernel.entry,
        grid=(x, y, z),
        threads=32 * kernel.warps,
        shared_bytes=kernel.shared_bytes,
        stream=1,
        arguments=(*arguments, (8, 0), (8, 0)),  # the compiler's two pointers
    )


@pytest.mark.parametrize("gpu", GPUS, ids=str)
def test_c_launches_what_the_plan_says(
    c_cuda: CLibrary,
    driver: FakeDriver,
    engine: tuple[Kind, CudaEngine, Path],
    gpu: tuple[tuple[int, int], int, str],
) -> None:
    """Kernels, grids, blocks, shared memory and every argument, by the machine code's own sizes."""
    kind, made, path = engine
    (major, minor), shared_bytes, name = gpu
    code = made.architectures[name]
    for batch, height, width in SHAPES:
        plan = code.program.plan(batch, height, width)
        machine = {"major": major, "minor": minor, "shared_bytes": shared_bytes}
        driver.reset(memory=1 << 30, **machine)
        channels = kind.config.in_chans
        shape = (batch, channels, height, width)
        if kind.io == "image":
            shape = (batch, height, width, channels)
        picture = np.zeros(shape, np.uint8 if kind.io == "image" else np.float32)
        with c_cuda.model(path) as model, c_cuda.session(model) as session:
            c_cuda.run(session, picture, plan.output_shape)
        allocated = {int(size): int(address) for _, address, size in driver.lines("alloc")}
        uploads, (download,) = driver.lines("upload"), driver.lines("download")
        (weights, weights_bytes), (source, source_bytes) = (line[1:3] for line in uploads)
        assert (int(weights_bytes), int(source_bytes)) == (len(made.weights), picture.nbytes)
        addresses = {
            "weights": int(weights),
            "input": int(source),
            "output": int(download[1]),
            "arena": allocated[2 * plan.arena_elements],
        }
        assert len(set(addresses.values())) == 4
        expected = [launched(launch, made, code, addresses) for launch in plan.launches]
        assert driver.launches() == expected
        codes = [int(line[2]) for line in driver.lines("module")]
        assert codes == [fnv(kernel.cubin[: _sections(kernel.cubin)]) for kernel in code.kernels]
        assert driver.held() == ""


def _sections(cubin: bytes) -> int:
    """Where the table of sections of an ELF file begins."""
    return int(struct.unpack_from("<Q", cubin, 0x28)[0])


def test_both_readers_agree_on_damage(c_cuda: CLibrary, driver: FakeDriver) -> None:
    """The same files are taken and refused; but C says no to numbers that no file needs, too."""
    whole = built(KINDS["light x2"])
    code = whole.architectures["sm80"]
    head = b"\x7fELF" + bytes(14) + b"\xbe\x00" + bytes(44)
    tiny = tuple(replace(kernel, cubin=head + kernel.entry.encode()) for kernel in code.kernels)
    content = write_cuda_engine(replace(whole, architectures={"sm80": replace(code, kernels=tiny)}))
    model = {"io": "tensor", "scale": 2, "in_chans": 3, "window_size": 8, "schema_version": 1}
    taken = refused = 0
    for damaged in _damaged(content, 1500):
        sidecar = {"model": model, "flavour": "cuda", "plan_bytes": len(damaged)}
        driver.reset(quiet=1)
        # The machine code is no more than a name, so nothing opens: what counts is why.
        status, why = c_cuda.open_bytes(damaged, json.dumps({**sidecar, "schema_version": 1}))
        c_takes = status != c_cuda.INVALID_MODEL
        if _python_takes(damaged):
            assert c_takes or "too large" in why or "is not JSON" in why, why
            taken += 1
        else:
            assert not c_takes
            refused += 1
    assert taken > 100
    assert refused > 500


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake")
def test_a_bundle_builds_and_runs(driver: FakeDriver, tmp_path: Path) -> None:
    """With the driver alone; the stand-in leaves on the result what its memory begins with."""
    kind = KINDS["light x2, bytes, bf16"]
    path = written(tmp_path / "x2.engine", kind, write_cuda_engine(built(kind)))
    make_bundle(path, tmp_path / "bundle", "cuda")
    prefix = folder_of("SWINIR_CPP_PREFIX")
    build = tmp_path / "build"
    pixels = np.zeros((23, 41, 3), np.uint8)
    before, after = tmp_path / "before.ppm", tmp_path / "after.ppm"
    Image.fromarray(pixels).save(before)
    for command in (
        ["cmake", "-S", tmp_path / "bundle", "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}"],
        ["cmake", "--build", build],
        [build / "restore_ppm", tmp_path / "bundle/x2.engine", before, after, driver.path],
    ):
        words = [str(word) for word in command]
        result = subprocess.run(words, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
    found = np.array(Image.open(after))
    assert found.shape == (46, 82, 3)
    assert (found == 0xA5).all()


def _damaged(whole: bytes, count: int) -> Iterator[bytes]:
    length = struct.unpack_from("<Q", whole, 16)[0]
    used = len(whole[64 : 64 + length].rstrip())
    generator = random.Random(11)
    for turn in range(count):
        content = bytearray(whole)
        place = 64 + generator.randrange(used)
        if turn % 3 == 0:
            content[place] ^= 1 << generator.randrange(8)
        elif turn % 3 == 1:
            content[place] = generator.choice(b'0123456789-.,:"[]{} abe')
        else:
            source = 64 + generator.randrange(used - 4)
            content[place : place + 4] = content[source : source + 4]
        content[24:56] = hashlib.sha256(content[64 : 64 + length]).digest()
        yield bytes(content)


def _python_takes(content: bytes) -> bool:
    try:
        engine = read_cuda_engine(content, "x.engine")
        for architecture in engine.architectures.values():
            architecture.program.plan(1, 64, 64)
    except (InputError, ValueError):
        return False
    return True
