"""Checkpoints laid out as public training code lays them out, each with what is right for it.

``../shared/cases/checkpoints/make.py`` makes others. Every layout holds the same network twice at
most: ``weights``, which must be found, and ``other``, the same names with other values.
"""

from __future__ import annotations

import argparse
import collections
import copy
import datetime
import decimal
import enum
import functools
import json
import pathlib
import pickle
import types
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.utils.prune
from safetensors.torch import save, save_file
from torch import Tensor

State = dict[str, Tensor]


@dataclass
class Settings:
    """A configuration class of somebody's training code."""

    lr: float = 1e-4
    scale: int = 2


class Plain:
    """An object with attributes, of a class that is not there when the file is read."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class EasyDict(dict):  # type: ignore[type-arg]
    """As the distribution easydict has it: a dictionary with attributes."""


@dataclass(frozen=True)
class Given:
    """What a layout is made of.

    Attributes:
        weights: official names -> tensors that must be found.
        other: the same names with other values.
        network: a module whose state is ``weights``.
        path: the file to write.
    """

    weights: State
    other: State
    network: torch.nn.Module
    path: Path
    optimizer: dict[str, Any] = field(default_factory=dict)


Writer = Callable[[Given], Any]
READ: dict[str, Writer] = {}
"""Name -> writes a file whose ``weights`` must be read without an option."""
ASKED: dict[str, tuple[Writer, dict[str, str]]] = {}
"""Name -> writes a file of several networks, and the options that choose ``weights``."""
REFUSED: dict[str, tuple[Writer, tuple[str, ...]]] = {}
"""Name -> writes a file that must be refused, and parts of the message."""


def under(prefix: str, state: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: value for name, value in state.items()}


def cast(state: State, dtype: torch.dtype) -> State:
    return {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}


def saved(content: Callable[[Given], Any], **options: Any) -> Writer:
    return lambda given: torch.save(content(given), given.path, **options)


def safe(content: Callable[[Given], State], metadata: dict[str, str] | None = None) -> Writer:
    def write(given: Given) -> None:
        tensors = {name: value.clone().contiguous() for name, value in content(given).items()}
        given.path.write_bytes(save(tensors, metadata=metadata))

    return write


def _lightning(prefix: str, more: Callable[[Given], dict[str, Any]] = lambda _: {}) -> Writer:
    return saved(
        lambda g: {
            "epoch": 3,
            "global_step": 100,
            "pytorch-lightning_version": "2.4.0",
            "state_dict": {**under(prefix, g.weights), **more(g)},
            "loops": {"fit_loop": {"state_dict": {}}},
            "callbacks": {"EarlyStopping{}": {"best_score": torch.tensor(3.0)}},
            "optimizer_states": [g.optimizer],
            "hyper_parameters": {"lr": 2e-4, "betas": (0.9, 0.99)},
        }
    )


# -------------------------------------------------------------------------- entries and prefixes

for _key in (
    "weights",
    "netG",
    "net_g",
    "generator",
    "G",
    "g_state",
    "model_state",
    "modelState",
    "network_state_dict",
    "swinir_state_dict",
    "my-net.v2",
):
    READ[f"entry {_key}"] = saved(lambda g, key=_key: {key: g.weights, "epoch": 1})
for _prefix in (
    "generator.",
    "net_g.module.",
    "module.model.",
    "model._orig_mod.",
    "_orig_mod.module.",
    "sr_net.",
    "models.0.",
    "student_model.",
    "_forward_module.model.",
    "restoration_model.swinir.",
    "encoder/net/",
):
    READ[f"prefix {_prefix}"] = saved(lambda g, prefix=_prefix: under(prefix, g.weights))
    READ[f"lightning {_prefix}"] = _lightning(_prefix)

READ["nested three deep"] = saved(
    lambda g: {"checkpoint": {"models": {"net_g": {"params": g.weights}}}}
)
READ["list of two, one a network"] = saved(lambda g: [{"epoch": 1}, g.weights, g.optimizer])
READ["tuple"] = saved(lambda g: (g.weights, 3, "text"))
READ["nested dictionaries of modules"] = saved(lambda g: _nested(g.weights))
READ["one dictionary for each module"] = saved(lambda g: {"net": _by_module(g.weights)})
READ["names with slashes"] = saved(
    lambda g: {f"net/{k.replace('.', '/')}": v for k, v in g.weights.items()}
)
READ["list of pairs"] = saved(lambda g: list(g.weights.items()))
READ["named_parameters"] = saved(lambda g: {"params": list(g.network.named_parameters())})
READ["ignite"] = saved(lambda g: {"model": g.weights, "optimizer": g.optimizer, "trainer": {}})
READ["catalyst"] = saved(
    lambda g: {"model_state_dict": g.weights, "epoch_metrics": {"train": {"loss": np.float64(1)}}}
)
READ["deepspeed module"] = saved(
    lambda g: {
        "module": g.weights,
        "buffer_names": [],
        "optimizer": None,
        "param_shapes": [collections.OrderedDict((k, v.shape) for k, v in g.weights.items())],
        "ds_version": "0.14.0",
        "dp_world_size": 1,
    }
)
READ["accelerate model.bin"] = saved(lambda g: under("module.", g.weights))
READ["fsdp gathered"] = saved(
    lambda g: {
        "_fsdp_wrapped_module."
        + k.replace("residual_group", "_fsdp_wrapped_module.residual_group"): v
        for k, v in g.weights.items()
    }
)
READ["blocks under activation checkpointing"] = saved(
    lambda g: {
        k.replace("attn.", "attn._checkpoint_wrapped_module."): v for k, v in g.weights.items()
    }
)
READ["blocks compiled one by one"] = saved(
    lambda g: {k.replace(".blocks.1.", ".blocks.1._orig_mod."): v for k, v in g.weights.items()}
)
READ["generator and discriminator by prefix"] = _lightning(
    "net_g.",
    lambda g: {
        "net_d.conv_first.weight": torch.zeros(8, 3, 3, 3),
        "net_d.out.bias": torch.zeros(1),
    },
)
READ["with a VGG and an LPIPS"] = _lightning(
    "",
    lambda g: {
        "perceptual_loss.vgg.features.0.weight": torch.zeros(4, 3, 3, 3),
        "lpips.lin0.model.1.weight": torch.zeros(1, 4, 1, 1),
        "val_psnr.sum_squared_error": torch.tensor(3.0),
        "n_averaged": torch.tensor(7),
    },
)
READ["root epoch among tensors"] = saved(lambda g: {**g.weights, "epoch": 3, "best": 31.2})
READ["root counters of thop"] = saved(
    lambda g: {**g.weights, "total_ops": torch.zeros(1), "layers.0.total_ops": torch.zeros(1)}
)
READ["an RRDB beside, which also has a conv_first"] = saved(
    lambda g: {
        "teacher": {
            "conv_first.weight": torch.zeros(4, 3, 3, 3),
            "body.0.rdb1.bias": torch.zeros(4),
        },
        "student": g.weights,
    }
)
READ["the same tensors under two entries"] = saved(lambda g: {"model": g.weights, "net": g.weights})
READ["equal copies under two entries"] = saved(
    lambda g: {"last": g.weights, "best": copy.deepcopy(g.weights)}
)

# -------------------------------------------------------------------------------- moving averages

READ["params and params_ema"] = saved(lambda g: {"params": g.other, "params_ema": g.weights})
READ["state_dict_ema of timm"] = saved(
    lambda g: {"state_dict": g.other, "state_dict_ema": g.weights, "arch": "swinir"}
)
READ["model and ema_state_dict"] = saved(
    lambda g: {"model": g.other, "ema_state_dict": {"module": g.weights, "decay": 0.999}}
)
READ["generator and generator_ema of mmagic"] = saved(
    lambda g: {
        "meta": {"iter": 5},
        "state_dict": {
            **under("generator.", g.other),
            **under("generator_ema.module.", g.weights),
            "generator_ema.steps": torch.tensor(5),
            "step_counter": torch.tensor(5),
        },
    }
)
READ["online_model and ema_model"] = saved(
    lambda g: {
        **under("online_model.", g.other),
        **under("ema_model.", g.weights),
        "initted": torch.tensor([True]),
        "step": torch.tensor([3]),
    }
)
READ["shadow of a Trainer"] = saved(
    lambda g: {"model": g.other, "ema": {"shadow": g.weights, "decay": 0.99}}
)
READ["shadow_params of torch-ema"] = saved(
    lambda g: {
        "model": g.other,
        "ema": {
            "decay": 0.999,
            "num_updates": 9,
            "shadow_params": [v for k, v in g.weights.items() if _is_parameter(k)],
            "collected_params": None,
        },
    }
)
READ["LitEma without dots"] = saved(
    lambda g: {
        "state_dict": {
            **under("model.", g.other),
            **{
                f"model_ema.{k.replace('.', '')}": v
                for k, v in g.weights.items()
                if _is_parameter(k)
            },
            "model_ema.decay": torch.tensor(0.999),
            "model_ema.num_updates": torch.tensor(3),
        }
    }
)
READ["ema inside DataParallel"] = saved(
    lambda g: {**under("module.model.", g.other), **under("module.model_ema.module.", g.weights)}
)
READ["WeightAveraging of Lightning"] = saved(
    lambda g: {
        "state_dict": under("model.", g.weights),
        "current_model_state": under("model.", g.other),
        "averaging_state": {"n_averaged": torch.tensor(3)},
    }
)
READ["avg_model beside model"] = saved(lambda g: {"model": g.other, "avg_model": g.weights})
READ["AveragedModel with n_averaged"] = saved(
    lambda g: {"n_averaged": torch.tensor(3), **under("module.", g.weights)}
)
ASKED["params beside params_ema"] = (
    saved(lambda g: {"params": g.weights, "params_ema": g.other}),
    {"key": "params"},
)
ASKED["two networks"] = (saved(lambda g: {"net_a": g.other, "net_b": g.weights}), {"key": "net_b"})
ASKED["student and teacher by prefix"] = (
    _lightning("student.", lambda g: under("teacher.", g.other)),
    {"prefix": "student."},
)
ASKED["generator beside its average"] = (
    saved(lambda g: {**under("generator.", g.weights), **under("generator_ema.", g.other)}),
    {"prefix": "generator"},
)
ASKED["nested entries"] = (
    saved(lambda g: {"a": {"net": g.other}, "b": {"net": g.weights}}),
    {"key": "b.net"},
)
ASKED["safetensors with both"] = (
    safe(lambda g: {**under("params.", g.weights), **under("params_ema.", g.other)}),
    {"key": "params"},
)

# ------------------------------------------------------------------------------- Python's objects

BESIDE: dict[str, Callable[[], Any]] = {
    "numpy scalar": lambda: np.float64(33.8),
    "numpy bool": lambda: np.bool_(True),
    "numpy array": lambda: np.arange(5.0),
    "numpy array of texts": lambda: np.array(["a", "b"]),
    "numpy object array": lambda: np.array([None, 1], dtype=object),
    "numpy random state": lambda: np.random.RandomState(1).get_state(),
    "numpy generator": lambda: np.random.default_rng(1),
    "Namespace": lambda: argparse.Namespace(lr=1e-4, path=pathlib.PurePosixPath("a/b")),
    "SimpleNamespace": lambda: types.SimpleNamespace(a=1),
    "Path": lambda: pathlib.PurePosixPath("data"),
    "Windows path": lambda: pathlib.PureWindowsPath("C:/data"),
    "datetime": lambda: [
        datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.UTC),
        datetime.timedelta(seconds=3),
        datetime.date(2024, 1, 2),
    ],
    "TorchVersion": lambda: torch.__version__,
    "partial": lambda: functools.partial(torch.optim.Adam, lr=1e-4),
    "a class": lambda: torch.nn.LayerNorm,
    "a function": lambda: torch.nn.functional.gelu,
    "deque": lambda: collections.deque([1.0, 2.0], maxlen=5),
    "defaultdict": lambda: collections.defaultdict(list, a=[1]),
    "Counter": lambda: collections.Counter("aab"),
    "set and frozenset": lambda: ({1, 2}, frozenset("ab")),
    "Decimal and UUID": lambda: (decimal.Decimal("1.5"), uuid.UUID(int=3)),
    "bytes and bytearray": lambda: (b"ab", bytearray(b"cd")),
    "slice, range, complex": lambda: (slice(1, 2), range(3), 1j),
    "dataclass of the training code": Settings,
    "object of the training code": lambda: Plain(lr=1e-4, child=Plain(a=[1, 2])),
    "EasyDict": lambda: EasyDict(scale=2),
    "device, dtype, Size": lambda: (torch.device("cuda:0"), torch.float16, torch.Size([1, 2])),
    "generator state": torch.get_rng_state,
    "optimizer object": lambda: torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], 0.1),
    "long history": lambda: [{"loss": float(i)} for i in range(2000)],
    "key that is no text": lambda: {(1, (2, 3)): "x", None: 1, 5: 2},
    "itself": lambda: _circle(),
    "whole module beside": lambda: torch.nn.Conv2d(3, 4, 3),
}
for _name, _make in BESIDE.items():
    READ[f"beside: {_name}"] = saved(lambda g, make=_make: {"state_dict": g.weights, "x": make()})
    READ[f"before: {_name}"] = saved(
        lambda g, make=_make: {"x": make(), "state_dict": g.weights},
        _use_new_zipfile_serialization=False,
    )
for _protocol in (0, 1, 3, 4, 5):
    if _protocol >= 2:
        READ[f"torch.save, protocol {_protocol}"] = saved(
            lambda g: {"state_dict": g.weights, "x": BESIDE["Namespace"]()},
            pickle_protocol=_protocol,
        )
    READ[f"pickle.dump, protocol {_protocol}"] = lambda g, protocol=_protocol: g.path.write_bytes(
        pickle.dumps({"model": g.weights, "lr": np.float32(1)}, protocol)
    )
    READ[f"pickle.dump of arrays, protocol {_protocol}"] = lambda g, protocol=_protocol: (
        g.path.write_bytes(pickle.dumps(_arrays(g.weights), protocol))
    )

# ----------------------------------------------------------------------------- tensors and dtypes

for _dtype in (torch.float16, torch.bfloat16, torch.float64, torch.float8_e5m2):
    READ[f"{_dtype}"] = saved(lambda g, dtype=_dtype: cast(g.weights, dtype))
READ["channels_last"] = saved(
    lambda g: {
        k: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v
        for k, v in g.weights.items()
    }
)
READ["transposed views"] = saved(
    lambda g: {k: v.t().contiguous().t() if v.ndim == 2 else v for k, v in g.weights.items()}
)
READ["views into one flat buffer"] = saved(lambda g: _flat(g.weights))
READ["views into one flat buffer, legacy"] = saved(
    lambda g: _flat(g.weights), _use_new_zipfile_serialization=False
)
READ["parameters that need gradients"] = saved(
    lambda g: {
        k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in g.weights.items()
    }
)
READ["buffers"] = saved(lambda g: {k: torch.nn.Buffer(v) for k, v in g.weights.items()})
READ["numpy arrays in columns"] = saved(
    lambda g: {k: np.asfortranarray(v) for k, v in _arrays(g.weights).items()}
)
READ["numpy arrays, big-endian"] = saved(
    lambda g: {k: v.astype(v.dtype.newbyteorder(">")) for k, v in _arrays(g.weights).items()}
)
READ["no buffers, as EMA of parameters"] = saved(
    lambda g: {k: v for k, v in g.weights.items() if _is_parameter(k)}
)

# ------------------------------------------------------------------------------------- containers

READ["legacy"] = saved(lambda g: {"params": g.weights}, _use_new_zipfile_serialization=False)
READ["npz"] = lambda g: _npz(g)
READ["safetensors under a prefix"] = safe(lambda g: under("model.net.", g.weights))
READ["safetensors, half"] = safe(lambda g: cast(g.weights, torch.float16))
READ["safetensors with metadata of traiNNer-redux"] = safe(
    lambda g: g.weights, {"metadata": json.dumps({"upscale": 2, "img_range": 1.0})}
)
READ["zip that was compressed again"] = lambda g: _compressed(g)
READ["index of safetensors parts"] = lambda g: _sharded(g)

# ---------------------------------------------------------------------------------------- refused


class Evil:
    """Would run code if it were unpickled."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


