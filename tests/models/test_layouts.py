"""Every layout of tests/models/layouts.py is read, asked for, or refused in the right words."""

from __future__ import annotations

import warnings
from pathlib import Path

import layouts
import pytest
import torch
from oracle import official_network
from test_checkpoint import SMALL, assert_same, state_dict

from swinir_deploy.errors import CheckpointError
from swinir_deploy.models.checkpoint import load_checkpoint


@pytest.fixture
def given(tmp_path: Path) -> layouts.Given:
    network = official_network(SMALL, seed=3).network
    weights = state_dict()
    other = {k: v * 2 if v.is_floating_point() else v for k, v in weights.items()}
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))])
    optimizer.param_groups[0]["params"][0].grad = torch.zeros(2)
    optimizer.step()
    return layouts.Given(weights, other, network, tmp_path / "m.pth", optimizer.state_dict())


def without_buffers(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k: v for k, v in state.items() if layouts._is_parameter(k)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", layouts.READ)
def test_read(given: layouts.Given, name: str) -> None:
    layouts.READ[name](given)
    found = load_checkpoint(given.path)
    wanted = without_buffers(given.weights)
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.float8_e5m2):
        if str(dtype) in name or ("half" in name and dtype == torch.float16):
            wanted = layouts.cast(wanted, dtype)
    assert_same(found.state_dict, wanted)
    assert found.config.upscale == SMALL.upscale


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", layouts.ASKED)
def test_asked_for(given: layouts.Given, name: str) -> None:
    write, options = layouts.ASKED[name]
    write(given)
    found = load_checkpoint(given.path, **options)
    assert_same(found.state_dict, without_buffers(given.weights))
    # What the checkpoint says of itself finds the same weights again, as an export records it.
    again = load_checkpoint(given.path, key=found.key, prefix=found.prefix or None)
    assert_same(again.state_dict, without_buffers(given.weights))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", layouts.REFUSED)
def test_refused(given: layouts.Given, name: str) -> None:
    write, parts = layouts.REFUSED[name]
    write(given)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(given.path)
    message = str(caught.value)
    assert str(given.path) in message
    for part in parts:
        assert part in message


def test_a_choice_is_said(given: layouts.Given) -> None:
    layouts.READ["params and params_ema"](given)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = load_checkpoint(given.path)
    texts = [str(warning.message) for warning in said]
    assert found.notes == tuple(texts)
    assert any("moving average ('params_ema')" in text and "--key params" in text for text in texts)
    assert found.key == "params_ema"


def test_a_key_that_is_not_there(given: layouts.Given) -> None:
    layouts.READ["params and params_ema"](given)
    with pytest.raises(CheckpointError, match=r"no entry.*'ema'.*--key params; --key params_ema"):
        load_checkpoint(given.path, key="ema")
