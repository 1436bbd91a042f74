"""Names of devices."""

from __future__ import annotations

import pytest

from swinir_deploy.errors import UsageError
from swinir_deploy.system.device import Device, parse_device, split_device


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("cpu", ("cpu", 0)),
        ("cuda", ("cuda", 0)),
        ("cuda:0", ("cuda", 0)),
        ("cuda:12", ("cuda", 12)),
    ],
)
def test_names(name: str, device: tuple[str, int]) -> None:
    assert parse_device(name, ("cpu", "cuda"), "cpu or cuda:0", "ort") == Device(*device)
    assert split_device(name) == Device(*device)


def test_another_sign_before_the_number() -> None:
    assert parse_device("gpu.1", ("gpu",), "gpu or gpu.1", "openvino", ".") == Device("gpu", 1)


@pytest.mark.parametrize("name", ["", "gpu", "cuda:x", "cuda:-1", "cuda:1:2", "cuda.1", "CUDA"])
def test_what_is_no_device_is_said(name: str) -> None:
    with pytest.raises(UsageError, match=r"Unknown device .* for ort. Give cpu or cuda:0."):
        parse_device(name, ("cpu", "cuda"), "cpu or cuda:0", "ort")
