"""Groups of options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from swinir_deploy.artifacts.shapes import parse_sides
from swinir_deploy.cli.output import Output
from swinir_deploy.errors import UsageError
from swinir_deploy.system.choices import did_you_mean

__all__ = [
    "PRECISIONS",
    "KeyValueType",
    "ModelRequest",
    "NearChoice",
    "ShapeType",
    "common_options",
    "filter_options",
    "kernels_option",
    "model_options",
    "report_option",
    "runtime_options",
]

if TYPE_CHECKING:
    _Choice = click.Choice[str]
    _Shape = click.ParamType[tuple[int, int]]
    _Pair = click.ParamType[tuple[str, str]]
else:  # before click 8.2, these classes take no type argument
    _Choice, _Shape, _Pair = click.Choice, click.ParamType, click.ParamType

Function = TypeVar("Function", bound=Callable[..., Any])

TASKS = ("sr", "denoise", "jpeg")
SIZES = ("tiny", "light", "medium", "large")
PRECISIONS = ("fp32", "fp16", "bf16")
_KERNELS = ("auto", "fused", "plain")


@dataclass(frozen=True)
class ModelRequest:
    """The model that the command line asks for. None means that an option was not given.

    Attributes:
        model: an id, an alias or a file.
        task: ``sr``, ``denoise`` or ``jpeg``.
        scale: output side divided by input side.
        noise: standard deviation of the noise on 0..255.
        quality: JPEG quality, 1 to 100.
        gray: True for one channel, False for three.
        real: True for a model for real-world degradations.
        size: ``tiny``, ``light``, ``medium`` or ``large``.
    """

    model: str | None = None
    task: str | None = None
    scale: int | None = None
    noise: int | None = None
    quality: int | None = None
    gray: bool | None = None
    real: bool | None = None
    size: str | None = None

    @property
    def filters(self) -> dict[str, Any]:
        """Return the given options except ``model``, under the names of ``Catalog.select``."""
        names = ("task", "scale", "noise", "quality", "gray", "real", "size")
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    def options(self) -> str:
        """Return the filters as they are written on the command line."""
        flags = {"gray": {True: "--gray", False: "--color"}, "real": {True: "--real"}}
        return " ".join(
            flags[name][value] if name in flags else f"--{name} {value}"
            for name, value in self.filters.items()
        )


class NearChoice(_Choice):
    """A choice. Its error names the value that was probably meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the value if it is one of the choices."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            hint = did_you_mean(str(value), self.choices, cutoff=0.5)
            if hint:
                self.fail(f"{error.message.rstrip('.')}.{hint}", param, ctx)
            raise


class ShapeType(_Shape):
    """``HxW`` in pixels, converted to (height, width)."""

    name = "HxW"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return height and width, both at least 1."""
        if isinstance(value, tuple):
            return value
        try:
            return parse_sides(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class KeyValueType(_Pair):
    """``KEY=VALUE``, converted to two texts."""

    name = "KEY=VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return the text before and after the first ``=``."""
        if isinstance(value, tuple):
            return value
        key, sign, rest = value.partition("=")
        if not sign or not key.strip():
            self.fail(f"{value!r} is not KEY=VALUE. Give a name, '=' and a value.", param, ctx)
        return key.strip(), rest.strip()


def _together(options: Iterable[Callable[[Function], Function]]) -> Callable[[Function], Function]:
    """Return one decorator for several options, in the order of the help text."""
    ordered = list(options)

    def decorate(function: Function) -> Function:
        for option in reversed(ordered):
            function = option(function)
        return function

    return decorate


def common_options(function: Function) -> Function:
    """Add ``--json --quiet --offline --debug``, and pass an :class:`Output` as first argument."""

    @functools.wraps(function)
    def wrapper(as_json: bool, quiet: bool, offline: bool, debug: bool, **values: Any) -> Any:
        out = click.get_current_context().ensure_object(Output)
        out.quiet, out.offline = quiet, offline
        return function(out, **values)

    group = _together(
        [
            click.option(
                "--json", "as_json", is_flag=True, help="Print one JSON document on stdout."
            ),
            click.option("-q", "--quiet", is_flag=True, help="Print only results and errors."),
            click.option("--offline", is_flag=True, help="Never use the network."),
            click.option("--debug", is_flag=True, help="Show tracebacks and warnings."),
        ]
    )
    return cast("Function", group(wrapper))


