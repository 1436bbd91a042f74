"""The forms of attention that exports use, and one that is fast in PyTorch on a CPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from swinir_deploy.network.parameters import linear_of
from swinir_deploy.network.swinir import WindowAttention

__all__ = [
    "CpuAttention",
    "FusedAttention",
    "OnnxAttention",
    "SplitAttention",
    "replace_attentions",
    "split_projections",
    "use_fused_attention",
    "use_onnx_attention",
]


class SplitAttention(WindowAttention):
    """A :class:`WindowAttention` with three projections in place of ``qkv``."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear

    def __init__(self, attention: WindowAttention) -> None:
        """Take over the weights of ``attention``, which earlier rewrites may have changed."""
        nn.Module.__init__(self)
        self.num_heads, self.head_dim = attention.num_heads, attention.head_dim
        self.scale = attention.scale
        if isinstance(attention, SplitAttention):
            self.query, self.key, self.value = attention.query, attention.key, attention.value
        else:
            weights = attention.qkv.weight.chunk(3)
            biases = (None,) * 3 if attention.qkv.bias is None else attention.qkv.bias.chunk(3)
            self.query, self.key, self.value = map(linear_of, weights, biases)
        self.proj = attention.proj
        self.relative_position_bias_table = attention.relative_position_bias_table
        index, bias = attention.relative_position_index, attention.position_bias
        self.register_buffer("relative_position_index", index, persistent=False)
        self.register_buffer("position_bias", bias, persistent=False)

    def forward(self, tokens: Tensor, tokens_per_window: int, mask: Tensor | None) -> Tensor:
        """Attend inside each window; arguments and result as in :class:`WindowAttention`."""
        heads, head_dim = self.num_heads, self.head_dim

        def by_head(projected: Tensor) -> Tensor:
            """Reshape [T, heads * d] to [windows, heads, N, d]."""
            return projected.reshape(-1, tokens_per_window, heads, head_dim).transpose(1, 2)

        query, key, value = map(by_head, self._project(tokens))
        logits = query @ key.transpose(-2, -1) + self.expanded_position_bias()
        if mask is not None:
            logits = logits + _by_window(mask, logits)
        attended = self.softmax(logits).to(value.dtype) @ value
        return self.proj(attended.transpose(1, 2).reshape(-1, heads * head_dim))

    def _project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scaled query, the key and the value, each [T, heads * d]."""
        tokens = tokens.to(self.query.weight.dtype)
        query = self.query(tokens)
        if self.scale != 1.0:
            query = query * self.scale
        return query, self.key(tokens), self.value(tokens)

    def _added_to_logits(self, mask: Tensor | None) -> Tensor:
        """Return the sum of position bias and mask, [1 or windows, heads, N, N]."""
        bias = self.expanded_position_bias()[None]
        return bias if mask is None else bias + _by_window(mask, bias)


class OnnxAttention(SplitAttention):
    """Attention as one ONNX operator Attention, for which ONNX Runtime has one CPU kernel.

    It is only for tracing, in FP32, at opset 23 or newer.
    """

    def forward(self, tokens: Tensor, tokens_per_window: int, mask: Tensor | None) -> Tensor:
        """Attend inside each window; arguments and result as in :class:`WindowAttention`."""
        channels = self.num_heads * self.head_dim
        query, key, value = (
            projected.reshape(-1, tokens_per_window, channels)
            for projected in self._project(tokens)
        )
        attended, *_ = torch.onnx.ops.attention(
            query,
            key,
            value,
            self._added_to_logits(mask),
            q_num_heads=self.num_heads,
            kv_num_heads=self.num_heads,
            scale=1.0,
        )
        return self.proj(attended.reshape(-1, channels))


class FusedAttention(SplitAttention):
    """Attention by scaled_dot_product_attention, which never stores all logits in memory."""

    def forward(self, tokens: Tensor, tokens_per_window: int, mask: Tensor | None) -> Tensor:
        """Attend inside each window; arguments and result as in :class:`WindowAttention`."""
        heads, head_dim = self.num_heads, self.head_dim
        query, key, value = (
            projected.reshape(-1, tokens_per_window, heads, head_dim).transpose(1, 2)
            for projected in self._project(tokens)
        )
        added = self._added_to_logits(mask)
        attended = F.scaled_dot_product_attention(query, key, value, added, scale=1.0)
        return self.proj(attended.transpose(1, 2).reshape(-1, heads * head_dim))


def split_projections(network: nn.Module) -> None:
    """Replace the packed query, key and value projection by three projections."""
    replace_attentions(network, SplitAttention)


def use_onnx_attention(network: nn.Module) -> None:
    """Compute every attention as one operator of ONNX, which needs opset 23 or newer."""
    replace_attentions(network, OnnxAttention)


def use_fused_attention(network: nn.Module) -> None:
    """Compute every attention as one operator of PyTorch."""
    replace_attentions(network, FusedAttention)


def replace_attentions(network: nn.Module, form: Callable[[WindowAttention], nn.Module]) -> None:
    """Replace every attention by ``form(attention)``, unless it is of that class already."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, WindowAttention) and type(child) is not form:
                setattr(module, name, form(child))


def _by_window(mask: Tensor, like: Tensor) -> Tensor:
    """Reshape [B, rows, columns, N, N] to [windows, 1, N, N], in the dtype of ``like``."""
    return mask.to(like.dtype).reshape(-1, 1, *mask.shape[-2:])


_LOGITS_BYTES = 2 * 2**20
"""Bytes of logits that are computed together, about the second-level cache of two cores."""


class CpuAttention(SplitAttention):
    """A :class:`SplitAttention` that computes groups of windows in turn; for inference only."""

    def forward(self, tokens: Tensor, tokens_per_window: int, mask: Tensor | None) -> Tensor:
        """Attend inside each window; arguments and result as in :class:`SplitAttention`."""
        heads, head_dim, count = self.num_heads, self.head_dim, tokens_per_window
        query, key, value = (
            projected.reshape(-1, count, heads, head_dim) for projected in self._project(tokens)
        )
        bias = self.expanded_position_bias()
        masks = None if mask is None else mask.reshape(-1, 1, count, count)
        attended = torch.empty_like(query)
        windows_at_once = max(1, _LOGITS_BYTES // (bias.numel() * bias.element_size()))
        for start in range(0, query.shape[0], windows_at_once):
            group = slice(start, start + windows_at_once)
            logits = _by_head(query[group]) @ _by_head(key[group]).transpose(1, 2)
            logits = logits.reshape(-1, heads, count, count)
            logits += bias
            if masks is not None:
                logits += masks[group]
            probabilities = self.softmax(logits).reshape(-1, count, count)
            # Both factors are transposed, so that the inner side of the product is the long one.
            result = _by_head(value[group]).transpose(1, 2) @ probabilities.transpose(1, 2)
            attended[group] = result.reshape(-1, heads, head_dim, count).permute(0, 3, 1, 2)
        return self.proj(attended.reshape(-1, heads * head_dim))


def _by_head(projected: Tensor) -> Tensor:
    """Reshape [windows, N, heads, d] to [windows * heads, N, d]."""
    _, count, _, head_dim = projected.shape
    return projected.transpose(1, 2).reshape(-1, count, head_dim)
