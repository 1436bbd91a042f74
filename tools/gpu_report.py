"""Figures of SwinIR on an NVIDIA GPU: the official network, ours plain and ours fused.

    python tools/gpu_report.py OUT_FOLDER [--official network_swinir.py] [--seconds 420]

Needs torch, triton and NumPy, and this checkout; the rows of engines need cuda-core and
lazy-loader, and say so where they are missing. The official network file is not part of the
project; without it the rows of the official network are left out, and the report says so. Every row
is appended to OUT_FOLDER/rows.jsonl as soon as it is measured; a row that fails says why, and the
next one runs. At the end come OUT_FOLDER/report.json and a table; --plot draws report.svg where
matplotlib is installed.

Launch settings are tried on the spot and the best are used; to keep them, copy them from the report
into swinir_deploy/kernels/settings.py. --smoke runs everything once at a tiny size, on the CPU
through Triton's interpreter where there is no GPU. --only-ours leaves the official network out.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import math
import os
import subprocess
import sys
import time
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# The package without its __init__.py, so that what that imports need not be installed.
sys.modules["swinir_deploy"] = types.ModuleType("swinir_deploy")
sys.modules["swinir_deploy"].__path__ = [str(ROOT / "swinir_deploy")]

import torch  # noqa: E402

ON_GPU = torch.cuda.is_available()
if not ON_GPU:
    os.environ["TRITON_INTERPRET"] = "1"

from swinir_deploy.artifacts.launch_program import Buffer, Launch, Plan, Weight  # noqa: E402
from swinir_deploy.kernels.fused import FusedSwinIR  # noqa: E402
from swinir_deploy.kernels.launch import KERNELS, run_plan  # noqa: E402
from swinir_deploy.kernels.packing import pack  # noqa: E402
from swinir_deploy.kernels.plan import make_plan, usual_numbers  # noqa: E402
from swinir_deploy.kernels.roofline import roofline, traffic_bytes  # noqa: E402
from swinir_deploy.kernels.settings import Settings, settings_for  # noqa: E402
from swinir_deploy.kernels.widths import stored_channels  # noqa: E402
from swinir_deploy.network.config import SwinIRConfig  # noqa: E402
from swinir_deploy.network.swinir import SwinIR  # noqa: E402
from swinir_deploy.precision.plan import PrecisionPlan, deployed_network  # noqa: E402

DEVICE = "cuda" if ON_GPU else "cpu"
COMMON: dict[str, Any] = {"upscale": 4, "in_chans": 3, "window_size": 8, "img_range": 1.0}
CONFIGS = {
    "light": SwinIRConfig(
        **COMMON,
        depths=(6,) * 4,
        embed_dim=60,
        num_heads=(6,) * 4,
        upsampler="pixelshuffledirect",
    ),
    "medium": SwinIRConfig(
        **COMMON, depths=(6,) * 6, embed_dim=180, num_heads=(6,) * 6, upsampler="pixelshuffle"
    ),
}
SIZES = ((480, 640), (256, 256), (64, 64), (512, 512))
HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Report:
    """Rows on disk as they come."""

    def __init__(self, folder: Path, seconds: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.began = time.time()
        self.seconds = seconds
        self.rows: list[dict[str, Any]] = []

    def row(self, kind: str, **values: Any) -> None:
        """Add a row: to the file, to the report and to the terminal."""
        entry = {"kind": kind, "at_s": round(time.time() - self.began, 1), **values}
        self.rows.append(entry)
        with open(self.folder / "rows.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        print(" ".join(f"{key}={value}" for key, value in entry.items()), flush=True)

    def attempt(self, what: str, work: Callable[[], None], seconds_needed: float = 0.0) -> None:
        """Run ``work``; say why if it fails or there is no time left for it."""
        if time.time() - self.began + seconds_needed > self.seconds:
            self.row("left out", what=what, why="no time left")
            return
        try:
            work()
        except Exception as error:
            self.row("failed", what=what, error=f"{type(error).__name__}: {error}"[:300])
            traceback.print_exc()
        if ON_GPU:
            torch.cuda.empty_cache()


def times_ms(run: Callable[[], object], seconds: float = 0.4, least: int = 10) -> dict[str, Any]:
    """Time by events, after a warm-up: median, p99 and the number of runs."""
    if not ON_GPU:
        began = time.perf_counter()
        run()
        took = (time.perf_counter() - began) * 1e3
        return {"median_ms": round(took, 3), "p99_ms": round(took, 3), "runs": 1}
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    times: list[float] = []
    began = time.time()
    while len(times) < least or (time.time() - began < seconds and len(times) < 1000):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop))
        if time.time() - began > seconds + 8:
            break
    times.sort()
    return {
        "median_ms": round(times[len(times) // 2], 4),
        "p99_ms": round(times[min(len(times) - 1, int(len(times) * 0.99))], 4),
        "runs": len(times),
    }


def graphed(run: Callable[[], object]) -> Callable[[], object]:
    """Return the same work as one CUDA graph."""
    if not ON_GPU:
        return run
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def psnr_db(result: torch.Tensor, reference: torch.Tensor) -> float:
    """PSNR over the span of the reference; NaN gives -inf."""
    error = (result.float() - reference).square().mean().item()
    if not math.isfinite(error):
        return -math.inf
    span = (reference.max() - reference.min()).item()
    return round(10 * math.log10(span**2 / max(error, 1e-20)), 1)


def network_of(name: str) -> SwinIR:
    """Random weights of the official shape, a little stirred so that biases and norms count."""
    torch.manual_seed(0)
    network = SwinIR(CONFIGS[name]).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.02)
    return network


def settings_to_try(architecture: int) -> Iterator[tuple[str, str, Settings]]:
    """(model, part, settings) whose launches of that part are timed against each other."""
    base = settings_for(architecture)

    def with_options(settings: Settings, kernel: str, **options: int) -> Settings:
        return dataclasses.replace(settings, options={**settings.options, kernel: options})

    for stages, registers in ((2, 168), (3, 168), (2, 128), (1, 168), (2, 0)):
        settings = dataclasses.replace(base, block={"STAGES": stages, "HIDDEN_TILE": 64})
        limit = {"maxnreg": registers} if registers else {}
        yield "light", "block", with_options(settings, "swin_block", num_warps=4, **limit)
    for windows, stages, warps, ahead in (
        (2, 2, 8, 132),
        (2, 2, 8, 0),
        (2, 1, 8, 132),
        (1, 1, 4, 264),
    ):
        constants = {"STAGES": stages, "WINDOWS": windows, "AHEAD": ahead, "JOINT": 1}
        settings = dataclasses.replace(base, narrow_attention=constants)
        yield "medium", "attention", with_options(settings, "attention_half", num_warps=warps)
    for rows, tile, stages, warps, ahead in (
        (128, 64, 3, 8, 132),
        (128, 64, 3, 8, 0),
        (128, 64, 2, 8, 132),
        (64, 32, 3, 4, 264),
        (64, 32, 2, 4, 0),
        (64, 64, 1, 4, 264),
    ):
        constants = {"ROWS": rows, "HIDDEN_TILE": tile, "STAGES": stages, "AHEAD": ahead}
        settings = dataclasses.replace(base, narrow_mlp=constants)
        yield "medium", "mlp", with_options(settings, "mlp_half", num_warps=warps)
    for model, part in (("medium", "convolution"), ("medium", "head"), ("light", "convolution")):
        for pixels, tiles, stages, warps in (
            (64, 3, 3, 4),
            (64, 3, 4, 4),
            (128, 3, 3, 8),
            (128, 3, 4, 8),
            (128, 4, 3, 8),
            (64, 4, 3, 4),
            (128, 2, 3, 4),
        ):
            settings = dataclasses.replace(
                base,
                convolution_pixels=pixels,
                convolution_tiles=tiles,
                convolution_stages=stages,
            )
            yield model, part, with_options(settings, "convolution", num_warps=warps)
    for rows, warps in ((16, 4), (32, 4), (8, 4), (32, 8)):
        settings = dataclasses.replace(base, layer_norm_rows=rows)
        yield "medium", "edge", with_options(settings, "layer_norm", num_warps=warps)


def describe(settings: Settings, part: str) -> dict[str, Any]:
    """Return what of ``settings`` concerns a part."""
    kernels = {
        "block": ("swin_block", settings.block),
        "attention": ("attention_half", settings.narrow_attention),
        "mlp": ("mlp_half", settings.narrow_mlp),
        "edge": ("layer_norm", {"ROWS": settings.layer_norm_rows}),
    }
    convolution = {
        "PIXELS": settings.convolution_pixels,
        "TILES": settings.convolution_tiles,
        "STAGES": settings.convolution_stages,
    }
    kernel, constants = kernels.get(part, ("convolution", convolution))
    return {**constants, **settings.launch_options(kernel, 64)}


def merged(best: dict[tuple[str, str], Settings], base: Settings) -> dict[str, Settings]:
    """Model -> the best settings of all its parts."""
    result = {}
    for model in CONFIGS:
        settings = base
        for (owner, part), found in best.items():
            if owner != model and part in ("convolution", "head"):
                continue
            fields = {
                "block": ("block",),
                "attention": ("narrow_attention",),
                "mlp": ("narrow_mlp",),
                "edge": ("layer_norm_rows",),
            }.get(part, ("convolution_pixels", "convolution_tiles", "convolution_stages"))
            if part == "head":
                continue  # reported; the same kernel serves both, and the body is longer
            kernel = {
                "block": "swin_block",
                "attention": "attention_half",
                "mlp": "mlp_half",
                "edge": "layer_norm",
            }.get(part, "convolution")
            options = {**settings.options, kernel: found.options.get(kernel, {"num_warps": 4})}
            values = {name: getattr(found, name) for name in fields}
            settings = dataclasses.replace(settings, **values, options=options)
        result[model] = settings
    return result


def plan_of(name: str, settings: Settings, height: int, width: int) -> Plan:
    """Return the plan of a model for one picture, without its weights."""
    config = CONFIGS[name]
    numbers = usual_numbers(config)
    return make_plan(config, numbers, settings, batch=1, height=height, width=width)


def compile_share(index: int, count: int, architecture: int) -> None:
    """Compile one share of all kernels into Triton's cache; run in a process of its own."""
    from triton.runtime.jit import MockTensor

    seen: set[Any] = set()
    work: list[tuple[Launch, Any, torch.dtype]] = []

    def collect(name: str, settings: Settings, half: torch.dtype, part: str | None) -> None:
        stored = stored_channels(CONFIGS[name].embed_dim)
        for launch in plan_of(name, settings, 480, 640).launches:
            options = settings.launch_options(launch.kernel, stored)
            key = (launch.kernel, *sorted(launch.constants.items()), *options.items(), half)
            if key not in seen and part in (None, launch.part):
                seen.add(key)
                work.append((launch, options, half))

    for half in HALVES.values():
        for name in CONFIGS:
            collect(name, settings_for(architecture), half, None)
    for name, part, settings in settings_to_try(architecture):
        collect(name, settings, torch.float16, part)
    for launch, options, half in work[index::count]:
        arguments: dict[str, Any] = {}
        for key, value in launch.arguments.items():
            if isinstance(value, Weight):
                vector = value.name.endswith((".bias", "mean")) or launch.kernel == "layer_norm"
                table = value.name.endswith("position_bias")
                kind = torch.float16 if table else torch.float32 if vector else half
                value = MockTensor(kind)
            elif isinstance(value, Buffer):
                value = MockTensor(half if value.name == "arena" else torch.float32)
            arguments[key] = value
        try:
            KERNELS[launch.kernel].warmup(
                **arguments, **launch.constants, **options, grid=launch.grid
            )
        except Exception as error:
            print(f"cannot compile {launch.kernel} {dict(options)}: {str(error)[:200]}", flush=True)


