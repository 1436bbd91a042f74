"""Groups of options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from swinir_deploy.artifacts.shapes import parse_sides
from swinir_deploy.cli.output import Output
from swinir_deploy.cli.pages import checked_json
from swinir_deploy.errors import UsageError
from swinir_deploy.system.choices import did_you_mean, unknown_choice
from swinir_deploy.system.library_names import library_name
from swinir_deploy.system.memory import parse_bytes

__all__ = [
    "PRECISIONS",
    "KeyValueType",
    "LibraryChoice",
    "MeanType",
    "MemorySize",
    "ModelRequest",
    "NearChoice",
    "ShapeType",
    "common_options",
    "filter_options",
    "kernels_option",
    "model_options",
    "overwrite_option",
    "report_option",
    "runtime_options",
    "weight_options",
    "weight_options_text",
]

if TYPE_CHECKING:
    _Choice = click.Choice[str]
    _Shape = click.ParamType[tuple[int, int]]
    _Pair = click.ParamType[tuple[str, str]]
    _Mean = click.ParamType[tuple[float, ...]]
    _Size = click.ParamType[int]
else:  # before click 8.2, these classes take no type argument
    _Choice, _Shape, _Pair = click.Choice, click.ParamType, click.ParamType
    _Mean = _Size = click.ParamType

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
        weights: those of ``key``, ``prefix``, ``img_range`` and ``mean`` that were given, as
            ``load_model`` takes them.
    """

    model: str | None = None
    task: str | None = None
    scale: int | None = None
    noise: int | None = None
    quality: int | None = None
    gray: bool | None = None
    real: bool | None = None
    size: str | None = None
    weights: dict[str, Any] = field(default_factory=dict)

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


class TaskChoice(NearChoice):
    """A task, or several with commas between, in the order in which they run."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the tasks with commas between, if each is one of the choices."""
        parts = str(value).split(",")
        return ",".join(super(TaskChoice, self).convert(p.strip(), param, ctx) for p in parts)


class LibraryChoice(NearChoice):
    """A choice of libraries, which takes their other names, too: ``trt`` is ``tensorrt``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name of the library if it is one of the choices."""
        name = library_name(str(value))
        same = {"rtx": "tensorrt"} if "rtx" not in self.choices else {}
        return super().convert(same.get(name, name), param, ctx)


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


class MeanType(_Mean):
    """Numbers from 0 to 1 with commas between, converted to a tuple."""

    name = "M,M,.."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Return the numbers: one for all channels, or one for each."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if not numbers or not all(0 <= number <= 1 for number in numbers):
            self.fail(
                f"{value!r} is no mean. Give a number from 0 to 1, or one for each channel with "
                "commas between, such as 0.4488,0.4371,0.4040.",
                param,
                ctx,
            )
        return numbers


class MemorySize(_Size):
    """A size such as 500MB or 4GiB, converted to bytes."""

    name = "SIZE"

    def __init__(self, minimum: int = 1) -> None:
        self._minimum = minimum

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        try:
            return parse_bytes(str(value), minimum=self._minimum)
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
    click.option(
        "--task",
        type=TaskChoice(TASKS),
        help="Task of the model. 'restore' takes several, such as jpeg,sr, one after the other.",
    ),
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


_WEIGHTS = [
    click.option("--key", metavar="NAME", help="Entry of the checkpoint with the weights."),
    click.option(
        "--prefix",
        metavar="TEXT",
        help="What stands before the names of the weights, such as generator.",
    ),
    click.option(
        "--img-range",
        type=click.FloatRange(0, min_open=True),
        metavar="R",
        help="Range of the network's values, 1 or 255, if the checkpoint does not state it.",
    ),
    click.option(
        "--mean",
        type=MeanType(),
        help="Mean of each channel in 0..1, if the checkpoint does not state it; 0 for none.",
    ),
]
_WEIGHT_NAMES = ("key", "prefix", "img_range", "mean")


def _taken_weights(values: dict[str, Any]) -> dict[str, Any]:
    return given(**{name: values.pop(name) for name in _WEIGHT_NAMES})


def weight_options(function: Function) -> Function:
    """Add ``--key --prefix --img-range --mean``; those given are passed as ``weights``."""

    @functools.wraps(function)
    def wrapper(*args: Any, **values: Any) -> Any:
        weights = _taken_weights(values)
        return function(*args, weights=weights, **values)

    return cast("Function", _together(_WEIGHTS)(wrapper))


def weight_options_text(weights: dict[str, Any]) -> str:
    """Return such options as they are written on the command line."""
    return " ".join(f"--{name.replace('_', '-')}" for name in weights)


def _with_request(
    options: list[Callable[[Any], Any]], has_model: bool
) -> Callable[[Function], Function]:
    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def wrapper(*args: Any, **values: Any) -> Any:
            names = ["task", "scale", "noise", "quality", "gray", "real", "size"]
            taken = {name: values.pop(name) for name in names + ["model"] * has_model}
            if has_model:
                taken["weights"] = _taken_weights(values)
            return function(*args, request=ModelRequest(**taken), **values)

        return cast("Function", _together(options)(wrapper))

    return decorate


def filter_options(function: Function) -> Function:
    """Add ``--task`` and so on, passed as a :class:`ModelRequest` named ``request``."""
    return _with_request(_FILTERS, has_model=False)(function)


def model_options(function: Function) -> Function:
    """Add ``--model``, ``--task``, ``--key`` and so on, passed as a :class:`ModelRequest`.

    The request's name is ``request``.
    """
    return _with_request([_MODEL, *_FILTERS, *_WEIGHTS], has_model=True)(function)


def _known_backend(_context: object, _option: object, name: str | None) -> str | None:
    """Return the name of a back end; it is checked here, before a model is looked for."""
    if name is None:
        return None
    from swinir_deploy.runtimes import BACKENDS

    known = library_name(name)
    if known not in BACKENDS:
        raise UsageError(unknown_choice("back end", name, BACKENDS))
    return known


def runtime_options(function: Function) -> Function:
    """Add ``--backend --device --provider --provider-option --precision --kernels --threads``."""
    return _together(
        [
            click.option(
                "--backend",
                metavar="NAME",
                callback=_known_backend,
                help="ort or openvino (ONNX files), tensorrt or rtx (engines), torch "
                "(checkpoints).  [default: by the model's file]",
            ),
            click.option("--device", metavar="NAME", help="cpu (default), cuda, cuda:1, gpu, ..."),
            click.option(
                "--provider",
                metavar="NAME",
                help="Execution provider of ort: cpu, cuda, tensorrt, rtx.",
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
                help="Precision of torch, of openvino, and of the export of a checkpoint or id "
                "that ort runs.  [default: fp32]",
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
    """Add ``-o``, which also writes the JSON document to a file, and ``--overwrite``."""
    option: Callable[[Function], Function] = click.option(
        "-o",
        "--output",
        type=click.Path(),
        metavar="FILE",
        callback=checked_json,
        help="Also write the JSON document to a file.",
    )
    return option(overwrite_option(function))


def overwrite_option(function: Function) -> Function:
    """Add ``--overwrite``, without which no command replaces a file."""
    option: Callable[[Function], Function] = click.option(
        "--overwrite", is_flag=True, help="Replace files that exist."
    )
    return option(function)


def given(**values: Any) -> dict[str, Any]:
    """Return the values that are not None, so that the called function keeps its defaults."""
    return {name: value for name, value in values.items() if value is not None}
