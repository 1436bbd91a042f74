"""Checkpoint files: the official network writes, load_checkpoint reads; and many broken ones."""

from __future__ import annotations

import collections
import functools
import json
import os
import pickle
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import official_network, official_state_dict
from safetensors.torch import save_file
from strategies import configs
from torch import Tensor

from swinir_deploy.errors import CheckpointError, InputError, SwinIRDeployWarning, UsageError
from swinir_deploy.models import checkpoint as checkpoint_module
from swinir_deploy.models.catalog import Catalog, load_catalog
from swinir_deploy.models.checkpoint import load_checkpoint, save_checkpoint
from swinir_deploy.models.hyperparameters import is_buffer
from swinir_deploy.network.config import SwinIRConfig
from swinir_deploy.network.swinir import SwinIR
from swinir_deploy.system.files import sha256_of

SMALL = SwinIRConfig(
    upscale=2,
    in_chans=3,
    window_size=4,
    img_range=1.0,
    depths=(2, 1),
    embed_dim=12,
    num_heads=(2, 3),
    upsampler="pixelshuffledirect",
    img_size=12,
)
JPEG = replace(
    SMALL, upscale=1, upsampler="", window_size=7, img_range=255.0, img_size=21, in_chans=1
)

StateDict = dict[str, Tensor]


@functools.cache
def _state_dict(config: SwinIRConfig) -> StateDict:
    return official_state_dict(config, seed=3)


def state_dict(config: SwinIRConfig = SMALL) -> StateDict:
    """Official names and buffers; a fresh dictionary."""
    return dict(_state_dict(config))


def weights(state: StateDict) -> StateDict:
    return {name: tensor for name, tensor in state.items() if not is_buffer(name)}


def assert_same(found: StateDict, wanted: StateDict) -> None:
    assert list(found) and set(found) == set(weights(wanted))
    for name, tensor in found.items():
        assert tensor.dtype == torch.float32
        assert tensor.is_contiguous()
        assert not tensor.requires_grad
        assert torch.equal(tensor, wanted[name].to(torch.float32)), name


# ---------------------------------------------------------------------------------- round trips