def compile_all(workers: int, architecture: int) -> None:
    """Compile all kernels, side by side in processes of their own."""
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "-", "--share", str(index), str(workers), str(architecture)]
        )
        for index in range(workers)
    ]
    for process in processes:
        process.wait()


def load_official(path: Path) -> Any:
    """Return the official module, with stand-ins for the three names that it takes from timm."""
    layers = types.ModuleType("timm.models.layers")

    class DropPath(torch.nn.Identity):
        def __init__(self, *_: Any) -> None:
            super().__init__()

    vars(layers).update(
        DropPath=DropPath,
        to_2tuple=lambda value: value if isinstance(value, tuple) else (value, value),
        trunc_normal_=torch.nn.init.trunc_normal_,
    )
    for name in ("timm", "timm.models"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["timm.models.layers"] = layers
    spec = importlib.util.spec_from_file_location("network_swinir", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Measurements:
    """All parts of the report, in the order in which they matter."""

    def __init__(self, report: Report, options: argparse.Namespace) -> None:
        self.report = report
        self.options = options
        self.smoke: bool = options.smoke
        capability = torch.cuda.get_device_capability() if ON_GPU else (9, 0)
        self.architecture = capability[0] * 10 + capability[1]
        self.base = settings_for(self.architecture)
        self.settings = dict.fromkeys(CONFIGS, self.base)
        self.tera_flops = self.tera_bytes = math.nan
        self.references: dict[tuple[str, int, int], torch.Tensor] = {}
        self.networks: dict[tuple[str, str], FusedSwinIR] = {}
        self.engines: dict[str, Any] = {}
        self.sizes = ((16, 24),) if self.smoke else SIZES

    def machine(self) -> None:
        """Say what machine it is, and measure its two peaks."""
        import triton

        self.report.row(
            "machine",
            device=torch.cuda.get_device_name() if ON_GPU else "cpu",
            architecture=f"sm{self.architecture}",
            torch=torch.__version__,
            triton=triton.__version__,
            cuda=torch.version.cuda,
        )
        side = 8192 if ON_GPU and not self.smoke else 128
        for name, half in HALVES.items():
            left, right = (torch.randn(side, side, device=DEVICE).to(half) for _ in range(2))
            timing = times_ms(lambda left=left, right=right: left @ right)
            rate = 2 * side**3 / timing["median_ms"] / 1e9
            if name == "fp16":
                self.tera_flops = rate
            self.report.row("peak", what=f"{name} product {side}", tera_flops=round(rate, 1))
        source = torch.randn(side**2 * 4, device=DEVICE).half()
        target = torch.empty_like(source)
        timing = times_ms(lambda: target.copy_(source))
        self.tera_bytes = 4 * source.numel() / timing["median_ms"] / 1e9
        self.report.row("peak", what="copy", tera_bytes=round(self.tera_bytes, 3))

    def search(self) -> None:
        """Time the launches of each part under several settings."""
        height, width = self.sizes[0]
        best: dict[tuple[str, str], tuple[float, Settings]] = {}
        packed = {name: pack(network_of(name).to(DEVICE), torch.float16) for name in CONFIGS}
        for name, part, settings in settings_to_try(self.architecture):
            if self.smoke and (name, part) in best:
                continue

            def work(name: str = name, part: str = part, settings: Settings = settings) -> None:
                plan = plan_of(name, settings, height, width)
                chosen = [launch for launch in plan.launches if launch.part == part]
                if part in ("block", "attention", "mlp"):
                    chosen = chosen[1::2][:2]  # shifted ones
                elif part in ("convolution", "edge"):
                    chosen = chosen[-1:]
                partial = Plan(tuple(chosen), plan.arena_elements, plan.output_shape)
                stored = stored_channels(CONFIGS[name].embed_dim)
                picture = torch.rand(1, 3, height, width, device=DEVICE)
                arena = torch.randn(plan.arena_elements, device=DEVICE, dtype=torch.float16)
                output = torch.empty(plan.output_shape, device=DEVICE)
                weights = packed[name].weights
                timing = times_ms(
                    graphed(
                        lambda: run_plan(partial, settings, stored, weights, picture, arena, output)
                    ),
                    0.15,
                )
                took = timing["median_ms"] / len(chosen) if part != "head" else timing["median_ms"]
                self.report.row(
                    "setting",
                    model=name,
                    part=part,
                    ms=round(took, 4),
                    tera_bytes=round(
                        sum(map(traffic_bytes, chosen)) / timing["median_ms"] / 1e9, 2
                    ),
                    **describe(settings, part),
                )
                if took < best.get((name, part), (math.inf,))[0]:
                    best[name, part] = (took, settings)

            self.report.attempt(f"setting {name} {part} {describe(settings, part)}", work)
        self.settings = merged({key: value[1] for key, value in best.items()}, self.base)
        for (name, part), (took, settings) in best.items():
            self.report.row(
                "best setting", model=name, part=part, ms=took, **describe(settings, part)
            )

    def reference(self, name: str, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the input and the FP32 result without TF32, computed once."""
        torch.manual_seed(1)
        picture = torch.rand(1, 3, *size, device=DEVICE)
        key = (name, *size)
        if key not in self.references:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
            with torch.inference_mode():
                self.references[key] = network_of(name).to(DEVICE)(picture)
        return picture, self.references[key]

    def measured(
        self,
        who: str,
        name: str,
        size: tuple[int, int],
        run: Callable[[], torch.Tensor],
        *,
        graph: bool,
        seconds: float = 0.5,
        least: int = 10,
        plan: Plan | None = None,
    ) -> None:
        """Add one row: parity first, memory, then the time."""
        _, reference = self.reference(name, size)
        with torch.inference_mode():
            quality = psnr_db(run(), reference)
            memory = None
            if ON_GPU:
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
                run()
                torch.cuda.synchronize()
                memory = round(torch.cuda.max_memory_allocated() / 1e6)
            timing = times_ms(graphed(run) if graph else run, seconds, least)
        plan = plan or plan_of(name, self.settings[name], *size)
        bound = roofline(
            CONFIGS[name],
            plan,
            batch=1,
            height=size[0],
            width=size[1],
            tera_flops=self.tera_flops,
            tera_bytes=self.tera_bytes,
        )
        self.report.row(
            "network",
            who=who,
            model=name,
            size=f"{size[0]}x{size[1]}",
            **timing,
            megapixels_per_s=round(size[0] * size[1] * 16 / timing["median_ms"] / 1e3, 1),
            peak_mb=memory,
            psnr_db=quality,
            bound_ms=round(bound.bound_ms, 3),
            share_of_roofline=round(bound.share(timing["median_ms"]), 4),
        )

    def fused_network(self, name: str, half: str) -> FusedSwinIR:
        """Return a network of our kernels; packed once."""
        key = (name, half)
        if key not in self.networks:
            self.networks[key] = FusedSwinIR(
                network_of(name), HALVES[half], device=DEVICE, settings=self.settings[name]
            )
        return self.networks[key]

    def fused(self, name: str, half: str, size: tuple[int, int]) -> None:
        """Measure our kernels at one size."""
        network = self.fused_network(name, half)
        picture, _ = self.reference(name, size)
        who = f"ours, fused, {half}"
        plan = network.plan(1, *size)
        self.measured(who, name, size, lambda: network(picture), graph=True, plan=plan)

    def open_engine(self, name: str) -> Any:
        """Return the back end ``cuda`` with an engine of our kernels, compiled once and opened."""
        if name in self.engines:
            return self.engines[name]
        from swinir_deploy.artifacts.cuda_engine import write_cuda_engine
        from swinir_deploy.artifacts.engine import EngineMetadata, write_engine
        from swinir_deploy.artifacts.metadata import ArtifactMetadata
        from swinir_deploy.artifacts.shapes import ShapeProfile
        from swinir_deploy.exporters.cuda.assemble import compile_engine, pack_model
        from swinir_deploy.models.load import LoadedModel
        from swinir_deploy.runtimes.cuda.runtime import CudaRuntime

        folder = self.report.folder / "engines"
        folder.mkdir(parents=True, exist_ok=True)
        network = network_of(name)
        model = LoadedModel(network, CONFIGS[name], None, name, "sr", Path(name), "0" * 64)
        began = time.perf_counter()
        engine = compile_engine(
            pack_model(model, PrecisionPlan("fp16")),
            [self.architecture],
            settings=self.settings[name],
        )
        content = write_cuda_engine(engine)
        built = time.perf_counter()
        metadata = EngineMetadata(
            model=ArtifactMetadata(
                io="tensor", scale=4, in_chans=3, window_size=8, model_id=name, precision="fp16"
            ),
            onnx_name=name,
            onnx_sha256="0" * 64,
            flavour="cuda",
            library_version=engine.compiler,
            architectures=(f"sm{self.architecture}",),
            profiles=(ShapeProfile((1, 3, 8, 8), (1, 3, 256, 256), (1, 3, 2048, 2048)),),
        )
        write_engine(folder / f"{name}.engine", content, metadata)
        opening = time.perf_counter()
        self.engines[name] = CudaRuntime(folder / f"{name}.engine", "cuda", contexts=1)
        self.report.row(
            "engine",
            model=name,
            size_bytes=len(content),
            build_s=round(built - began, 2),
            open_s=round(time.perf_counter() - opening, 3),
        )
        return self.engines[name]

    def engine(self, name: str, size: tuple[int, int]) -> None:
        """Measure the same kernels in an engine, which replays a CUDA graph by itself."""
        runtime = self.open_engine(name)
        picture, _ = self.reference(name, size)
        self.measured(
            "ours, engine, fp16",
            name,
            size,
            lambda: torch.from_dlpack(runtime.run_on_gpu(picture)),
            graph=False,
            plan=plan_of(name, self.settings[name], *size),
        )

    def parts(self, name: str, size: tuple[int, int]) -> None:
        """Where the time of a fused network goes."""
        network = self.fused_network(name, "fp16")
        plan = network.plan(1, *size)
        picture = torch.rand(1, 3, *size, device=DEVICE)
        arena = torch.randn(plan.arena_elements, device=DEVICE, dtype=torch.float16)
        output = torch.empty(plan.output_shape, device=DEVICE)
        for part in dict.fromkeys(launch.part for launch in plan.launches):
            chosen = tuple(launch for launch in plan.launches if launch.part == part)
            partial = Plan(chosen, plan.arena_elements, plan.output_shape)
            stored = stored_channels(CONFIGS[name].embed_dim)
            timing = times_ms(
                graphed(
                    lambda partial=partial, stored=stored: run_plan(
                        partial,
                        self.settings[name],
                        stored,
                        network.weights,
                        picture,
                        arena,
                        output,
                    )
                ),
                0.2,
            )
            self.report.row(
                "part",
                model=name,
                size=f"{size[0]}x{size[1]}",
                part=part,
                launches=len(chosen),
                ms=timing["median_ms"],
                tera_bytes=round(sum(map(traffic_bytes, chosen)) / timing["median_ms"] / 1e9, 2),
            )

    def plain(self, name: str, size: tuple[int, int]) -> None:
        """Measure our network as PyTorch computes it."""
        rewrites = ("fold_attention_scale", "expand_position_bias", "use_fused_attention")
        plan = PrecisionPlan("fp16" if ON_GPU else "bf16")
        network = deployed_network(network_of(name), rewrites, plan).to(DEVICE)
        picture, _ = self.reference(name, size)
        who = f"ours, plain, {plan.precision}"
        self.measured(who, name, size, lambda: network(picture), graph=ON_GPU, seconds=0.3)

    def official(self, module: Any, name: str, size: tuple[int, int], kind: str) -> None:
        """Measure the official network; ``kind`` says in which way."""
        config = CONFIGS[name].to_dict()
        for ours in ("ape", "patch_norm", "qkv_bias", "img_size", "num_feat"):
            config.pop(ours)
        cached = "mask cached" in kind
        network = module.SwinIR(img_size=size if cached else 64, **config).eval()
        state = network_of(name).state_dict()
        missing = network.load_state_dict(state, strict=False)
        left = [key for key in missing.missing_keys if "index" not in key and "mask" not in key]
        assert not left and not missing.unexpected_keys, (left, missing.unexpected_keys)
        picture, _ = self.reference(name, size)
        half = "fp16" in kind
        network = network.to(DEVICE)
        if half:
            network, picture = network.half(), picture.half()
        tf32 = "tf32" in kind
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        run = torch.compile(network) if "torch.compile" in kind else network
        slow = not cached
        self.measured(
            f"official, {kind}",
            name,
            size,
            lambda: run(picture),
            graph="graph" in kind,
            seconds=0.1 if slow else 0.4,
            least=3 if slow else 10,
        )

    def run(self) -> None:
        """Measure everything, what matters most first."""
        report, options = self.report, self.options
        report.attempt("machine", self.machine)
        if ON_GPU and options.workers:
            compile_all(options.workers, self.architecture)
            report.row("compiled", workers=options.workers)
        report.attempt("search", self.search)
        for size in self.sizes:
            for name in CONFIGS:
                for half in HALVES:
                    report.attempt(
                        f"fused {name} {half} {size}",
                        lambda name=name, half=half, size=size: self.fused(name, half, size),
                    )
        for size in self.sizes if ON_GPU else ():
            for name in CONFIGS:
                report.attempt(
                    f"engine {name} {size}",
                    lambda name=name, size=size: self.engine(name, size),
                )
        for name in CONFIGS:
            report.attempt(f"parts {name}", lambda name=name: self.parts(name, self.sizes[0]))
        for size in self.sizes[:2]:
            for name in CONFIGS:
                report.attempt(
                    f"plain {name}", lambda name=name, size=size: self.plain(name, size), 5
                )
        if options.official is None:
            report.row("left out", what="official network", why="no --official file")
            return
        module = load_official(options.official)
        kinds = ["fp16, mask cached", "fp16, mask cached, CUDA graph", "fp32", "tf32"]
        for kind in kinds:
            for size in self.sizes:
                for name in CONFIGS:
                    report.attempt(
                        f"official {kind} {name} {size}",
                        lambda kind=kind, name=name, size=size: self.official(
                            module, name, size, kind
                        ),
                        6,
                    )
        if ON_GPU:
            for name in CONFIGS:
                for size in self.sizes[:2]:
                    kind = "fp16, mask cached, torch.compile"
                    report.attempt(
                        f"official {kind} {name} {size}",
                        lambda name=name, size=size, kind=kind: self.official(
                            module, name, size, kind
                        ),
                        45,
                    )


def write_report(report: Report) -> None:
    """Write report.json and print the table."""
    path = report.folder / "report.json"
    path.write_text(json.dumps({"schema": 1, "rows": report.rows}, indent=1) + "\n")
    print(f"\n{'who':44}{'model':8}{'size':9}{'ms':>10}{'MPix/s':>9}{'MB':>7}{'dB':>7}{'roof':>7}")
    for row in report.rows:
        if row["kind"] == "network":
            print(
                f"{row['who']:44}{row['model']:8}{row['size']:9}{row['median_ms']:10.2f}"
                f"{row['megapixels_per_s']:9.1f}{row['peak_mb'] or 0:7d}{row['psnr_db']:7.1f}"
                f"{row['share_of_roofline']:7.1%}"
            )


def plot(folder: Path) -> None:
    """Draw the times at 480x640 of a finished report."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        print("No plot: matplotlib is not installed.")
        return
    matplotlib.use("svg")
    from matplotlib import pyplot

    rows = json.loads((folder / "report.json").read_text())["rows"]
    machine = next((row["device"] for row in rows if row["kind"] == "machine"), "?")
    figure, axes = pyplot.subplots(1, len(CONFIGS), figsize=(11, 4))
    for axis, name in zip(axes, CONFIGS, strict=True):
        chosen = [
            row
            for row in rows
            if row["kind"] == "network" and row["model"] == name and row["size"] == "480x640"
        ]
        chosen.sort(key=lambda row: -row["median_ms"])
        axis.barh([row["who"] for row in chosen], [row["median_ms"] for row in chosen])
        axis.set_xscale("log")
        axis.set_xlabel("ms, median")
        axis.set_title(f"{name} x4, 640x480, {machine}")
        for index, row in enumerate(chosen):
            axis.text(row["median_ms"], index, f" {row['median_ms']:.1f}", va="center", fontsize=8)
    figure.tight_layout()
    figure.savefig(folder / "report.svg")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--official", type=Path, help="network_swinir.py of the official code")
    parser.add_argument("--seconds", type=float, default=420.0, help="begin nothing after this")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    parser.add_argument("--smoke", action="store_true", help="everything once, tiny")
    parser.add_argument("--plot", action="store_true", help="draw report.svg at the end")
    parser.add_argument("--share", nargs=3, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.share:
        compile_share(*options.share)
        return
    if options.smoke:
        for name, config in list(CONFIGS.items()):
            CONFIGS[name] = dataclasses.replace(config, depths=(2,), num_heads=config.num_heads[:1])
    report = Report(options.folder, options.seconds)
    Measurements(report, options).run()
    report.row("done", seconds=round(time.time() - report.began, 1))
    write_report(report)
    if options.plot:
        plot(options.folder)


if __name__ == "__main__":
    main()
