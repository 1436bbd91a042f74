"""What deploy/ says about addresses, options and extras is true; no container is built here."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from swinir_deploy.cli.main import program

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
ADDRESSES = {"/healthz", "/readyz"}


def options_of_serve() -> set[str]:
    command = program.get_command(click.Context(program), "serve")
    assert command is not None
    return {option for parameter in command.params for option in parameter.opts}


def instruction(name: str) -> str:
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return next(line for line in text.splitlines() if line.startswith(f"{name} "))


@pytest.fixture
def pod() -> dict[str, Any]:
    deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    template = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    found: dict[str, Any] = template["spec"]
    return found


def test_kubernetes(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    port = container["ports"][0]["containerPort"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in ADDRESSES and asked["port"] == port
    assert {word for word in container["args"] if word.startswith("--")} <= options_of_serve()
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["securityContext"]["runAsUser"] == int(instruction("USER").split()[1])
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    tokens = container["args"][container["args"].index("--token-file") + 1]
    assert any(tokens.startswith(m["mountPath"] + "/") for m in container["volumeMounts"])


def test_compose() -> None:
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["swinir"]
    assert {word for word in service["command"] if word.startswith("--")} <= options_of_serve()
    assert service["read_only"] and (DEPLOY / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).is_file()


def test_dockerfile() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    text = (DEPLOY / "Dockerfile").read_text()
    for named in re.findall(r"EXTRAS=([\w,-]+)", text):
        assert set(named.split(",")) <= set(extras)
    words = [word.strip('",[]') for word in shlex.split(instruction("ENTRYPOINT"))]
    assert {word for word in words if word.startswith("--")} <= options_of_serve()
    assert any(address in instruction("HEALTHCHECK") for address in ADDRESSES)
