"""The network of guided diffusion: a U of residual blocks and self-attention that predicts the noise in an image.

Modules are named as the parameters of the published checkpoints are, with `_` for `.`: `input_blocks_3_0` is the first
part of the third block on the way down. See :mod:`fedrecjax.vision.guided_diffusion` for those files.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.tree_util import Partial

from fedrecjax.methods.hyperparameters import check
from fedrecjax.vision.convolution import convolution
from fedrecjax.vision.diffusion import Denoiser

GROUPS = 32
LONGEST_PERIOD = 10_000.0
COLORS = 3

Resample = Literal["", "down", "up"]


@dataclasses.dataclass(frozen=True)
class UNetConfig:
  """Structure of a network; the defaults are small enough for 32 x 32 and 64 x 64 images on a CPU.

  Level 0 has the image's own resolution; each further level halves height and width.

  Attributes:
    width: channels of level 0, a multiple of 32.
    channel_mult: channels of each level, as multiples of `width`.
    num_res_blocks: residual blocks of each level on the way down; one more on the way up.
    attention_levels: levels whose blocks are followed by self-attention; the middle always has it.
    head_width: channels of one attention head.
    num_classes: number of classes, for networks that are told the class of an image; None for all others.
    dropout: share of numbers left out inside residual blocks while training.
    new_attention_order: whether queries, keys and values are split before heads; False in the published checkpoints,
      where heads come first.
  """

  width: int = 32
  channel_mult: tuple[int, ...] = (1, 2, 2)
  num_res_blocks: int = 1
  attention_levels: tuple[int, ...] = (2,)
  head_width: int = 32
  num_classes: int | None = None
  dropout: float = 0.0
  new_attention_order: bool = False

  def __post_init__(self) -> None:
    check(self.width > 0 and self.width % GROUPS == 0, f"width must be a multiple of {GROUPS}, got {self.width}")
    check(
      len(self.channel_mult) > 0 and min(self.channel_mult) > 0,
      f"channel_mult must be positive multiples, at least one, got {self.channel_mult}",
    )
    check(self.num_res_blocks > 0, f"num_res_blocks must be positive, got {self.num_res_blocks}")
    levels = range(len(self.channel_mult))
    check(
      set(self.attention_levels) <= set(levels),
      f"attention_levels must be among the levels 0 to {levels[-1]}, got {self.attention_levels}",
    )
    for level in {*self.attention_levels, levels[-1]}:
      channels = self.width * self.channel_mult[level]
      check(
        self.head_width > 0 and channels % self.head_width == 0,
        f"head_width must divide the {channels} channels of level {level}, got {self.head_width}",
      )
    check(self.num_classes is None or self.num_classes > 0, f"num_classes must be positive, got {self.num_classes}")
    check(0 <= self.dropout < 1, f"dropout must be at least 0 and below 1, got {self.dropout}")


PUBLISHED_256 = UNetConfig(
  width=256, channel_mult=(1, 1, 2, 2, 4, 4), num_res_blocks=2, attention_levels=(3, 4, 5), head_width=64
)
"""The unconditional network for 256 x 256 images of Dhariwal and Nichol, 2021, as GDMPD uses it."""


def timestep_embedding(timesteps: Array, width: int) -> Array:
  """Cosines, then sines, of the timestep at frequencies from 1 down to almost 1 / 10,000.

  Args:
    timesteps: `[B]`, may be fractional.
    width: even.

  Returns:
    `[B, width]`, float32.

  References:
    Vaswani et al., "Attention Is All You Need", 2017, Section 3.5; order as in openai/guided-diffusion.
  """
  half = width // 2
  frequencies = jnp.exp(-jnp.log(jnp.float32(LONGEST_PERIOD)) * jnp.arange(half, dtype=jnp.float32) / half)
  angles = timesteps.astype(jnp.float32)[:, None] * frequencies
  return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


def modulated(signal: Array, embedding: Array) -> Array:
  """`signal` `[B, H, W, C]` scaled and shifted by the two halves of `embedding` `[B, 2C]`."""
  scale, shift = jnp.split(embedding[:, None, None], 2, axis=-1)
  return signal * (1 + scale) + shift


def resampled(signal: Array, resample: Resample) -> Array:
  """`[B, H, W, C]` at half the size, means of 2 x 2, or at twice the size, each number repeated."""
  if resample == "down":
    return nn.avg_pool(signal, (2, 2), (2, 2))
  if resample == "up":
    return jnp.repeat(jnp.repeat(signal, 2, axis=1), 2, axis=2)
  return signal


def split_heads(mixed: Array, head_width: int, *, new_order: bool) -> tuple[Array, Array, Array]:
  """Queries, keys and values `[B, T, heads, head_width]` out of `mixed` `[B, T, 3C]`.

  Args:
    mixed: projected signal.
    head_width: channels of one head.
    new_order: whether all queries come first, then all keys, then all values; else each head's three follow one
      another.
  """
  batch, places, channels = mixed.shape
  heads = channels // (3 * head_width)
  if new_order:
    parts = jnp.moveaxis(mixed.reshape(batch, places, 3, heads, head_width), 2, 0)
  else:
    parts = jnp.moveaxis(mixed.reshape(batch, places, heads, 3, head_width), 3, 0)
  return parts[0], parts[1], parts[2]


def joined(signal: Array, skipped: Array) -> Array:
  """What comes up from below and what was put aside on the way down, along channels."""
  return jnp.concatenate([signal, skipped], axis=-1)


def normalize(name: str) -> nn.GroupNorm:
  """Normalisation of 32 groups of channels, with torch's epsilon and two-pass variance."""
  return nn.GroupNorm(GROUPS, epsilon=1e-5, use_fast_variance=False, name=name)


