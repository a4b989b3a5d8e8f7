"""The page of the matrix: its setting, rankings of attacks and defenses, and every cell with its interval."""

from __future__ import annotations

import pathlib

from experiments.grid import axis_values
from experiments.recipes import RECIPES
from experiments.recipes.matrix import DEFENSES, EXPOSURE, MODELS, UTILITY
from experiments.results.kept import read_kept
from experiments.results.matrix import (
  HALVES,
  LEAST_KEPT,
  Half,
  Runs,
  keeps_enough,
  mean_rate,
  ranked_attacks,
  ranked_defenses,
  runs_of,
)
from experiments.tables import Table, markdown
from fedrecjax.metrics.stats import Interval

NAME = "matrix"
PICTURE = "images/matrix.png"

_HEAD = """# Every attack against every defense

Each attack against each defense, in one setting for all of them, on MovieLens-100K. No paper has this table.
The page is made from `docs/results/matrix.csv` by `python -m experiments.results`, from as many cells as there
are.

```sh
python -m experiments.sweep --recipe=matrix                                   # goes on where it was stopped
python -m experiments.sweep --recipe=matrix --only=model=mf                   # one of the models
python -m experiments.results --keep=matrix --out_dir=results/matrix          # its finished cells into docs/results
```
"""
_RULES = f"""**How strong an attack is under a defense**, seed by seed against no attack under the same defense: a
targeted attack by the er@10 that it gains, an untargeted one by the share of hr@10 that it takes. A run that has
diverged recommends nothing, so its hits and its exposure are 0.

**Attacks** are ranked by their strength under the defense that is best against each of them, the strongest
first. **Defenses** are ranked by the strength of the attack that is worst for each of them, the best first. A
defense that keeps less than {100 * LEAST_KEPT:g} % of the hr@10 that there is without defense and attack
(marked †) counts as nobody's best and stands last: a recommender without hits has none to lose. Only what has
been run is compared: the last column says of how many.

± is half of the 95 % interval over seeds (Student's t); one seed has none. Targets and held-out items are
ranked among all items.
"""


def matrix_page(file: pathlib.Path) -> str:
  """The page as Markdown.

  Args:
    file: of the kept results; where there is none, the page says so.

  Raises:
    DataError: naming file and line, if kept results are not of the recipe as it is.
  """
  runs = kept_runs(file)
  parts = [_HEAD, _setting(), _RULES, markdown(_counts(runs))]
  if runs:
    parts += [f"\n![strength of each attack under each defense]({PICTURE})"]
  for model in MODELS:
    if any(key[0] == model for key in runs):
      parts += [f"\n## {model.upper()}", *(_half(runs, model, half) for half in HALVES)]
  return "\n".join(parts) + "\n"


def kept_runs(file: pathlib.Path) -> Runs:
  """The kept results of the matrix; none where there is no such file."""
  if not file.is_file():
    return {}
  kept = read_kept(NAME, file)
  return runs_of(kept.cells, kept.results)


def _setting() -> str:
  recipe = RECIPES[NAME]
  left_out = float(recipe.settings[0]["eval.left_out"])
  lines = [
    *(f"{line}." for line in recipe.settings_from),
    f"Targets ({recipe.settings[0]['attacker.targets']}): one item a seed among those that fewest users have in"
    " training, so that all have the same popularity.",
    f"{100 * left_out:g} % of the users are not evaluated, those that untargeted attacks take over: all"
    " cells of a seed are of the same users, after the last epoch.",
    "trimmed_mean, krum, multi_krum and bulyan are told the share of malicious clients.",
    f"Apart: {recipe.missing[0]}. Every other combination of these models runs ([compatibility.md](compatibility.md)).",
  ]
  return "\n".join(f"- {line}" for line in lines) + "\n"


def _counts(runs: Runs) -> Table:
  rows = []
  for model, seeds in MODELS.items():
    there = sum(len(of_seed) for key, of_seed in runs.items() if key[0] == model)
    diverged = sum(
      row.get("diverged_at_epoch") is not None
      for key, of_seed in runs.items() if key[0] == model for row in of_seed.values()
    )
    planned = len(axis_values("seed", seeds)) * len(DEFENSES) * (1 + sum(map(len, HALVES.values())))
    rows.append((model, seeds, str(there), str(planned), str(diverged)))
  return Table("How much of it is there", ("model", "seeds", "cells", "of", "diverged"), tuple(rows), 2)


def _half(runs: Runs, model: str, half: Half) -> str:
  unit = "er@10 gained" if half == "targeted" else "share of hr@10 taken"
  metrics = (*EXPOSURE, *UTILITY) if half == "targeted" else UTILITY
  tables = [_attacks(runs, model, half, unit), _defenses(runs, model, half, unit)]
  tables += [_cells(runs, model, half, metric) for metric in metrics]
  return "\n\n".join([f"### {half.capitalize()} attacks", *map(markdown, tables)]) + "\n"


def _attacks(runs: Runs, model: str, half: Half, unit: str) -> Table:
  rows = tuple(
    (str(place), one.attack, one.best, text_of(one.strength), text_of(one.undefended), str(one.defenses))
    for place, one in enumerate(ranked_attacks(runs, model, half), 1)
  )
  header = ("", "attack", "best defense against it", f"{unit} under it", f"{unit} without defense", "of defenses")
  return Table("Attacks, each under the best defense against it", header, rows, 3)


def _defenses(runs: Runs, model: str, half: Half, unit: str) -> Table:
  rows = tuple(
    (
      str(place), one.defense if one.chosen else f"{one.defense} †", one.worst, text_of(one.strength),
      text_of(one.hits), str(one.attacks),
    )
    for place, one in enumerate(ranked_defenses(runs, model, half), 1)
  )
  header = ("", "defense", "worst attack", f"{unit} by it", "hr@10 without attack", "of attacks")
  return Table("Defenses, each under the attack that is worst for it", header, rows, 3)


def _cells(runs: Runs, model: str, half: Half, metric: str) -> Table:
  names = tuple(one if keeps_enough(runs, model, one) else f"{one} †" for one in DEFENSES)
  rows = tuple(
    (attack, *(text_of(mean_rate(runs, (model, attack, defense), metric)) for defense in DEFENSES))
    for attack in ("none", *HALVES[half])
  )
  return Table(metric, ("attack", *names), rows, 1)


def text_of(interval: Interval | None) -> str:
  """An interval with three digits; "-" where there is none.

  >>> text_of(Interval(0.12345, 0.01, 3)), text_of(Interval(-0.0001, None, 1)), text_of(None)
  ('0.123 ±0.010', '0.000', '-')
  """
  if interval is None:
    return "-"
  # No minus in front of what is rounded to nothing.
  mean = f"{round(interval.mean, 3) + 0.0:.3f}"
  return mean if interval.half_width is None else f"{mean} ±{interval.half_width:.3f}"
