"""Each pass on small graphs: does its work, keeps the outputs, leaves what it must not touch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from exported import open_model
from onnx_ir.passes import common as ir_passes

from swinir_deploy.errors import CheckFailedError
from swinir_deploy.exporters.onnx import passes
from swinir_deploy.exporters.onnx.passes import (
    collapse_reshapes,
    drop_idle_reshapes,
    read_sizes_from_targets,
    simplify,
    static_reshape_targets,
)

Pass = Callable[[ir.Model], None]

X = np.random.default_rng(0).random((2, 6, 4), np.float32)
"""What every graph is fed as ``x``."""


def parse(body: str, output: str = "float[...] y") -> ir.Model:
    """A model of one input ``x`` [N, M, 4], its constants lifted as :func:`simplify` lifts them."""
    text = f'<ir_version: 10, opset_import: ["": 20]> g (float[N, M, 4] x) => ({output}) {{{body}}}'
    proto = onnx.parser.parse_model(text.replace("[...]", "[]"))
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    for number, node in enumerate(proto.graph.node):
        node.name = f"node{number}"
    model = ir.from_proto(proto)
    ir_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    return model


def run(model: ir.Model, x: np.ndarray = X) -> np.ndarray:
    return open_model(ir.to_proto(model)).run(None, {"x": x})[0]


def apply(body: str, change: Pass, output: str = "float[...] y") -> Counter[str]:
    """Operators after the pass and the removal of unused nodes; the output must stay."""
    model = parse(body, output)
    wanted = run(model)
    change(model)
    ir_passes.RemoveUnusedNodesPass()(model)
    found = run(model)
    assert found.shape == wanted.shape
    assert np.array_equal(found, wanted)
    return Counter(node.op_type for node in model.graph)


SIZES = """
    n = Shape <start = 0, end = 1> (x)
    m = Shape <start = 1, end = 2> (x)
    two = Constant <value_ints = [2]> ()
    minus = Constant <value_ints = [-1]> ()
    zero = Constant <value_ints = [0]> ()
    four = Constant <value_ints = [4]> ()
"""


def read_back(target: str, start: int, end: int) -> Counter[str]:
    body = f"""{SIZES}
        target = Concat <axis = 0> ({target})
        r = Reshape (x, target)
        y = Shape <start = {start}, end = {end}> (r)
        z = Identity (y)
    """
    return apply(body, read_sizes_from_targets, "int64[...] z")


def test_a_size_is_read_from_the_target() -> None:
    for start in (0, 1):
        assert read_back("n, m, two, two", start, start + 1)["Reshape"] == 0
    assert read_back("n, m, two, two", -2, -1)["Reshape"] == 1  # left alone: not worth a case


@pytest.mark.parametrize(
    ("target", "start", "end"),
    [
        ("n, m, minus", 2, 3),  # what -1 stands for is not in the target
        ("n, zero, four", 1, 2),  # nor what 0 copies
        ("n, m, four", 0, 2),  # two sizes
        ("n, m, four", 3, 4),  # beyond the rank: nothing
        ("n, m, four", -1, 0),  # nothing
        ("n, m, four", 2, 2),  # nothing
    ],
)
def test_a_size_that_the_target_does_not_say(target: str, start: int, end: int) -> None:
    assert read_back(target, start, end)["Reshape"] == 1


def test_a_part_of_several_sizes() -> None:
    body = f"""{SIZES}
        both = Shape <start = 0, end = 2> (x)
        target = Concat <axis = 0> (both, two, two)
        r = Reshape (x, target)
        y = Shape <start = 1, end = 2> (r)
        z = Identity (y)
    """
    assert apply(body, read_sizes_from_targets, "int64[...] z")["Reshape"] == 1


def test_a_size_that_is_the_graphs_output() -> None:
    body = f"""{SIZES}
        target = Concat <axis = 0> (n, m, four)
        r = Reshape (x, target)
        y = Shape <start = 1, end = 2> (r)
    """
    assert apply(body, read_sizes_from_targets, "int64[...] y")["Shape"] == 3


def target_of(parts: str, allowzero: int = 0) -> list[int] | None:
    """The constant that the pass puts in the place of Concat(parts), None where it puts none."""
    body = f"""{SIZES}
        scalar_m = Squeeze (m)
        scalar_two = Constant <value_int = 2> ()
        product = Mul (scalar_m, scalar_two)
        double = Reshape (product, minus)
        target = Concat <axis = 0> ({parts})
        y = Reshape <allowzero = {allowzero}> (x, target)
    """
    model = parse(body)
    wanted = run(model)
    static_reshape_targets(model)
    assert np.array_equal(run(model), wanted)
    reshape = model.graph.outputs[0].producer()
    assert reshape is not None
    known = ir.convenience.get_const_tensor(reshape.inputs[1])
    return None if known is None else known.numpy().tolist()


def test_one_unknown_size_is_minus_one() -> None:
    assert target_of("two, m, four") == [2, -1, 4]
    assert target_of("two, double, two") == [2, -1, 2]
    assert target_of("minus, four") == [-1, 4]
    assert target_of("two, m, four", allowzero=1) == [2, -1, 4]


def test_targets_that_stay() -> None:
    assert target_of("n, m, four") is None  # two unknown sizes
    assert target_of("n, minus") is None  # an unknown one beside -1
    assert target_of("n, zero, four") is None  # 0 copies a size
    assert target_of("n, m, two, two") is None


def test_a_reshape_of_a_reshape() -> None:
    flat = "minus2 = Constant <value_ints = [-1, 2]> ()\n r = Reshape (x, minus2)\n"
    onto = "t = Constant <value_ints = [6, -1]> ()\n y = Reshape (r, t)"
    assert apply(flat + onto, collapse_reshapes)["Reshape"] == 1
    symbolic = f"{SIZES} t = Concat <axis = 0> (m, n, four)\n"
    once = symbolic + flat + "y = Reshape <allowzero = 1> (r, t)"
    assert apply(once, collapse_reshapes)["Reshape"] == 1


def test_a_reshape_that_copies_a_size_stays() -> None:
    flat = "minus2 = Constant <value_ints = [-1, 2]> ()\n r = Reshape (x, minus2)\n"
    copying = "t = Constant <value_ints = [0, 2, 1]> ()\n y = Reshape (r, t)"
    assert apply(flat + copying, collapse_reshapes)["Reshape"] == 2
    symbolic = f"{SIZES} t = Concat <axis = 0> (m, n, four)\n y = Reshape (r, t)"
    assert apply(flat + symbolic, collapse_reshapes)["Reshape"] == 2  # m could be 0


MATRIX = """
    t = Constant <value_ints = [-1, 4]> ()
    half = Constant <value_ints = [-1, 2]> ()
    flat = Reshape (x, t)
    w = Constant <value = float[4, 4] {1,0,0,2, 0,1,0,0, 0,0,3,0, 5,0,0,1}> ()
    w2 = Constant <value = float[2, 4] {1,0,0,2, 0,1,0,7}> ()
    b = Constant <value = float[4] {1, 2, 3, 4}> ()
    g = Gemm (flat, w, b)