def same_size(channels: int, name: str, *, zero: bool = False) -> nn.Conv:
  """A 3 x 3 convolution at the same size; of zeros where a block should start as the identity."""
  init = nn.initializers.zeros_init() if zero else nn.initializers.lecun_normal()
  return nn.Conv(channels, (3, 3), kernel_init=init, name=name, conv_general_dilated=convolution)


class ResidualBlock(nn.Module):
  """Two convolutions beside a shortcut; the embedding of the timestep scales and shifts what lies between.

  Attributes:
    channels: of the output.
    dropout: share of numbers left out while training.
    resample: whether height and width are halved or doubled on the way.
  """

  channels: int
  dropout: float
  resample: Resample = ""

  @nn.compact
  def __call__(self, signal: Array, embedding: Array, train: bool) -> Array:
    """`[B, H, W, C]` and `[B, E]` to `[B, H', W', channels]`."""
    inner = nn.silu(normalize("in_layers_0")(signal))
    inner, signal = resampled(inner, self.resample), resampled(signal, self.resample)
    inner = same_size(self.channels, "in_layers_2")(inner)
    change = nn.Dense(2 * self.channels, name="emb_layers_1")(nn.silu(embedding))
    inner = nn.silu(modulated(normalize("out_layers_0")(inner), change))
    inner = nn.Dropout(self.dropout, deterministic=not train)(inner)
    inner = same_size(self.channels, "out_layers_3", zero=True)(inner)
    if signal.shape[-1] != self.channels:
      shortcut = nn.Conv(self.channels, (1, 1), name="skip_connection", conv_general_dilated=convolution)
      signal = shortcut(signal)
    return signal + inner


class AttentionBlock(nn.Module):
  """Self-attention of all places of an image, with a residual.

  Attributes:
    head_width: channels of one head.
    new_order: see :func:`split_heads`.
  """

  head_width: int
  new_order: bool

  @nn.compact
  def __call__(self, signal: Array) -> Array:
    """`[B, H, W, C] -> [B, H, W, C]`."""
    batch, height, width, channels = signal.shape
    mixed = nn.Dense(3 * channels, name="qkv")(normalize("norm")(signal).reshape(batch, height * width, channels))
    query, key, value = split_heads(mixed, self.head_width, new_order=self.new_order)
    scale = self.head_width**-0.25
    weights = nn.softmax(jnp.einsum("bqhc,bkhc->bhqk", query * scale, key * scale))
    attended = jnp.einsum("bhqk,bkhc->bqhc", weights, value).reshape(batch, height * width, channels)
    change = nn.Dense(channels, kernel_init=nn.initializers.zeros_init(), name="proj_out")(attended)
    return signal + change.reshape(signal.shape)


