"""The description of the service in OpenAPI, and the page that shows it."""

from __future__ import annotations

from typing import Any

from swinir_deploy._version import __version__
from swinir_deploy.pictures.formats import FORMATS
from swinir_deploy.serving.service import Service

__all__ = ["openapi"]

_PROBLEM = {
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
}
_FAILURES = {
    "400": "There is no picture in the request.",
    "401": "The token is missing or wrong.",
    "404": "There is no such model.",
    "408": "The body came too slowly.",
    "413": "The body is too large.",
    "415": "The body is no picture of a kind that is read.",
    "422": "The picture is damaged or too large, or a parameter is wrong.",
    "429": "Too many pictures wait; Retry-After says when to try again.",
    "503": "The service starts, stops or has too little memory.",
    "504": "The picture was not finished in time.",
}


def openapi(service: Service, needs_token: bool) -> dict[str, Any]:
    """Return the OpenAPI document of a service."""
    pictures = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _kinds()}
    # Who has no token learns nothing about the service.
    names = {} if needs_token else {"enum": list(service.queues)}
    form = {
        "schema": {
            "type": "object",
            "properties": {"picture": {"type": "string", "format": "binary"}},
        }
    }
    restore: dict[str, Any] = {
        "summary": "Restore a picture",
        "operationId": "restore",
        "parameters": [
            _parameter("model", "Model.", {"type": "string", **names}),
            _parameter(
                "format",
                "Format of the result, such as png; else the Accept header decides, else it is "
                "that of the picture.",
                {"type": "string"},
            ),
            _parameter(
                "quality",
                "Quality of JPEG, WebP and AVIF.",
                {"type": "integer", "minimum": 1, "maximum": 100},
            ),
            _parameter(
                "tile",
                "Side of a tile in pixels; 0 is the whole picture.",
                {"type": "integer", "minimum": 0},
            ),
            _parameter("strip", "Leave out metadata.", {"type": "boolean", "default": False}),
        ],
        "requestBody": {"required": True, "content": {**pictures, "multipart/form-data": form}},
        "responses": {
            "200": {
                "description": "The restored picture. X-Notes names what was converted or lost.",
                "content": pictures,
            },
            **{code: {"description": text, **_PROBLEM} for code, text in _FAILURES.items()},
        },
    }
    document: dict[str, Any] = {
        "openapi": "3.0.3",
        "info": {
            "title": "swinir-deploy",
            "version": __version__,
            "description": "Restores pictures with SwinIR: larger, without noise, without blocks.",
        },
        "paths": {
            "/v1/restore": {"post": restore},
            "/v1/models": {"get": _plain("The models of this service", "application/json")},
            "/healthz": {"get": _plain("Whether the process lives", "text/plain")},
            "/readyz": {"get": _plain("Whether requests are taken", "text/plain")},
            "/metrics": {"get": _plain("Numbers for Prometheus", "text/plain")},
        },
        "components": {
            "schemas": {
                "Problem": {
                    "type": "object",
                    "required": ["type", "title", "status", "detail"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                    },
                }
            }
        },
    }
    if needs_token:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _kinds() -> list[str]:
    return [kind.media_type for kind in FORMATS.values()]


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _plain(summary: str, media: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {"200": {"description": summary, "content": {media: {}}}},
    }