class Mode(enum.Enum):
    """A choice of somebody's training code; pickled as a call of its class."""

    FAST = 1


def _refused_weights(change: Callable[[torch.nn.Module], Any]) -> Callable[[Given], Any]:
    def content(given: Given) -> Any:
        network = copy.deepcopy(given.network)
        return (change(network) or network).state_dict()

    return content


def _each(network: torch.nn.Module, kind: type, change: Callable[[Any], Any]) -> None:
    for module in list(network.modules()):
        if isinstance(module, kind):
            change(module)


def _parametrized(name: str) -> Callable[[torch.nn.Module], None]:
    function = getattr(torch.nn.utils.parametrizations, name)
    return lambda network: _each(network, torch.nn.Conv2d, function)


REFUSED["code beside"] = (
    saved(lambda g: {"params": g.weights, "x": Evil(eval, "1 + 1")}),
    ("run any code", "builtins.eval", "safetensors"),
)
REFUSED["code in a legacy file"] = (
    saved(
        lambda g: {"params": g.weights, "x": Evil(print, "x")}, _use_new_zipfile_serialization=False
    ),
    ("run any code", "builtins.print"),
)
REFUSED["getattr, the usual gadget"] = (
    saved(lambda g: {"params": g.weights, "x": Evil(getattr, {}, "clear")}),
    ("run any code", "builtins.getattr"),
)
REFUSED["two networks"] = (
    saved(lambda g: {"net_a": g.weights, "net_b": g.other}),
    ("2 networks", "--key net_a", "--key net_b"),
)
REFUSED["no such key"] = (
    saved(lambda g: {"net_a": g.weights, "net_b": g.other}),
    ("2 networks",),
)
REFUSED["whole network"] = (saved(lambda g: g.network), ("whole network", "state_dict()"))
REFUSED["whole network in an entry"] = (
    saved(lambda g: {"model": g.network, "epoch": 3}),
    ("whole network", "state_dict()"),
)
REFUSED["optimizer"] = (saved(lambda g: g.optimizer), ("state of an optimizer", "another file"))
REFUSED["training state"] = (
    saved(lambda g: {"epoch": 1, "iter": 5, "optimizers": [g.optimizer], "schedulers": []}),
    ("state of a training run",),
)
REFUSED["scheduler"] = (
    saved(lambda g: {"last_epoch": 3, "_step_count": 4, "base_lrs": [1.0]}),
    ("learning-rate scheduler",),
)
REFUSED["gradient scaler"] = (
    saved(lambda g: {"scale": 65536.0, "growth_factor": 2.0}),
    ("gradient scaler",),
)
REFUSED["discriminator"] = (
    saved(lambda g: {"params": {"conv0.weight": torch.zeros(8, 3, 3, 3)}}),
    ("no tensor 'conv_first.weight'", "conv0.weight"),
)
REFUSED["TorchScript"] = (
    lambda g: torch.jit.save(
        torch.jit.trace(torch.nn.Conv2d(3, 3, 3), torch.zeros(1, 3, 8, 8)), g.path
    ),
    ("TorchScript",),
)
REFUSED["pruned"] = (
    saved(
        _refused_weights(
            lambda n: _each(
                n,
                torch.nn.Linear,
                lambda m: torch.nn.utils.prune.l1_unstructured(m, "weight", 0.3),
            )
        )
    ),
    ("pruned", "prune.remove"),
)
REFUSED["weight norm"] = (
    saved(_refused_weights(_parametrized("weight_norm"))),
    ("weight norm", "remove_"),
)
REFUSED["weight norm, old form"] = (
    saved(
        lambda g: {
            **{k: v for k, v in g.weights.items() if k != "conv_first.weight"},
            "conv_first.weight_g": torch.ones(12, 1, 1, 1),
            "conv_first.weight_v": g.weights["conv_first.weight"],
        }
    ),
    ("weight norm", "remove_weight_norm"),
)
REFUSED["spectral norm"] = (
    saved(_refused_weights(_parametrized("spectral_norm"))),
    ("spectral norm", "remove_"),
)
REFUSED["LoRA"] = (
    saved(
        lambda g: {
            **g.weights,
            "layers.0.residual_group.blocks.0.attn.qkv.lora_A": torch.zeros(4, 12),
            "layers.0.residual_group.blocks.0.attn.qkv.lora_B": torch.zeros(36, 4),
        }
    ),
    ("LoRA", "Merge the adapter"),
)
REFUSED["LoRA of PEFT"] = (
    saved(
        lambda g: under(
            "base_model.model.",
            {
                **{k.replace("attn.qkv.", "attn.qkv.base_layer."): v for k, v in g.weights.items()},
                "layers.0.residual_group.blocks.0.attn.qkv.lora_A.default.weight": torch.zeros(
                    4, 12
                ),
            },
        )
    ),
    ("LoRA", "Merge the adapter"),
)
REFUSED["a LoRA alone"] = (
    saved(lambda g: {"base_model.model.layers.0.attn.qkv.lora_A.weight": torch.zeros(4, 12)}),
    ("adapter (LoRA) without the network",),
)
REFUSED["dynamic int8"] = (
    saved(
        _refused_weights(
            lambda n: torch.ao.quantization.quantize_dynamic(n, {torch.nn.Linear}, torch.qint8)
        )
    ),
    ("quantised", "Give the checkpoint in float"),
)
REFUSED["plain int8 weights"] = (
    saved(
        lambda g: {
            k: v.to(torch.int8) if v.is_floating_point() and v.ndim > 1 else v
            for k, v in g.weights.items()
        }
    ),
    ("quantised",),
)
REFUSED["Swin2SR of transformers"] = (
    saved(lambda g: {"swin2sr.first_convolution.weight": torch.zeros(4, 3, 3, 3)}),
    ("Swin2SR", "not a SwinIR"),
)
REFUSED["a changed network"] = (
    saved(lambda g: {**g.weights, "layers.0.residual_group.cab.weight": torch.zeros(2, 2)}),
    ("'layers.0.residual_group.cab.weight'", "not part of SwinIR"),
)
REFUSED["a changed network, at the root"] = (
    saved(lambda g: {**g.weights, "fusion.weight": torch.zeros(2, 2)}),
    ("'fusion.weight'", "not part of SwinIR"),
)
REFUSED["ZeRO-3 without its values"] = (
    saved(lambda g: {"module": {k: torch.empty(0) for k in g.weights}}),
    ("shape [0]",),
)
REFUSED["nothing but numbers"] = (saved(lambda g: {"a": 1, "b": [2]}), ("no tensors with names",))