WRAPPERS: dict[str, Callable[[StateDict], Any]] = {
    "bare": lambda s: s,
    "ordered": collections.OrderedDict,
    "params": lambda s: {"params": s},
    "params_ema": lambda s: {"params_ema": s},
    "both": lambda s: {"params": {k: v + 1 for k, v in s.items()}, "params_ema": s},
    "state_dict": lambda s: {"state_dict": s, "epoch": 3, "loss": 0.5},
    "model": lambda s: {"model": s, "optimizer": {"state": {}}},
    "module": lambda s: {"params": {f"module.{k}": v for k, v in s.items()}},
    "lightning": lambda s: {"state_dict": {f"model.module.{k}": v for k, v in s.items()}},
    "parameters": lambda s: {
        k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in s.items()
    },
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt"])
def test_wrappers(tmp_path: Path, wrapper: str, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    torch.save(WRAPPERS[wrapper](state_dict()), path)
    found = load_checkpoint(path)
    assert_same(found.state_dict, state_dict())
    assert found.config == SMALL
    assert found.path == path
    assert found.sha256 == sha256_of(path)
    assert found.img_range_source == "default"
    assert found.card is None
    assert found.model_id == "model"


def test_the_old_pickle_format(tmp_path: Path) -> None:
    torch.save({"params": state_dict()}, tmp_path / "m.pth", _use_new_zipfile_serialization=False)
    assert_same(load_checkpoint(tmp_path / "m.pth").state_dict, state_dict())


def test_the_entry_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    other = {name: tensor * 2 for name, tensor in weights(state_dict()).items()}
    torch.save({"params": other, "params_ema": state_dict(), "mine": other}, path)
    assert load_checkpoint(path).key == "params_ema"
    for key in ("params", "mine"):
        found = load_checkpoint(path, key=key)
        assert found.key == key
        assert_same(found.state_dict, other)
    with pytest.raises(
        CheckpointError, match=r"no entry.*'ema'.*--key params; --key params_ema; --key mine"
    ):
        load_checkpoint(path, key="ema")


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(config=configs(), wrapper=st.sampled_from(list(WRAPPERS)), seed=st.integers(0, 9))
def test_random_official_networks_come_back(
    tmp_path_factory: pytest.TempPathFactory, config: SwinIRConfig, wrapper: str, seed: int
) -> None:
    official = official_network(config, seed)
    path = tmp_path_factory.mktemp("random") / "model.pth"
    torch.save(WRAPPERS[wrapper](official.network.state_dict()), path)
    found = load_checkpoint(path, img_range=config.img_range)
    assert_same(found.state_dict, official.network.state_dict())
    assert found.img_range_source == "caller"
    has_mask = any(name.endswith("attn_mask") for name in official.network.state_dict())
    assert found.config.mlp_hidden_dim == config.mlp_hidden_dim
    expected = replace(config, mlp_ratio=found.config.mlp_ratio)
    if not (config.ape or has_mask):
        expected = replace(expected, img_size=64)
    assert found.config == expected

    saved = save_checkpoint(path.with_suffix(".safetensors"), found.state_dict, config, "mine")
    again = load_checkpoint(saved)
    assert again.config == config
    assert again.img_range_source == "file"
    assert again.model_id == "mine"
    assert_same(again.state_dict, official.network.state_dict())

    network = SwinIR(again.config).eval()
    network.load_state_dict(again.state_dict, strict=True)
    side = config.img_size if config.ape else 2 * config.window_size + 1
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, config.in_chans, side, side, generator=generator)
    with torch.no_grad():
        wanted = official(image)
        assert (network(image) - wanted).abs().max() <= 1e-5 * max(1.0, float(wanted.abs().max()))


def test_a_fine_tuned_network_of_other_sizes(tmp_path: Path) -> None:
    config = SwinIRConfig(
        upscale=2,
        in_chans=3,
        window_size=8,
        img_range=1.0,
        depths=(6, 6, 6, 6),
        embed_dim=60,
        num_heads=(6, 6, 6, 6),
        upsampler="pixelshuffle",
        img_size=32,
    )
    torch.save({"params_ema": official_state_dict(config)}, tmp_path / "2x_Anime_Small.pth")
    found = load_checkpoint(tmp_path / "2x_Anime_Small.pth")
    assert found.config == config
    assert found.model_id == "2x_Anime_Small"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_other_floats_become_float32(tmp_path: Path, dtype: torch.dtype, suffix: str) -> None:
    state = {name: tensor.to(dtype) for name, tensor in weights(state_dict()).items()}
    path = tmp_path / f"m{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    assert_same(load_checkpoint(path).state_dict, state)


@pytest.mark.parametrize("name", ["m.safetensors", "m.pth", "m"])
def test_foreign_safetensors(tmp_path: Path, name: str) -> None:
    """Of other tools: no metadata, buffers inside, any suffix."""
    save_file({k: v.contiguous() for k, v in state_dict().items()}, tmp_path / name)
    found = load_checkpoint(tmp_path / name)
    assert_same(found.state_dict, state_dict())
    assert found.config == SMALL
    assert found.key is None
    with pytest.raises(CheckpointError, match=r"no entry.*--key 'params'"):
        load_checkpoint(tmp_path / name, key="params")


def test_buffers_of_any_size_are_ignored(tmp_path: Path) -> None:
    state = state_dict()
    prefix = "layers.0.residual_group.blocks.1."
    state[prefix + "attn_mask"] = torch.full((81, 16, 16), float("nan"))
    state[prefix + "attn.relative_position_index"] = torch.zeros(3, dtype=torch.int64)
    state["mean"] = torch.tensor([0.1, 0.2, 0.25]).view(1, 3, 1, 1)
    torch.save(state, tmp_path / "m.pth")
    found = load_checkpoint(tmp_path / "m.pth")
    assert_same(found.state_dict, state_dict())
    assert found.config == replace(SMALL, img_size=36, mean=(0.1, 0.2, 0.25))


# ------------------------------------------------------------------------------------ img_range


def test_the_window_7_rule(tmp_path: Path) -> None:
    torch.save({"params": state_dict(JPEG)}, tmp_path / "my_jpeg.pth")
    found = load_checkpoint(tmp_path / "my_jpeg.pth")
    assert (found.config.img_range, found.img_range_source) == (255.0, "window-7 rule")
    assert found.config == JPEG
    found = load_checkpoint(tmp_path / "my_jpeg.pth", img_range=1.0)
    assert (found.config.img_range, found.img_range_source) == (1.0, "caller")


def test_the_callers_range_wins_over_the_files(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "m.safetensors", state_dict(), replace(SMALL, img_range=4.0))
    assert load_checkpoint(path).config.img_range == 4.0
    assert load_checkpoint(path, img_range=2).config.img_range == 2.0


@pytest.mark.parametrize("img_range", [0.0, -1.0, float("nan")])
def test_a_senseless_range(tmp_path: Path, img_range: float) -> None:
    torch.save(state_dict(), tmp_path / "m.pth")
    with pytest.raises(UsageError, match="img_range"):
        load_checkpoint(tmp_path / "m.pth", img_range=img_range)


def use_catalog(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    card = replace(load_catalog().get("medium-jpeg-gray-40"), **changes)
    monkeypatch.setattr(checkpoint_module, "load_catalog", lambda: Catalog([card]))


def test_the_catalogue_knows_a_file_by_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "renamed.pth"
    other = {name: tensor * 2 for name, tensor in weights(state_dict()).items()}
    torch.save({"params": state_dict(), "params_ema": other}, path)
    config = replace(SMALL, img_range=128.0)
    use_catalog(monkeypatch, config=config, sha256=sha256_of(path))
    found = load_checkpoint(path)
    assert (found.config.img_range, found.img_range_source) == (128.0, "catalogue")
    assert found.key == "params"
    assert found.model_id == "medium-jpeg-gray-40"
    assert found.card is not None


def test_the_catalogue_knows_a_file_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "Official.pth"
    torch.save({"params": state_dict()}, path)
    use_catalog(monkeypatch, config=replace(SMALL, img_range=128.0), file="official.pth")
    assert load_checkpoint(path).img_range_source == "catalogue"
    assert caplog.text == ""
    use_catalog(
        monkeypatch, config=replace(SMALL, img_range=128.0), file="official.pth", sha256="0" * 64
    )
    with pytest.warns(SwinIRDeployWarning, match="published is 000"):
        found = load_checkpoint(path)
    assert found.card is None
    assert (found.config.img_range, found.model_id) == (1.0, "Official")


def test_an_official_name_on_another_network_means_nothing(tmp_path: Path) -> None:
    card = load_catalog().get("medium-jpeg-gray-40")
    torch.save({"params": state_dict()}, tmp_path / card.file)
    found = load_checkpoint(tmp_path / card.file)
    assert found.card is None
    assert (found.config.img_range, found.img_range_source) == (1.0, "default")


# --------------------------------------------------------------------------------- broken files


class Evil:
    """Would make a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("writer", ["torch", "torch-legacy", *range(pickle.HIGHEST_PROTOCOL + 1)])
def test_a_pickle_that_carries_code_is_refused(tmp_path: Path, writer: str | int) -> None:
    path, proof = tmp_path / "evil.pth", tmp_path / "executed"
    content = {"params": state_dict(), "extra": Evil(proof)}
    if isinstance(writer, int):
        path.write_bytes(pickle.dumps(content["extra"], protocol=writer))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=writer == "torch")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert not proof.exists()
    assert str(path) in str(caught.value)
    if writer not in (0, 1):  # These have no signature by which to know a pickle.
        assert "run any code" in str(caught.value)
        assert "safetensors" in str(caught.value)
    if writer == "torch":
        assert "mkdir" in str(caught.value)


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match=r"torch\.nn\.modules\.linear\.Linear"):
        load_checkpoint(tmp_path / "m.pth")


QKV = "layers.0.residual_group.blocks.1.attn.qkv.weight"


def changed(**tensors: Any) -> Callable[[Path], None]:
    """Saves the small network with tensors replaced, or removed where they are None."""

    def write(path: Path) -> None:
        state = {**state_dict(), **tensors}
        torch.save({k: v for k, v in state.items() if v is not None}, path)

    return write


def saved(content: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(content, path)


def raw(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def cut(fraction: float, legacy: bool = False) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        torch.save(state_dict(), path, _use_new_zipfile_serialization=not legacy)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * fraction)])

    return write


def zip_of_text(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no weights here")


def with_value(value: float) -> Tensor:
    tensor = state_dict()[QKV].clone()
    tensor[5, 5] = value
    return tensor


BROKEN: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "missing": (lambda path: None, ("does not exist",)),
    "empty": (raw(b""), ("empty (0 bytes)",)),
    "folder": (lambda path: path.mkdir(), ("is a folder",)),
    "text": (raw(b"hello, these are not weights" * 10), ("not what torch.save writes",)),
    "one byte": (raw(b"\x80"), ("Cannot read",)),
    "zeros": (raw(bytes(5000)), ("Cannot read",)),
    "web page": (raw(b"\n<!DOCTYPE html><title>Log in"), ("is a web page",)),
    "git lfs": (raw(b"version https://git-lfs.github.com/spec/v1\noid"), ("git lfs pull",)),
    "zip": (zip_of_text, ("Cannot read",)),
    "cut in the middle": (cut(0.5), ("cut short",)),
    "cut at the end": (cut(0.99), ("cut short",)),
    "cut, old format": (cut(0.5, legacy=True), ("cut short",)),
    "cut early, old format": (cut(0.01, legacy=True), ("cut short",)),
    "a tensor": (saved(torch.zeros(3)), ("holds one tensor without a name",)),
    "a number": (saved(7), ("holds a number",)),
    "a list": (saved([torch.zeros(3)]), ("no tensor 'conv_first.weight'",)),
    "an empty dict": (saved({}), ("holds the entries []",)),
    "foreign entries": (
        saved({"generator": {"a": torch.zeros(1)}, "epoch": 4}),
        ("no tensor 'conv_first.weight' among its 1 tensors (a)",),
    ),
    "another network": (
        saved({"params": {"body.0.weight": torch.zeros(1)}}),
        ("not a SwinIR", "body.0.weight"),
    ),
    "names that are numbers": (
        saved({"params": {1: torch.zeros(1)}}),
        ("no tensor 'conv_first.weight' among its 1 tensors (1)",),
    ),
    "missing tensor": (
        changed(**{QKV: None}),
        (QKV, "[36, 12]", "is missing", "The file has 52 tensors; the network has 53"),
    ),
    "missing bias": (changed(**{"norm.bias": None}), ("'norm.bias' of shape [12]", "missing")),
    "missing head": (changed(**{"upsample.0.bias": None}), ("upsample.0.bias", "missing")),
    "extra tensor": (
        changed(**{"conv_up3.weight": torch.zeros(2, 2)}),
        ("'conv_up3.weight' of shape [2, 2]", "not part of SwinIR"),
    ),
    "extra and missing": (
        changed(**{"conv_after.weight": torch.zeros(1), "conv_after_body.weight": None}),
        ("conv_after.weight", "conv_after_body.weight"),
    ),
    "wrong shape": (
        changed(**{QKV: torch.zeros(36, 11)}),
        (QKV, "has shape [36, 11]", "expected [36, 12]"),
    ),
    "scalar": (changed(**{"conv_first.bias": torch.tensor(1.0)}), ("has shape []", "[12]")),
    "NaN": (changed(**{QKV: with_value(float("nan"))}), (QKV, "NaN or Inf in 1 of 432")),
    "Inf": (changed(**{QKV: with_value(float("inf"))}), (QKV, "NaN or Inf")),
    "double beyond float": (
        changed(**{QKV: with_value(0.0).to(torch.float64) + 1e300}),
        (QKV, "in 432 of 432"),
    ),
    "integers": (changed(**{QKV: torch.zeros(36, 12, dtype=torch.int32)}), (QKV, "is int32")),
    "bytes": (changed(**{QKV: torch.zeros(36, 12, dtype=torch.uint8)}), (QKV, "is quantised")),
    "complex": (changed(**{QKV: torch.zeros(36, 12, dtype=torch.complex64)}), ("complex64",)),
    "sparse": (changed(**{QKV: torch.zeros(36, 12).to_sparse()}), (QKV, "a sparse tensor")),
    "meta": (changed(**{QKV: torch.zeros(36, 12, device="meta")}), (QKV, "device meta")),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files(tmp_path: Path, case: str) -> None:
    write, parts = BROKEN[case]
    path = tmp_path / "model.pth"
    write(path)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    for part in (str(path), *parts):
        assert part in str(caught.value)


@pytest.mark.parametrize("fraction", [0.001, 0.01, 0.5, 0.999])
def test_cut_safetensors(tmp_path: Path, fraction: float) -> None:
    path = save_checkpoint(tmp_path / "m.safetensors", state_dict(), SMALL)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    with pytest.raises(CheckpointError, match="cut short or damaged"):
        load_checkpoint(path)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), kind=st.sampled_from(["zip", "legacy", "safetensors"]))
def test_flipped_bytes_never_crash(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
) -> None:
    """Damage is reported as such, or harmless; nothing else is ever raised."""
    content = bytearray(intact_file(kind))
    # The first kilobytes hold the structure, where damage does most.
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, min(len(content), 4000) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("flip") / "m.pth"
    path.write_bytes(content)
    try:
        found = load_checkpoint(path)
    except CheckpointError as error:
        assert str(path) in str(error)
    else:
        assert all(torch.isfinite(tensor).all() for tensor in found.state_dict.values())


@functools.cache
def intact_file(kind: str) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        if kind == "safetensors":
            save_checkpoint(path, state_dict(), SMALL)
        else:
            torch.save(state_dict(), path, _use_new_zipfile_serialization=kind == "zip")
        return path.read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    torch.save(state_dict(), tmp_path / "m.pth")
    (tmp_path / "m.pth").chmod(0)
    with pytest.raises(CheckpointError, match="permissions"):
        load_checkpoint(tmp_path / "m.pth")
    (tmp_path / "m.pth").chmod(stat.S_IRUSR)


# --------------------------------------------------------------------------------------- saving


def test_saving_leaves_the_old_file_when_it_fails(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "m.safetensors", state_dict(), SMALL, "first")
    before = path.read_bytes()
    broken = {**state_dict(), QKV: with_value(float("nan"))}
    with pytest.raises(CheckpointError, match="NaN"):
        save_checkpoint(path, broken, SMALL, "second")
    with pytest.raises(CheckpointError, match="is missing"):
        save_checkpoint(path, state_dict(), replace(SMALL, depths=(2, 2)), "third")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_shared_tensors_can_be_saved(tmp_path: Path) -> None:
    state = state_dict()
    state["norm.weight"] = state["norm.bias"]
    state[QKV] = state[QKV].t().contiguous().t()
    assert_same(
        load_checkpoint(save_checkpoint(tmp_path / "m.safetensors", state, SMALL)).state_dict,
        state,
    )


def test_where_one_cannot_save(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.safetensors"):
        save_checkpoint(tmp_path / "m.pth", state_dict(), SMALL)
    with pytest.raises(InputError, match="folder"):
        save_checkpoint(tmp_path / "no" / "m.safetensors", state_dict(), SMALL)


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ("{", "is not valid"),
        ("[1]", "is not valid"),
        ('{"depths": [1]}', "is not valid"),
        (json.dumps({**SMALL.to_dict(), "img_range": "x"}), "is not valid"),
        (json.dumps({**SMALL.to_dict(), "window_size": 8}), "say window_size 8, its tensors 4"),
        (json.dumps({**SMALL.to_dict(), "mlp_ratio": 3}), "mlp_hidden_dim 36, its tensors 24"),
        (
            json.dumps({**SMALL.to_dict(), "upsampler": "pixelshuffle"}),
            "say upsampler 'pixelshuffle'",
        ),
    ],
)
def test_metadata_that_contradict_the_tensors(tmp_path: Path, config: str, part: str) -> None:
    path = tmp_path / "m.safetensors"
    save_file(weights(state_dict()), path, metadata={"swinir_deploy.config": config})
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert part in str(caught.value)
    assert str(path) in str(caught.value)
