"""The command `python -m experiments.purification_bench`: images purified per second, and the memory that it takes.

Networks are untrained and images random, since the time depends on neither. Every size and purifier runs in a process
of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import resource
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from rich.table import Table

from experiments.bench.own_process import measured
from experiments.command_line import FlagGroup, command, output, read_group
from experiments.errors import UsageError
from experiments.image_report.speed import purification_speed
from experiments.memory import keep_freed_memory
from fedrecjax.datasets import ItemImages
from fedrecjax.defenses import DEFENSES
from fedrecjax.vision import PUBLISHED_256, UNetConfig, Visuals, denoiser_of, init_ddpm
from fedrecjax.vision.extractors import train_small_cnn

PURIFIERS = ("gdmpd_unguided", "gdmpd")
IMAGES = 32
_GROUP = "purification_bench"


def measure(*, size: int, purifier: str, start: int, respacing: int, structure: UNetConfig, repeats: int
            ) -> dict[str, float | str]:
  """Times the purification of a batch in this process.

  Args:
    size: side of the images in pixels.
    purifier: name of the defence.
    start: depth in steps of 1000.
    respacing: steps that the whole way back is spread over.
    structure: of the diffusion model.
    repeats: measurements.

  Returns:
    Images per second (median, slowest, fastest), seconds of compilation, steps back, and megabytes at the most.
  """
  pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, size, size, 3)).astype(np.uint8)
  images = ItemImages(pixels, np.ones(IMAGES, bool), "random")
  extractor = train_small_cnn(images, steps=1, batch=IMAGES, size=min(size, 64)).extractor
  denoiser = denoiser_of(structure, init_ddpm(structure, jax.random.key(0)).average)
  defense = DEFENSES[purifier].constructor(start=start, respacing=respacing)
  speed = purification_speed(Visuals(images, extractor, denoiser), defense.images, repeats=repeats)
  rates = [speed.batch / seconds for seconds in speed.seconds]
  return {
    "size": size, "purifier": purifier, "images_per_s": statistics.median(rates), "least": min(rates),
    "most": max(rates), "compile_s": speed.compile_s,
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
  }


def _define_flags(group: FlagGroup) -> None:
  group.texts("sizes", ["32", "64"], "sides of the images in pixels.")
  group.integer("start", 178, "depth in steps of 1000.", least=1, most=1000)
  group.integer("respacing", 250, "steps that the way back is spread over, of the whole 1000.", least=2, most=1000)
  group.integer("width", 32, "channels of the first level, a multiple of 32.", least=32)
  group.text("levels", "1+2+2", "channels of the levels as multiples of that, joined with +.")
  group.switch("published", False, "the structure of guided-diffusion's network of 256 x 256 images, which only a GPU"
               " takes in reasonable time.")
  group.integer("repeats", 5, "measurements; at least 5.", least=5)
  group.text("in_process", None, "one of the purifiers: time it in this process for the first size and print JSON.")


def _positive(text: str, flag: str) -> list[int]:
  parts = text.replace(",", "+").split("+")
  if not all(part.isdecimal() and int(part) > 0 for part in parts):
    raise UsageError(f"--{flag} must be positive numbers, got {text!r}")
  return [int(part) for part in parts]


def _structure(value: Callable[[str], Any], sizes: Sequence[int]) -> UNetConfig:
  if value("published"):
    structure = PUBLISHED_256
  else:
    width, levels = value("width"), tuple(_positive(value("levels"), "levels"))
    if width % 32:
      raise UsageError(f"--width must be a multiple of 32, got {width}")
    structure = UNetConfig(
      width=width, channel_mult=levels, attention_levels=(len(levels) - 1,) if len(levels) > 1 else ()
    )
  multiple = 2 ** (len(structure.channel_mult) - 1)
  for size in sizes:
    if size % multiple:
      raise UsageError(f"--sizes must be multiples of {multiple} for {len(structure.channel_mult)} levels, got {size}")
  return structure


def _work(argv: Sequence[str]) -> None:
  value = read_group(_GROUP, argv, _define_flags)
  sizes = _positive("+".join(value("sizes")), "sizes")
  structure = _structure(value, sizes)
  purifier = value("in_process")
  if purifier is not None:
    if purifier not in PURIFIERS:
      raise UsageError(f"--in_process must be one of {', '.join(PURIFIERS)}, got {purifier!r}")
    keep_freed_memory()
    print(json.dumps(measure(
      size=sizes[0], purifier=purifier, start=value("start"), respacing=value("respacing"),
      structure=structure, repeats=value("repeats"),
    )))
    return
  table = Table(title=f"purification, batches of {IMAGES}, medians of {value('repeats')}")
  for title in ("pixels", "purifier", "images per s", "least", "most", "compile s", "peak MB"):
    table.add_column(title, justify="left" if title == "purifier" else "right")
  given = [f"--{name}={value(name)}" for name in ("start", "respacing", "width", "levels", "published", "repeats")]
  for size in sizes:
    for name in PURIFIERS:
      try:
        found = measured(_GROUP, [*given, f"--sizes={size}", f"--in_process={name}"])
      except OSError as error:
        raise OSError(f"{name} with images of {size} pixels failed, {error}") from error
      table.add_row(
        str(size), name, *(f"{found[column]:.3f}" for column in ("images_per_s", "least", "most")),
        f"{found['compile_s']:.1f}", f"{found['peak_mb']:.0f}",
      )
  output(width=120).print(table)


main = command(_GROUP, _work)
