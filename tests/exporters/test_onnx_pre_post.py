"""The edges alone in ONNX Runtime, against NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from exported import open_model
from variants import SMALL

from swinir_deploy.artifacts.metadata import IoLayout
from swinir_deploy.exporters.onnx.pre_post import (
    INPUT_NAME,
    OUTPUT_NAME,
    closing_edge,
    opening_edge,
)


def run(graph: onnx.GraphProto, **inputs: np.ndarray) -> np.ndarray:
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=10
    )
    onnx.checker.check_model(model, full_check=True)
    return open_model(model).run(None, inputs)[0]


@pytest.mark.parametrize("window", [4, 7, 8])
def test_padding_is_reflection_to_whole_windows(window: int) -> None:
    graph = opening_edge(replace(SMALL, window_size=window), "tensor")
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=10
    )
    session = open_model(model)
    for height in (window // 2 + 1, window - 1, window, window + 1, 3 * window):
        for width in (window // 2 + 1, 2 * window - 1):
            picture = np.random.default_rng(0).random((2, 3, height, width), np.float32)
            below, right = -height % window, -width % window
            wanted = np.pad(picture, ((0, 0), (0, 0), (0, below), (0, right)), "reflect")
            assert np.array_equal(session.run(None, {INPUT_NAME: picture})[0], wanted)


def test_every_byte_becomes_what_division_gives() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    found = run(opening_edge(SMALL, "image"), input=levels)
    wanted = levels.astype(np.float32) / np.float32(255)
    assert np.array_equal(found, wanted.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_are_interleaved(channels: int) -> None:
    levels = np.random.default_rng(1).integers(0, 256, (2, 9, 17, channels), np.uint8)
    found = run(opening_edge(SMALL, "image"), input=levels)
    assert found.shape == (2, channels, 16, 24)
    planar = levels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    assert np.array_equal(found[:, :, :9, :17], planar)


@pytest.mark.parametrize("io", ["tensor", "image"])
@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_the_crop_is_the_picture_scaled(io: IoLayout, scale: int) -> None:
    config = replace(SMALL, upscale=scale, upsampler="pixelshuffle")
    restored = np.random.default_rng(2).random((2, 3, 16 * scale, 24 * scale), np.float32)
    dtype = np.uint8 if io == "image" else np.float32
    shape = (2, 9, 17, 3) if io == "image" else (2, 3, 9, 17)
    found = run(closing_edge(config, io), restored=restored, input=np.zeros(shape, dtype))
    cropped = restored[:, :, : 9 * scale, : 17 * scale]
    if io == "image":
        levels = np.round(cropped * np.float32(255)).astype(np.uint8)
        assert np.array_equal(found, levels.transpose(0, 2, 3, 1))
    else:
        assert np.array_equal(found, cropped)


def to_bytes(values: np.ndarray) -> np.ndarray:
    config = replace(SMALL, upscale=1, upsampler="")
    restored = values.astype(np.float32).reshape(1, 1, 1, -1)
    fed = np.zeros((1, 1, restored.size, 1), np.uint8)
    return run(closing_edge(config, "image"), restored=restored, input=fed).reshape(-1)


def test_bytes_are_rounded_half_to_even() -> None:
    # Multiples of 1/510 that are exact halves of a level after the product in float32.
    halves = (np.arange(255) + 0.5) / 255
    exact = halves.astype(np.float32)[(halves.astype(np.float32) * np.float32(255)) % 1 == 0.5]
    assert len(exact) > 100
    levels = exact * np.float32(255)
    wanted = np.where(np.floor(levels) % 2 == 0, np.floor(levels), np.ceil(levels))
    assert np.array_equal(to_bytes(exact), wanted.astype(np.uint8))


def test_bytes_are_clamped() -> None:
    values = np.array([-np.inf, -1e9, -1e-3, 0, 1, 1.001, 1e9, np.inf])
    assert to_bytes(values).tolist() == [0, 0, 0, 0, 255, 255, 255, 255]


def test_every_level_comes_back() -> None:
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_bytes(levels.astype(np.float32) / np.float32(255)), levels)


@pytest.mark.parametrize("io", ["tensor", "image"])
def test_names_meet_the_assembly(io: IoLayout) -> None:
    opening, closing = opening_edge(SMALL, io), closing_edge(SMALL, io)
    assert [value.name for value in opening.input] == [INPUT_NAME]
    assert [value.name for value in opening.output] == ["padded"]
    assert [value.name for value in closing.input] == ["restored", INPUT_NAME]
    assert [value.name for value in closing.output] == [OUTPUT_NAME]
