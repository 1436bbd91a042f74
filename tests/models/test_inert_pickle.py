"""Pickles are read without running anything: also mutated ones, and those that would run code."""

from __future__ import annotations

import collections
import contextlib
import io
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_checkpoint import state_dict

from swinir_deploy.errors import CheckpointError
from swinir_deploy.models.checkpoint import load_checkpoint
from swinir_deploy.models.inert_pickle import Name, PickleDamagedError, Record, read_pickle

PLAIN: list[Any] = [
    None,
    True,
    -3,
    2**70,
    1.5,
    "text \u00e9",
    b"bytes\x00",
    [1, [2, []]],
    (1,),
    (1, 2, 3, 4),
    {"a": {"b": (1, 2)}, 3: None},
    {"long": list(range(5000)), "text": "x" * 70000},
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_come_back(value: Any, protocol: int) -> None:
    """The oracle is pickle itself."""
    found = read_pickle(io.BytesIO(pickle.dumps(value, protocol)))
    assert found.value == value
    assert found.foreign_calls == ()


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text()
        | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
        max_leaves=20,
    ),
    st.integers(0, pickle.HIGHEST_PROTOCOL),
)
def test_any_plain_value_comes_back(value: Any, protocol: int) -> None:
    assert read_pickle(io.BytesIO(pickle.dumps(value, protocol))).value == value


def test_what_is_shared_stays_shared() -> None:
    inner = [1]
    found = read_pickle(io.BytesIO(pickle.dumps([inner, inner]))).value
    assert found[0] is found[1]


def test_an_object_is_described_and_not_made() -> None:
    found = read_pickle(io.BytesIO(pickle.dumps(collections.UserDict(a=1)))).value
    assert isinstance(found, Record)
    assert found.maker == Name("collections.UserDict")
    assert found.state == {"data": {"a": 1}}


class Call:
    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_calls_are_listed(protocol: int) -> None:
    content = pickle.dumps([Call(os.system, "true"), Call(eval, "1"), Call(set, [1])], protocol)
    found = read_pickle(io.BytesIO(content))
    assert set(found.foreign_calls) == {f"{os.system.__module__}.system", "builtins.eval"}


# Opcodes that pickle itself never writes, but that would run code.
@pytest.mark.parametrize(
    "content",
    [
        b"(S'true'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'true'\no.",  # OBJ
        b"cos\nsystem\n(S'true'\ntR.",  # REDUCE
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",  # STACK_GLOBAL
        b"\x80\x02csubprocess\nPopen\n(U\x04true\x85\x81.".replace(b"(", b""),  # NEWOBJ
        b"cos\nsystem\n}b.",  # BUILD of a function
        b"ccopy_reg\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR.",
    ],
)
def test_every_way_to_run_code_is_seen(content: bytes) -> None:
    found = read_pickle(io.BytesIO(content))
    assert found.foreign_calls


@pytest.mark.parametrize(
    "content",
    [b"", b".", b"0.", b"\x80\x02", b"K\x01", b"R.", b"K\x01K\x02R.", b"\x82\x01.", b"h\x05."],
)
def test_what_is_no_pickle(content: bytes) -> None:
    with pytest.raises(PickleDamagedError):
        read_pickle(io.BytesIO(content))


def test_a_ladder_of_tuples_is_not_climbed() -> None:
    """2**60 elements in 300 bytes: hashing or copying them would never end."""
    ladder = b"\x80\x02)" + b"q\x00h\x00\x86" * 60
    content = b"\x80\x02}" + ladder[2:] + b"K\x01s."
    assert len(read_pickle(io.BytesIO(content)).value) == 1


SEEDS = [
    pickle.dumps({"state_dict": {"conv_first.weight": [1.0]}, "x": Call(os.getcwd)}, protocol)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
]
OPCODES = [operation.code.encode("latin-1") for operation in pickletools.opcodes]


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from(OPCODES) | st.binary(max_size=6)), max_size=6
    ),
)
def test_a_mutated_pickle_is_read_or_refused(seed: bytes, changes: list[tuple[int, bytes]]) -> None:
    content = bytearray(seed)
    for place, part in changes:
        start = place % (len(content) + 1)
        content[start : start + len(part)] = part
    with contextlib.suppress(PickleDamagedError):
        read_pickle(io.BytesIO(bytes(content)))


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.booleans(),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=8),
)
def test_a_mutated_checkpoint_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, is_zip: bool, changes: list[tuple[float, bytes]]
) -> None:
    """No other error, no crash: of a file whose bytes were changed, the pickle's ones most."""
    path = tmp_path_factory.getbasetemp() / f"mutated-{is_zip}.pth"
    torch.save({"params": state_dict()}, path, _use_new_zipfile_serialization=is_zip)
    content = bytearray(path.read_bytes())
    area = content.find(b"conv_last") or len(content)
    for place, part in changes:
        start = int(place * (area if place < 0.8 else len(content) - 1))
        content[start : start + len(part)] = part
    path.write_bytes(bytes(content))
    try:
        load_checkpoint(path)
    except CheckpointError as error:
        assert str(path) in str(error)


def test_a_storage_that_is_shorter_than_its_tensor(tmp_path: Path) -> None:
    """The number of elements in the pickle is not believed: the bytes behind it are counted."""
    path = tmp_path / "m.pth"
    torch.save({"params": state_dict()}, path)
    import zipfile

    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = next(n for n in entries if n.endswith("data/0"))
    entries[name] = entries[name][:4]
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    with pytest.raises(CheckpointError, match="its storage '0' has 4 bytes only"):
        load_checkpoint(path)
