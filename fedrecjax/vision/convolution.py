"""Convolutions whose gradients are fast inside a loop of a program, on a CPU too.

XLA brings convolutions into the layout of its fast kernel only outside loops (jax issue 12868). The gradients that JAX
derives are in other layouts, so that within a loop they take tens of times as long. Here they are written in that
layout.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
from jax import Array, lax

from fedrecjax.methods.hyperparameters import check

_LAYOUT = ("NHWC", "HWIO", "NHWC")

Pairs = tuple[tuple[int, int], ...]


def convolution(
  images: Array,
  kernel: Array,
  window_strides: Sequence[int],
  padding: str | Sequence[tuple[int, int]],
  lhs_dilation: Sequence[int] | None = None,
  rhs_dilation: Sequence[int] | None = None,
  dimension_numbers: Any = None,
  feature_group_count: int = 1,
  precision: Any = None,
) -> Array:
  """A convolution in two dimensions, as `flax.linen.Conv` calls :func:`jax.lax.conv_general_dilated`.

  Args:
    images: `[B, H, W, I]`.
    kernel: `[h, w, I, O]`.
    window_strides: of both dimensions.
    padding: "SAME", "VALID" or two pairs.
    lhs_dilation: must be 1.
    rhs_dilation: must be 1.
    dimension_numbers: those of channels last; not looked at.
    feature_group_count: must be 1.
    precision: must be None.

  Returns:
    `[B, H', W', O]`.

  Raises:
    ValueError: for an argument that is not supported.
  """
  del dimension_numbers
  for name, dilation in (("lhs_dilation", lhs_dilation), ("rhs_dilation", rhs_dilation)):
    check(dilation is None or set(dilation) == {1}, f"convolution: {name} must be 1, got {dilation}")
  check(precision is None, f"convolution: precision must be None, got {precision}")
  check(feature_group_count == 1, f"convolution: feature_group_count must be 1, got {feature_group_count}")
  strides = tuple(window_strides)
  if isinstance(padding, str):
    pairs = tuple(lax.padtype_to_pads(images.shape[1:3], kernel.shape[:2], strides, padding))
  else:
    pairs = tuple((int(low), int(high)) for low, high in padding)
  return _convolution(images, kernel, strides, pairs)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolution(images: Array, kernel: Array, strides: tuple[int, ...], padding: Pairs) -> Array:
  return lax.conv_general_dilated(images, kernel, strides, padding, dimension_numbers=_LAYOUT)


def _forward(
  images: Array, kernel: Array, strides: tuple[int, ...], padding: Pairs
) -> tuple[Array, tuple[Array, Array]]:
  return _convolution(images, kernel, strides, padding), (images, kernel)


def _backward(
  strides: tuple[int, ...], padding: Pairs, kept: tuple[Array, Array], slope: Array
) -> tuple[Array, Array]:
  images, kernel = kept
  sizes = tuple(zip(images.shape[1:3], kernel.shape[:2], slope.shape[1:3], strides, padding, strict=True))
  around = [
    (side - 1 - low, size + low - 1 - (out - 1) * stride)
    for size, side, out, stride, (low, _) in sizes
  ]
  for_images = lax.conv_general_dilated(
    slope, kernel[::-1, ::-1].swapaxes(2, 3), (1, 1), around, lhs_dilation=strides, dimension_numbers=_LAYOUT
  )
  # The window of the kernel's gradient is the slope itself, set apart by the strides.
  beyond = [(low, side + (out - 1) * stride - size - low) for size, side, out, stride, (low, _) in sizes]
  for_kernel = lax.conv_general_dilated(
    images.transpose(3, 1, 2, 0), slope.transpose(1, 2, 0, 3), (1, 1), beyond, rhs_dilation=strides,
    dimension_numbers=_LAYOUT,
  )
  return for_images, for_kernel.transpose(1, 2, 0, 3)


_convolution.defvjp(_forward, _backward)
