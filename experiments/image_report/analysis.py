"""Everything that an image report is made from: runs, purified images, detection, quality and speed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.errors import UsageError
from experiments.image_report.attack import Attacked, attack_images
from experiments.image_report.detection import Purification, detection_rows, purified, split_normal, with_images
from experiments.image_report.flags import LIST_LENGTH, Options, bound_of
from experiments.image_report.quality import ORIGINAL, quality_rows
from experiments.image_report.speed import purification_speed
from fedrecjax.datasets import Dataset
from fedrecjax.datasets.names import name_at
from fedrecjax.federation.population import num_malicious
from fedrecjax.version import __version__
from fedrecjax.vision import Regression
from fedrecjax.vision.visuals import Visuals

Say = Callable[[str], None]
Rows = list[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Report:
  """What is written and drawn; images and similarities by the name of the purifier.

  Attributes:
    bounds: of the runs.
    targets: item ids `[T]`.
    original: the targets' own images, uint8 `[T, H, W, 3]`.
    attacked: of each bound.
    purified_original: the targets' own images purified.
    purified: adversarial images of each bound purified, with their similarities.
    normal: similarities of the normal images.
    calibration: of those that set thresholds.
    tables: rows of the result files by name: runs, detection, targets, quality, speed.
  """

  bounds: tuple[float, ...]
  targets: np.ndarray
  original: np.ndarray
  attacked: Sequence[Attacked]
  purified_original: dict[str, np.ndarray]
  purified: Sequence[dict[str, Purification]]
  normal: dict[str, np.ndarray]
  calibration: dict[str, np.ndarray]
  tables: dict[str, Rows]


def check_users(dataset: Dataset, options: Options) -> None:
  """Raises UsageError if the attack has no user to invent."""
  if num_malicious(dataset, options.run.attacker) == 0:
    raise UsageError(f"--malicious_ratio={options.run.attacker.malicious_ratio:g} of the {dataset.num_users} users of"
                     f" {dataset.name} is nobody")


def analyse(
  dataset: Dataset, visuals: Visuals, regression: Regression | None, options: Options, say: Say
) -> Report:
  """Attacks, purifies and judges.

  Args:
    dataset: of the runs.
    visuals: with a diffusion model.
    regression: BRISQUE's model, if there is one.
    options: of the command line.
    say: is told what takes long.

  Raises:
    ConfigError: if a number does not fit the data set.
    UsageError: if training diverges or there are too few images.
  """
  bounds = tuple(map(bound_of, options.runs))
  attacked = []
  for bound, run in zip(bounds, options.runs, strict=True):
    say(f"training {run.model.name} under {run.attack.name} with changes up to {bound:g}")
    attacked.append(attack_images(run, dataset, visuals))
  # Targets are drawn from the seed, which all runs share.
  targets = attacked[0].result.targets
  items = visuals.images.items
  for_thresholds, judged = split_normal(items, targets, options.calibration_share, options.run.seed)
  purifiers = {one.name: one.build().images for one in options.purifiers}
  clean, after, speeds = {}, [], []
  for name, transform in purifiers.items():
    say(f"purifying {len(items)} images with {name}")
    clean[name] = purified(visuals, transform, items)
    speed = purification_speed(visuals, transform, repeats=options.repeats)
    speeds.append({
      "defense": name, "batch": speed.batch, "images_per_s": speed.images_per_s, "compile_s": speed.compile_s,
      "fastest_s": min(speed.seconds), "slowest_s": max(speed.seconds), "repeats": options.repeats,
    })
  for bound, one in zip(bounds, attacked, strict=True):
    say(f"purifying {len(targets)} images changed by up to {bound:g}")
    uploaded = with_images(visuals, one.pixels, targets)
    after.append({name: purified(uploaded, transform, targets) for name, transform in purifiers.items()})
  detection: Rows = []
  for bound, one, found in zip(bounds, attacked, after, strict=True):
    for name in purifiers:
      similarity = clean[name].similarity
      try:
        rows = detection_rows(
          similarity[for_thresholds], similarity[judged], found[name].similarity,
          one.exposure.alone >= options.reached, share=options.share,
        )
      except ValueError as error:
        raise UsageError(f"{name}: {error}") from error
      detection += [{"bound": bound, "defense": name, **row} for row in rows]
  say("judging the quality of images")
  variants = {ORIGINAL: visuals.images.pixels[items]} | {name: one.pixels for name, one in clean.items()}
  places = np.searchsorted(items, targets)
  tables = {
    "runs": [_run_row(bound, one, options) for bound, one in zip(bounds, attacked, strict=True)],
    "detection": detection,
    "targets": [row for bound, one, found in zip(bounds, attacked, after, strict=True)
                for row in _target_rows(bound, one, found, detection, options)],
    "quality": quality_rows(variants, regression),
    "speed": speeds,
  }
  normal = np.concatenate([for_thresholds, judged])
  return Report(
    bounds=bounds,
    targets=targets,
    original=visuals.images.pixels[targets],
    attacked=attacked,
    purified_original={name: one.pixels[places] for name, one in clean.items()},
    purified=after,
    normal={name: one.similarity[normal] for name, one in clean.items()},
    calibration={name: one.similarity[for_thresholds] for name, one in clean.items()},
    tables={name: [_with_run(row, visuals, options) for row in rows] for name, rows in tables.items()},
  )


def _with_run(row: dict[str, Any], visuals: Visuals, options: Options) -> dict[str, Any]:
  """A row with what is the same for all, at its end."""
  run = options.run
  # Both purifiers have the depth and the steps of the same flags.
  depth = options.purifiers[0].hyperparameters
  return row | {
    "dataset": run.dataset, "model": run.model.name, "attack": run.attack.name, "images_source": run.images.source,
    "size": visuals.images.pixels.shape[1], "extractor": run.images.extractor, "start": depth.start,
    "respacing": depth.respacing, "seed": run.seed, "version": __version__,
  }


def _run_row(bound: float, one: Attacked, options: Options) -> dict[str, Any]:
  metrics = {name: float(values[-1]) for name, values in one.result.metrics.items() if "@" in name}
  return {
    "bound": bound,
    "epochs": options.run.train.epochs,
    "num_targets": len(one.result.targets),
    **metrics,
    f"er@{LIST_LENGTH}_alone": float(np.nanmean(one.exposure.alone)),
    "reached": int(np.sum(one.exposure.alone >= options.reached)),
    "reached_share": options.reached,
  }


def _target_rows(
  bound: float, one: Attacked, found: dict[str, Purification], detection: Rows, options: Options
) -> Rows:
  """A row for each target of a run."""
  count = len(one.result.targets)
  rho = {row["defense"]: row["rho"] for row in detection if row["threshold"] == "minimum"}
  changes = {name: one.result.images[name][-count:] for name in ("largest_change", "mean_change")}
  rows = []
  for place, item in enumerate(one.result.targets.tolist()):
    row = {
      "bound": bound,
      "item": item,
      **({} if one.result.item_names is None else {"item_name": name_at(one.result.item_names, item)}),
      f"er@{LIST_LENGTH}": float(one.exposure.together[place]),
      f"er@{LIST_LENGTH}_alone": float(one.exposure.alone[place]),
      "reached": bool(one.exposure.alone[place] >= options.reached),
      **{name: float(values[place]) for name, values in changes.items()},
    }
    for name, purification in found.items():
      similarity = float(purification.similarity[place])
      row |= {f"similarity_{name}": similarity, f"flagged_{name}": similarity < rho[name]}
    rows.append(row)
  return rows
