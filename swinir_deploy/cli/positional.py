"""The model as an argument, wherever ``--model`` names one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

import click

from swinir_deploy.cli.options import ModelRequest
from swinir_deploy.errors import UsageError

__all__ = ["model_argument", "models_argument"]

Function = TypeVar("Function", bound=Callable[..., Any])


def model_argument(function: Function) -> Function:
    """Add the argument MODEL, the same as ``--model``. Give it below ``model_options``."""

    @functools.wraps(function)
    def wrapper(*args: Any, named: str | None, request: ModelRequest, **values: Any) -> Any:
        return function(*args, request=_merged(request, named), **values)

    argument: Callable[[Function], Function] = click.argument(
        "named", metavar="[MODEL]", required=False, type=click.Path()
    )
    return argument(cast("Function", wrapper))


def models_argument(function: Function) -> Function:
    """Add the arguments MODEL..; the first is ``--model``, and the others are ``--against``."""

    @functools.wraps(function)
    def wrapper(
        *args: Any,
        named: tuple[str, ...],
        request: ModelRequest,
        against: tuple[str, ...],
        **values: Any,
    ) -> Any:
        first, others = (named[0], named[1:]) if named else (None, ())
        if request.model is not None:
            first, others = None, named  # --model is the first, and all others follow it
        request = _merged(request, first)
        return function(*args, request=request, against=(*others, *against), **values)

    argument: Callable[[Function], Function] = click.argument(
        "named", metavar="[MODEL]..", nargs=-1, type=click.Path()
    )
    return argument(cast("Function", wrapper))


def _merged(request: ModelRequest, named: str | None) -> ModelRequest:
    if named is None:
        return request
    if request.model is not None:
        raise UsageError(
            f"The model is given twice: {named} and --model {request.model}. Give one of them."
        )
    return replace(request, model=named)