_FILTERS = [
    click.option("--task", type=NearChoice(TASKS), help="Task of the model."),
    click.option("--scale", type=int, metavar="N", help="Scale of super-resolution: 2, 3, 4 or 8."),
    click.option(
        "--noise", type=int, metavar="SIGMA", help="Noise level of denoising: 15, 25 or 50."
    ),
    click.option(
        "--quality", type=int, metavar="Q", help="JPEG quality of the input: 10, 20, 30 or 40."
    ),
    click.option("--gray/--color", default=None, help="One channel or three."),
    click.option(
        "--real", is_flag=True, default=None, help="A model for photographs (real-world)."
    ),
    click.option("--size", type=NearChoice(SIZES), help="Size of the network."),
]

_MODEL = click.option(
    "-m", "--model", metavar="MODEL", help="Id or alias ('swinir-deploy models'), or a file."
)


def _with_request(
    options: list[Callable[[Any], Any]], has_model: bool
) -> Callable[[Function], Function]:
    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def wrapper(*args: Any, **values: Any) -> Any:
            names = ["task", "scale", "noise", "quality", "gray", "real", "size"]
            taken = {name: values.pop(name) for name in names + ["model"] * has_model}
            return function(*args, request=ModelRequest(**taken), **values)

        return cast("Function", _together(options)(wrapper))

    return decorate


def filter_options(function: Function) -> Function:
    """Add ``--task`` and so on, passed as a :class:`ModelRequest` named ``request``."""
    return _with_request(_FILTERS, has_model=False)(function)


def model_options(function: Function) -> Function:
    """Add ``--model``, ``--task`` and so on, passed as a :class:`ModelRequest`, ``request``."""
    return _with_request([_MODEL, *_FILTERS], has_model=True)(function)


def runtime_options(function: Function) -> Function:
    """Add ``--backend --device --provider --provider-option --precision --kernels --threads``."""
    return _together(
        [
            click.option(
                "--backend",
                metavar="NAME",
                help="ort or openvino (ONNX files), trt or trt-rtx (engines), torch "
                "(checkpoints).  [default: by the model's file]",
            ),
            click.option("--device", metavar="NAME", help="cpu (default), cuda, cuda:1, gpu, ..."),
            click.option(
                "--provider",
                metavar="NAME",
                help="Execution provider of ort: cpu, cuda, tensorrt, nv-tensorrt-rtx.",
            ),
            click.option(
                "--provider-option",
                "provider_options",
                type=KeyValueType(),
                multiple=True,
                metavar="KEY=VALUE",
                callback=lambda _context, _option, pairs: dict(pairs) or None,
                help="Option of the provider, such as trt_engine_cache_enable=1; can be repeated.",
            ),
            click.option(
                "--precision",
                type=NearChoice(PRECISIONS),
                help="Precision of torch and openvino.  [default: fp32]",
            ),
            kernels_option,
            click.option(
                "--threads",
                type=click.IntRange(1),
                metavar="N",
                help="CPU threads for one operator.",
            ),
        ]
    )(function)


def kernels_option(function: Function) -> Function:
    """Add ``--kernels``, an option of the back end ``torch``."""
    option: Callable[[Function], Function] = click.option(
        "--kernels",
        type=NearChoice(_KERNELS),
        help="Kernels of torch on an NVIDIA GPU in fp16 or bf16: fused, or plain.  "
        "[default: auto, fused where they can be had]",
    )
    return option(function)


def report_option(function: Function) -> Function:
    """Add ``-o``, which also writes the JSON document to a file."""
    option: Callable[[Function], Function] = click.option(
        "-o",
        "--output",
        type=click.Path(),
        metavar="FILE",
        help="Also write the JSON document to a file.",
    )
    return option(function)


def given(**values: Any) -> dict[str, Any]:
    """Return the values that are not None, so that the called function keeps its defaults."""
    return {name: value for name, value in values.items() if value is not None}