class UNet(nn.Module):
  """The network.

  Attributes:
    config: its structure.

  References:
    Dhariwal and Nichol, "Diffusion Models Beat GANs on Image Synthesis", 2021, and openai/guided-diffusion: scale and
    shift by the embedding, resampling inside residual blocks, learned variance.
  """

  config: UNetConfig

  @nn.compact
  def __call__(self, images: Array, timesteps: Array, labels: Array | None = None, train: bool = False) -> Array:
    """Predicted noise and coefficients of the variance.

    Args:
      images: `[B, H, W, 3]` on [-1, 1]; each level but the first halves H and W.
      timesteps: `[B]`, the index of the step in the schedule of training.
      labels: class of each image, int32 `[B]`, where `config.num_classes` is given.
      train: whether to drop numbers out; then a random stream `dropout` is needed.

    Returns:
      `[B, H, W, 6]`.

    Raises:
      ValueError: if H or W cannot be halved so often, or labels are missing or superfluous.
    """
    config = self.config
    levels = len(config.channel_mult)
    if any(size % 2 ** (levels - 1) for size in images.shape[1:3]):
      raise ValueError(f"height and width must be multiples of {2 ** (levels - 1)}, got {images.shape[1:3]}")
    if (labels is None) != (config.num_classes is None):
      raise ValueError("labels must be given for a network of classes, and for no other")

    embedding = nn.Dense(4 * config.width, name="time_embed_0")(timestep_embedding(timesteps, config.width))
    embedding = nn.Dense(4 * config.width, name="time_embed_2")(nn.silu(embedding))
    if config.num_classes is not None:
      embedding += nn.Embed(config.num_classes, 4 * config.width, name="label_emb")(labels)

    def residual(signal: Array, level: int, name: str, resample: Resample = "") -> Array:
      block = ResidualBlock(config.width * config.channel_mult[level], config.dropout, resample, name=name)
      return block(signal, embedding, train)

    def attention(signal: Array, name: str) -> Array:
      return AttentionBlock(config.head_width, config.new_attention_order, name=name)(signal)

    signal = same_size(config.width, "input_blocks_0_0")(images)
    aside = [signal]
    for level in range(levels):
      for _ in range(config.num_res_blocks):
        block = f"input_blocks_{len(aside)}"
        signal = residual(signal, level, f"{block}_0")
        if level in config.attention_levels:
          signal = attention(signal, f"{block}_1")
        aside.append(signal)
      if level < levels - 1:
        signal = residual(signal, level, f"input_blocks_{len(aside)}_0", "down")
        aside.append(signal)

    signal = residual(signal, levels - 1, "middle_block_0")
    signal = residual(attention(signal, "middle_block_1"), levels - 1, "middle_block_2")

    blocks = len(aside)
    for level in reversed(range(levels)):
      for place in range(config.num_res_blocks + 1):
        block = f"output_blocks_{blocks - len(aside)}"
        signal = residual(joined(signal, aside.pop()), level, f"{block}_0")
        attends = level in config.attention_levels
        if attends:
          signal = attention(signal, f"{block}_1")
        if level > 0 and place == config.num_res_blocks:
          signal = residual(signal, level, f"{block}_{1 + attends}", "up")

    signal = nn.silu(normalize("out_0")(signal))
    return same_size(2 * COLORS, "out_2", zero=True)(signal)


@dataclasses.dataclass(frozen=True)
class _Applied:
  """A network as a function of its parameters, equal to any other of the same structure."""

  config: UNetConfig

  def __call__(self, params: Any, labels: Array | None, images: Array, timesteps: Array) -> Array:
    return jnp.asarray(UNet(self.config).apply({"params": params}, images, timesteps, labels))


def denoiser_of(config: UNetConfig, params: Any, labels: Array | None = None) -> Denoiser:
  """A network bound to its parameters, as :mod:`fedrecjax.vision.diffusion` takes it.

  Args:
    config: structure of the network.
    params: its parameters.
    labels: class of each image `[B]`; a network of classes has none that stands for no class.

  Returns:
    `(images [B, H, W, 3], timesteps [B]) -> [B, H, W, 6]`, a `jax.tree_util.Partial`: given to a jitted function,
    parameters and labels are arguments of the program, and other parameters do not recompile it.

  Raises:
    ValueError: if labels are missing or superfluous.
  """
  if (labels is None) != (config.num_classes is None):
    raise ValueError("labels must be given for a network of classes, and for no other")
  return Partial(_Applied(config), params, labels)
