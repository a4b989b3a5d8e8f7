"""The tables of an image report."""

from __future__ import annotations

import math
from typing import Any

from experiments.image_report.analysis import Report
from experiments.image_report.flags import LIST_LENGTH, Options
from experiments.image_report.quality import ORIGINAL, RELATIVE, SCORE, SHARPNESS
from experiments.tables import Table

_MEASURES = {SHARPNESS: "blur", SCORE: "BRISQUE", RELATIVE: "BRISQUE's features"}


def report_tables(report: Report, options: Options) -> list[Table]:
  """All tables, in the order in which they are shown."""
  return [
    _attack_table(report, options), _detection_table(report, options), _quality_table(report), _speed_table(report)
  ]


def _attack_table(report: Report, options: Options) -> Table:
  run = options.run
  exposure = f"er@{LIST_LENGTH}"
  columns = (exposure, f"{exposure}_alone", "hr@20", "ndcg@20")
  rows = tuple(
    (f"{row['bound']:g}", *(_shown(row[name], 4) for name in columns), f"{row['reached']} of {row['num_targets']}")
    for row in report.tables["runs"]
  )
  notes = (
    f"{exposure}: of the {len(report.targets)} targets together, which take each other's places; alone: mean over"
    " targets, the others left out",
    f"reached: targets that stand alone on the lists of {options.reached:g} of the users or more",
  )
  title = f"Attack: {run.attack.name} on {run.model.name}, {run.dataset}, {run.train.epochs} epochs"
  return Table(title, ("bound", exposure, f"{exposure} alone", *columns[2:], "reached"), rows, 1, notes)


def _detection_table(report: Report, options: Options) -> Table:
  numbers = ("rho", "tpr", "fpr", "tpr_reached", "auroc", "tpr_no_false_alarm", "fpr_all_caught")
  rows = tuple(
    (f"{row['bound']:g}", row["defense"], row["threshold"], *(_shown(row[name], 3) for name in numbers))
    for row in report.tables["detection"]
  )
  first = report.tables["detection"][0]
  notes = (
    f"rho from {first['num_calibration']} normal images; fpr of {first['num_judged']} others, tpr of"
    f" {first['num_adversarial']} adversarial ones; tpr reached: of those that reached the lists",
    f"quantile and normal: thresholds that let {options.share:g} of the normal images be flagged",
    "no false alarm: tpr below the least similarity of all normal images; all caught: fpr where every adversarial image"
    " is caught",
  )
  header = ("bound", "defense", "threshold", "rho", "tpr", "fpr", "tpr reached", "auroc", "tpr, no false alarm",
            "fpr, all caught")
  return Table("Detection of adversarial images", header, rows, 3, notes)


def _quality_table(report: Report) -> Table:
  found = {(row["images"], row["measure"]): row for row in report.tables["quality"]}
  measures = [name for name in _MEASURES if (ORIGINAL, name) in found]
  rows = tuple(
    (images, *(_shown(found[images, name]["sd"], 2 if name == SHARPNESS else 3) for name in measures))
    for images in dict.fromkeys(images for images, _ in found)
  )
  notes = [
    f"standard deviations over {found[ORIGINAL, SHARPNESS]['num_images']} images of"
    f" {report.original.shape[1]} x {report.original.shape[2]} pixels; blur: variance of the Laplacian, which grows"
    " with resolution",
  ]
  if RELATIVE in measures:
    notes.append("BRISQUE's features: mean over the 36 of the deviation as a multiple of the originals'; a score needs"
                 " --brisque_model")
  header = ("images", *(_MEASURES[name] for name in measures))
  return Table("Spread of image quality", header, rows, 1, tuple(notes))


def _speed_table(report: Report) -> Table:
  rows = tuple(
    (row["defense"], f"{row['images_per_s']:.1f}", f"{row['compile_s']:.1f}") for row in report.tables["speed"]
  )
  first = report.tables["speed"][0]
  notes = (f"median of {first['repeats']} purifications of {first['batch']} images, from {first['start']} of 1000 steps"
           f" of noise with {first['respacing']} steps for the whole way back",)
  return Table("Speed of purification", ("defense", "images/s", "compile s"), rows, 1, notes)


def _shown(number: Any, digits: int) -> str:
  return "-" if number is None or math.isnan(number) else f"{number:.{digits}f}"
