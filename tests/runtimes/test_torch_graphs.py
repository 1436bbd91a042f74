"""Shapes that come again are replayed, in memory that is bounded, on a GPU that is not there."""

from __future__ import annotations

import threading
from typing import Any

import fake_torch
import pytest
import torch
from torch import Tensor

from swinir_deploy.artifacts.launch_program import Plan
from swinir_deploy.runtimes.torch_graphs import GraphedNetwork

ELEMENTS_A_PIXEL = 10
CPU = torch.device("cpu")


class Nearest:
    """Makes pictures twice as large; counts its launches, and spoils the whole arena."""

    dtype = torch.float16

    def __init__(self) -> None:
        self.launches = 0
        self.failure: Exception | None = None

    def plan(self, batch: int, height: int, width: int) -> Plan:
        return Plan(
            (), batch * height * width * ELEMENTS_A_PIXEL, (batch, 3, 2 * height, 2 * width)
        )

    def launch(self, picture: Tensor, arena: Tensor, output: Tensor) -> None:
        batch, _, height, width = picture.shape
        assert arena.numel() >= self.plan(batch, height, width).arena_elements
        self.launches += 1

        def compute() -> None:
            arena.fill_(torch.nan)
            output.copy_(nearest(picture))

        if not fake_torch.CAPTURING:
            compute()
        elif self.failure is not None:
            raise self.failure
        else:
            work = fake_torch.CAPTURING[0].work
            assert work is not None
            work.append(compute)


def nearest(picture: Tensor) -> Tensor:
    return picture.repeat_interleave(2, 2).repeat_interleave(2, 3)


def picture(height: int, width: int, batch: int = 1, seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Nearest:
    for name in ("CUDAGraph", "Stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, getattr(fake_torch, name))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: fake_torch.Stream())
    return Nearest()


def run(graphed: GraphedNetwork, x: Tensor, **options: Any) -> Tensor:
    result = graphed.run(x, **{"to_host": False, **options})
    assert torch.equal(result, nearest(x))
    return result


def test_the_second_time_is_recorded_and_all_later_ones_replayed(network: Nearest) -> None:
    graphed = GraphedNetwork(network, CPU)
    counts = []
    for seed in range(5):
        run(graphed, picture(8, 16, seed=seed))
        counts.append((network.launches, len(graphed)))
    assert counts == [(1, 0), (2, 1), (2, 1), (2, 1), (2, 1)]


def test_shapes_that_come_once_are_not_recorded(network: Nearest) -> None:
    graphed = GraphedNetwork(network, CPU)
    for side in range(30, 8, -1):
        run(graphed, picture(side, 8))
    assert len(graphed) == 0


@pytest.mark.parametrize("to_host", [False, True])
def test_results_are_not_written_to_again(network: Nearest, to_host: bool) -> None:
    graphed = GraphedNetwork(network, CPU)
    inputs = [picture(8, 8, seed=seed) for seed in range(4)]
    results = [graphed.run(x, to_host=to_host) for x in inputs]
    inputs[0].zero_()
    assert len({result.data_ptr() for result in results}) == len(results)
    for x, result in list(zip(inputs, results, strict=True))[1:]:
        assert torch.equal(result, nearest(x))
    assert results[0].max() > 0


def test_eight_are_kept_and_the_one_used_longest_ago_goes(network: Nearest) -> None:
    graphed = GraphedNetwork(network, CPU)
    run(graphed, picture(64, 64))  # the largest first: memory does not grow afterwards
    sizes = [(8, 8 + n) for n in range(8)]
    for size in sizes * 2:
        run(graphed, picture(*size))
    assert len(graphed) == 8
    run(graphed, picture(*sizes[0]))
    for _ in range(2):
        run(graphed, picture(9, 9))
    assert len(graphed) == 8
    launches = network.launches
    run(graphed, picture(*sizes[0]))
    assert network.launches == launches, "used lately, so it was kept"
    run(graphed, picture(*sizes[1]))
    assert network.launches == launches + 1, "it had to go, and is recorded again"


def test_memory_is_what_the_largest_shape_needs(network: Nearest) -> None:
    graphed = GraphedNetwork(network, CPU)
    for _ in range(3):
        for side in (8, 12, 20, 16, 9):
            run(graphed, picture(side, side, batch=2))
    pixels = 2 * 20 * 20
    channels = 3
    enlarged = 4
    wanted = pixels * (ELEMENTS_A_PIXEL * 2 + channels * 4 + enlarged * channels * 4)
    assert graphed.held_bytes == wanted
    assert len(graphed) == 5


def test_graphs_are_dropped_when_memory_moves(network: Nearest) -> None:
    graphed = GraphedNetwork(network, CPU)
    for _ in range(2):
        run(graphed, picture(8, 8))
    assert len(graphed) == 1
    run(graphed, picture(16, 16))
    assert len(graphed) == 0
    run(graphed, picture(8, 8))  # it was seen before: recorded at once
    assert len(graphed) == 1


def test_none_are_recorded_where_none_are_wanted(network: Nearest) -> None:
    graphed = GraphedNetwork(network, CPU, limit=0)
    for _ in range(3):
        run(graphed, picture(8, 8))
    assert (len(graphed), network.launches) == (0, 3)


def test_without_recording_it_goes_on(network: Nearest) -> None:
    graphed = GraphedNetwork(network, CPU)
    network.failure = RuntimeError("operation not permitted when stream is capturing\nand more")
    for _ in range(4):
        run(graphed, picture(8, 8))
    assert graphed.error == "operation not permitted when stream is capturing"
    assert len(graphed) == 0
    assert network.launches == 5, "recording was tried once"


def test_memory_that_runs_out_is_no_reason_to_give_up_recording(network: Nearest) -> None:
    graphed = GraphedNetwork(network, CPU)
    run(graphed, picture(8, 8))
    network.failure = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    with pytest.raises(RuntimeError, match="out of memory"):
        graphed.run(picture(8, 8), to_host=True)
    network.failure = None
    run(graphed, picture(8, 8))
    assert (len(graphed), graphed.error) == (1, "")


def test_threads_wait_for_each_other(network: Nearest) -> None:
    graphed = GraphedNetwork(network, CPU)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for turn in range(20):
                run(graphed, picture(8 + turn % 3, 8, seed=seed))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(graphed) == 3


def test_close_gives_everything_back(network: Nearest) -> None:
    graphed = GraphedNetwork(network, CPU)
    for _ in range(2):
        run(graphed, picture(8, 8))
    (recorded,) = graphed._graphs.values()
    graphed.close()
    assert len(graphed) == 0
    assert recorded.work is None  # type: ignore[attr-defined]
    assert not {"_arena", "_input", "_output", "_network"} & set(vars(graphed))
