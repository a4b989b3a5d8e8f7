"""How fast images are purified."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import jax
import numpy as np

from fedrecjax.types import ImageDefenseView
from fedrecjax.vision.visuals import BATCH, Visuals


class Speed(NamedTuple):
  """Seconds that purification takes.

  Attributes:
    batch: images purified at a time.
    compile_s: seconds of compilation.
    seconds: of each measurement of a batch.
  """

  batch: int
  compile_s: float
  seconds: tuple[float, ...]

  @property
  def images_per_s(self) -> float:
    """Images per second in the measurement of median length."""
    return float(self.batch / np.median(self.seconds))


def purification_speed(visuals: Visuals, transform: Any, *, repeats: int) -> Speed:
  """Measures the purification of a batch of the size in which a server's images are purified.

  Args:
    visuals: images and networks.
    transform: `Defense.images`, a pytree.
    repeats: measurements, after one run that does not count.
  """
  items = np.resize(visuals.images.items, BATCH)
  apply = visuals.extractor.apply

  def purify(parameters: Any, denoiser: Any, transform: Any, pixels: jax.Array, items: jax.Array) -> jax.Array:
    view = ImageDefenseView(lambda images: apply(parameters, images), denoiser)
    return jax.numpy.asarray(transform(pixels, items, view, jax.random.key(0)))

  pixels = visuals.images.pixels[items].astype(np.float32)
  arguments = (visuals.extractor.parameters, visuals.denoiser, transform, pixels, items.astype(np.int32))
  started = time.perf_counter()
  program = jax.jit(purify).lower(*arguments).compile()
  compile_s = time.perf_counter() - started
  program(*arguments).block_until_ready()
  seconds = []
  for _ in range(repeats):
    started = time.perf_counter()
    program(*arguments).block_until_ready()
    seconds.append(time.perf_counter() - started)
  return Speed(BATCH, compile_s, tuple(seconds))