"""


@pytest.mark.parametrize(
    ("body", "reshapes"),
    [
        ("y0 = Reshape (g, t)", 1),
        ("s = Add (flat, g) y0 = Reshape (s, t)", 1),
        ("s = Add (flat, g) q = Add (s, s) y0 = Reshape (q, t)", 1),
        ("h = Gemm <transB = 1> (flat, w2) y0 = Reshape (h, half)", 1),
        ("y0 = Reshape (flat, t)", 1),
        # Others do something, or might:
        ("y0 = Reshape (g, half)", 2),
        ("s = Add (g, b) y0 = Reshape (s, t)", 2),
        ("h = Gemm <transB = 1> (flat, w2) y0 = Reshape (h, t)", 2),
        ("u = Unsqueeze (g, zero) s = Add (u, g) y0 = Reshape (s, t)", 2),
        ("s = Add (x, b) y0 = Reshape (s, t)", 1),
    ],
)
def test_idle_reshapes(body: str, reshapes: int) -> None:
    start = MATRIX + "zero = Constant <value_ints = [0]> ()\n"
    lines = body.replace(") ", ")\n")
    assert apply(f"{start}{lines}\ny = Relu (y0)", drop_idle_reshapes)["Reshape"] == reshapes


def test_an_idle_reshape_that_gives_the_output_stays() -> None:
    assert apply(f"{MATRIX} y = Reshape (g, t)", drop_idle_reshapes)["Reshape"] == 2


def test_a_long_chain_of_residuals_is_quick() -> None:
    # Every Add has two operands that lead back to the start: 2**40 ways.
    chain = "\n".join(f"s{i + 1} = Add (s{i}, s{i})" for i in range(40))
    body = f"{MATRIX} s0 = Add (g, g)\n{chain}\n y0 = Reshape (s40, t)\n y = Relu (y0)"
    assert apply(body, drop_idle_reshapes)["Reshape"] == 1


def test_a_graph_that_onnxsim_refuses_is_a_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    body = "y = Relu <sides = 3> (x)"
    with pytest.raises(CheckFailedError, match=r"onnxsim cannot read.*Nothing was written"):
        simplify(ir.to_proto(parse(body)))
    proto = ir.to_proto(parse("y = Relu (x)"))
    monkeypatch.setattr(passes.onnxsim, "simplify", lambda *_, **__: (proto, False))
    with pytest.raises(CheckFailedError, match="differs from the original"):
        simplify(proto)
