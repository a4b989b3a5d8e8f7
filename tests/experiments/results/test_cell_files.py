"""Names stand beside numbers in the tables of a cell."""

import numpy as np
import polars as pl

from experiments.grid import expand
from experiments.results.cell_files import cell_frames, round_frames
from fedrecjax.simulation.results import Result

(CELL,) = expand([{}], {})


def made(**names):
  return Result(
    metrics={"epoch": np.array([1]), "hr@10": np.array([0.5])}, per_user={"hr@10": np.array([1.0, np.nan])},
    users=np.array([2, 0]), targets=np.array([1, 3]), state=None, compile_s=0.0, detection={}, stealth={},
    images={"item": np.array([3, 1]), "mean_change": np.array([0.5, 1.0])}, **names,
  )


def test_without_names_there_are_numbers():
  metrics, users = cell_frames(CELL, made(), "1")
  assert metrics["targets"].to_list() == ["1+3"] and users.columns == ["user", "hr@10"]
  assert round_frames(made())["images"].columns == ["item", "mean_change"]


def test_names_stand_beside_numbers():
  named = made(user_names=np.array([5, 7, 9]), item_names=np.array(["a", "007", "7", "b"], object))
  metrics, users = cell_frames(CELL, named, "1")
  assert metrics["targets"].to_list() == ["007+b"]
  assert users.rows() == [(2, 9, 1.0), (0, 5, None)] and users.columns == ["user", "user_name", "hr@10"]
  assert users.schema["user_name"] == pl.Int64
  images = round_frames(named)["images"]
  assert images.columns == ["item", "item_name", "mean_change"] and images["item_name"].to_list() == ["b", "007"]


def test_what_an_attack_tells_has_a_table_of_rounds():
  assert "attack" not in round_frames(made())
  frame = round_frames(made(told={"clusters": np.array([2.0, np.nan]), "loss": np.array([0.5, np.nan])}))["attack"]
  assert frame.columns == ["round", "clusters", "loss"] and frame.rows() == [(1, 2.0, 0.5), (2, None, None)]


def test_metrics_after_uploads_have_a_table():
  assert "after_uploads" not in round_frames(made())
  columns = {"epoch": np.array([8]), "round": np.array([192]), "er@5": np.array([np.nan])}
  assert round_frames(made(after_uploads=columns))["after_uploads"].rows() == [(8, 192, None)]
