"""Sizes of memory in words, and the words that say that there is none left."""

from __future__ import annotations

import pytest

from swinir_deploy.errors import DeviceMemoryError, InferenceError, UsageError
from swinir_deploy.system.memory import (
    means_out_of_memory,
    parse_bytes,
    says_out_of_memory,
    size_rounded_up,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500MB", 500_000_000),
        ("2GB", 2_000_000_000),
        ("2 g", 2_000_000_000),
        ("1.5G", 1_500_000_000),
        ("512MiB", 512 * 2**20),
        ("1gib", 2**30),
        ("4T", 4 * 10**12),
        ("64k", 64_000),
        ("12345B", 12_345),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("0MB", 0), ("7B", 7), ("512m", 512 * 10**6), ("4GiB", 2**32)]
)
def test_nothing_may_be_allowed(text: str, size: int) -> None:
    assert parse_bytes(text, minimum=0) == size


@pytest.mark.parametrize("text", ["4", "512", "2.5", " 2000000000 "])
def test_a_number_without_a_unit_is_not_guessed_at(text: str) -> None:
    with pytest.raises(UsageError, match=f"has no unit. Give one: {text.strip()}GB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    "text",
    ["", "MB", "-1MB", "0", "0B", "0.1B", "1XB", "1iB", "2GBB", "nan", "1e9", "x", "9" * 400],
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size of memory such as 500MB, 2GB or 4GiB"):
        parse_bytes(text)


def test_sizes_are_shown_rounded_up() -> None:
    sizes = (1, 999_999, 1_000_001, 10**9, 2_010_000_000)
    shown = ["1 MB", "1 MB", "2 MB", "1.0 GB", "2.1 GB"]
    assert [size_rounded_up(size) for size in sizes] == shown


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDA_ERROR_OUT_OF_MEMORY: the API call failed",
        "[E] OutOfMemory (Requested size was 1 bytes.)",
        "Error Code 1: Cuda Runtime (cudaMalloc failed)",
        "Insufficient memory for tactic 0x1",
        "std::bad_alloc",
        "BFCArena::AllocateRawInternal Failed to allocate memory",
        "[GPU] clEnqueueMapBuffer, error code: -4 CL_OUT_OF_HOST_MEMORY".lower(),
    ],
)
def test_messages_of_libraries_that_mean_it(text: str) -> None:
    assert says_out_of_memory(text)
    error = InferenceError("it failed")
    error.__cause__ = RuntimeError(text)
    assert means_out_of_memory(error)


@pytest.mark.parametrize("text", ["", "invalid argument", "no kernel image", "shape mismatch"])
def test_messages_that_mean_something_else(text: str) -> None:
    assert not says_out_of_memory(text)
    assert not means_out_of_memory(RuntimeError(text))


def test_exceptions_whose_class_says_it() -> None:
    assert means_out_of_memory(MemoryError())
    assert means_out_of_memory(DeviceMemoryError("no room"))