def raw(content: bytes, *parts: str) -> tuple[Writer, tuple[str, ...]]:
    return (lambda g: g.path.write_bytes(content)), parts


REFUSED["empty"] = raw(b"", "empty (0 bytes)")
REFUSED["Git LFS pointer"] = raw(
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n", "Git LFS", "git lfs pull"
)
REFUSED["web page"] = raw(b"\n\n<!DOCTYPE html><html>", "web page", "Download the file itself")
REFUSED["answer of a server"] = raw(b"Entry not found", "answer of a server")
REFUSED["JSON error"] = raw(b'{"error":"Repository not found"}', "answer of a server")
REFUSED["JSON"] = raw(b'{"upscale": 2, "depths": [6]}', "text in JSON")
REFUSED["gzip"] = raw(b"\x1f\x8b\x08\x00" + bytes(99), "gzip archive", "Unpack it")
REFUSED["HDF5"] = raw(b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5")
REFUSED["a picture"] = raw(b"\x89PNG\r\n\x1a\n" + bytes(99), "picture")
REFUSED["ONNX under another name"] = raw(
    b"\x08\x0a\x12\x07pytorch\x1a\x052.1.0" + bytes(99), "ONNX file", ".onnx"
)
REFUSED["text"] = raw(b"hello, these are no weights" * 9, "not what torch.save writes")
REFUSED["zip of something else"] = (
    lambda g: _zip(g.path, {"readme.txt": b"no weights", "model.pth": b"x"}),
    ("zip archive of other files", "model.pth"),
)
REFUSED["numpy array of objects"] = (
    lambda g: np.save(g.path.open("wb"), np.array([g.weights], dtype=object)),
    ("Cannot read",),
)


# ---------------------------------------------------------------------------------------- helpers


def _is_parameter(name: str) -> bool:
    return not name.endswith(("attn_mask", "relative_position_index"))


def _arrays(state: State) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in state.items()}


