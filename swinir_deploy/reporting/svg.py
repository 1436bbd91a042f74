"""Make a drawing of matplotlib a part of an HTML page: small, in the page's colours and letters."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

__all__ = ["COLOURS", "inline_svg"]

COLOURS = {
    "ink": "#0a0001",
    "muted": "#0a0002",
    "line": "#0a0003",
    "first": "#0a0004",
    "second": "#0a0005",
    "bad": "#0a0006",
}
"""Role -> the colour that stands for it while matplotlib draws. In the page it is the variable of
that name, which has one value on light paper and another on dark."""

_ROLES = {colour: f"var(--{role})" for role, colour in COLOURS.items()}
_FONT = re.compile(r"font-family: [^;]*;? ?")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_LEFT_OUT = {"metadata", "style", "title"}


def inline_svg(text: str, prefix: str) -> str:
    """Return an SVG document as an element for an HTML page.

    Colours of :data:`COLOURS` become variables of the page, fonts those of the page, and ids get a
    prefix, because several drawings share a page.

    Args:
        text: what matplotlib wrote.
        prefix: differs from that of every other drawing.
    """
    root = ET.fromstring(text)
    for parent in list(root.iter()):
        for child in [c for c in parent if _local(c.tag) in _LEFT_OUT]:
            parent.remove(child)
    used = {ref for e in root.iter() for value in e.attrib.values() for ref in _references(value)}
    for element in root.iter():
        element.tag = _local(element.tag)
        attributes = {_local(name): value for name, value in element.attrib.items()}
        element.attrib.clear()
        for name, value in attributes.items():
            if name == "id":
                if value in used:
                    element.set(name, prefix + value)
            elif name not in ("version", "width", "height") or element is not root:
                element.set(name, _translated(value, prefix))
    root.set("aria-hidden", "true")
    root.set("focusable", "false")
    return ET.tostring(root, encoding="unicode")


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _references(value: str) -> list[str]:
    return [value[1:]] if value.startswith("#") else _REFERENCE.findall(value)


def _translated(value: str, prefix: str) -> str:
    if value in _ROLES:
        return _ROLES[value]
    if value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    for colour, variable in _ROLES.items():
        value = value.replace(colour, variable)
    value = _REFERENCE.sub(lambda found: f"url(#{prefix}{found[1]})", value)
    return _FONT.sub("", value)