def _nested(state: State) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, tensor in state.items():
        *parents, last = name.split(".")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = tensor
    return tree


def _by_module(state: State) -> dict[str, Any]:
    modules: dict[str, Any] = {}
    for name, tensor in state.items():
        module, _, last = name.rpartition(".")
        modules.setdefault(module, {})[last] = tensor
    return modules


def _flat(state: State) -> State:
    floats = {k: v for k, v in state.items() if v.is_floating_point()}
    buffer = torch.cat([v.flatten() for v in floats.values()])
    views, start = dict(state), 0
    for name, tensor in floats.items():
        views[name] = buffer[start : start + tensor.numel()].view(tensor.shape)
        start += tensor.numel()
    return views


def _circle() -> list[Any]:
    circle: list[Any] = [1]
    circle.append(circle)
    return circle


def _npz(given: Given) -> None:
    with given.path.open("wb") as handle:
        np.savez(handle, **_arrays(given.weights))


def _compressed(given: Given) -> None:
    plain = given.path.with_suffix(".plain")
    torch.save(given.weights, plain)
    with zipfile.ZipFile(plain) as source:
        _zip(given.path, {n: source.read(n) for n in source.namelist()}, zipfile.ZIP_DEFLATED)


def _zip(path: Path, entries: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def _sharded(given: Given) -> None:
    names = list(given.weights)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({n: given.weights[n].contiguous() for n in part}, given.path.with_name(file))
    index = {"weight_map": {n: file for file, part in halves.items() for n in part}}
    given.path.write_text(json.dumps({"metadata": {}, **index}))
