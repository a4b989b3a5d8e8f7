"""From settings to cells."""

import itertools

import pytest

from experiments.errors import UsageError
from experiments.grid import (
  Shard,
  axis_values,
  cell_name,
  expand,
  field_values,
  in_order_of_structure,
  label,
  of_data,
  parse_only,
  parse_shard,
  select,
  shown,
  varying_fields,
)
from experiments.recipes import RECIPES
from fedrecjax.config import ConfigError, RunConfig, from_flat


def test_axes_make_a_product():
  cells = expand([{}], {"attack": "none,random", "defense": "none,norm_bound+median", "seed": "0-2"})
  found = {(cell.flat["attack"], cell.flat["defense"], cell.flat["seed"]) for cell in cells}
  assert len(cells) == len(found) == 12
  assert ("random", "norm_bound+median", 2) in found
  assert all(cell.hash == from_flat(cell.flat).hash() for cell in cells)


def test_a_field_multiplies_only_the_cells_that_have_it():
  cells = expand([{}], {"attack": "none,pieck_uea", "pieck_uea.num_popular": "10,50", "train.epochs": "1,2"})
  assert [cell.flat["attack"] for cell in cells].count("none") == 2
  assert [cell.flat["attack"] for cell in cells].count("pieck_uea") == 4


def test_cells_that_come_out_the_same_are_merged():
  cells = expand([{}], {"attack": "none,random", "attacker.malicious_ratio": "0.05,0.1"})
  assert sorted(cell.flat["attack"] for cell in cells) == ["none", "random", "random"]
  assert len(expand([{}, {}], {"seed": "1,1"})) == 1


def test_tuples_and_optional_fields():
  cells = expand([{}], {"eval.ks": "5+10,20", "train.row_clip": "none,0.5"})
  assert [(cell.config.eval.ks, cell.config.train.row_clip) for cell in cells] == [
    ((5, 10), None), ((5, 10), 0.5), ((20,), None), ((20,), 0.5)]


@pytest.mark.parametrize("overrides", [
  {"pieck_uea.num_popular": "10"},
  {"attack": "pieck_ipe", "pieck_uea.num_popular": "10"},
  {"median.scale": "mean"},
])
def test_a_flag_that_concerns_no_cell_is_an_error(overrides):
  with pytest.raises(UsageError, match="takes part in no cell"):
    expand([{}], overrides)


def test_overrides_of_a_recipe_may_leave_its_own_fields_without_cell():
  published = RECIPES["pieck_table3_published"].settings
  cells = expand(published, {"attack": "none", "seed": "7", "train.epochs": "3"})
  assert [(cell.config.seed, cell.config.train.epochs) for cell in cells] == [(7, 3)]


@pytest.mark.parametrize(("overrides", "message"), [
  ({"train.epochs": "ten"}, "--train.epochs must be an integer"),
  ({"train.epochs": "1,,2"}, "--train.epochs must be an integer"),
  ({"train.epochs": "0"}, "train.epochs must be positive"),
  ({"train.learning_rate": "inf"}, "--train.learning_rate must be a finite number"),
  ({"train.loss": "hinge"}, "--train.loss must be one of bce, bpr"),
  ({"mf.dim": "-1"}, "mf.dim must be positive"),
  ({"attack": "unheard"}, "--attack must be a comma list of"),
  ({"defense": "median+"}, "--defense must be a comma list of"),
  ({"defense": "median+trimmed_mean"}, "--defense=median.trimmed_mean"),
  ({"attack": ""}, "--attack must be a comma list without empty places"),
  ({"seed": "3-1"}, "--seed must be"),
  ({"seed": "-1"}, "--seed must be"),
  ({"seed": "4294967296"}, "seed must be"),
])
def test_impossible_values_name_the_flag(overrides, message):
  with pytest.raises((UsageError, ConfigError), match=message) as caught:
    expand([{}], overrides)
  assert "\n" not in str(caught.value)


def test_neighbours_share_programs():
  settings = {"attack": "none,random", "train.learning_rate": "0.1,1", "train.epochs": "1,2", "seed": "0-1"}
  cells = expand([settings], {})
  structures = [(cell.flat["attack"], cell.flat["train.epochs"]) for cell in cells]
  changes = sum(one != other for one, other in itertools.pairwise(structures))
  assert changes == len(set(structures)) - 1
  assert {cell.hash for cell in in_order_of_structure(cells[::-1])} == {cell.hash for cell in cells}


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_shards_cover_all_cells_once(count):
  cells = expand([{}], {"seed": "0-10"})
  parts = [Shard(index, count).of(cells) for index in range(count)]
  assert sorted(cell.hash for part in parts for cell in part) == sorted(cell.hash for cell in cells)
  assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["1", "1/1", "-1/2", "a/b", "0/0", "1/", "/2", "0.5/2"])
def test_bad_shards(text):
  with pytest.raises(UsageError, match="--shard must be i/n"):
    parse_shard(text)


def test_axis_and_field_values():
  assert axis_values("seed", "0-2, 9") == [0, 1, 2, 9]
  assert field_values("attacker.target_items", "") == [()]
  with pytest.raises(UsageError, match=r"no flag --train\.unheard"):
    field_values("train.unheard", "1")


def test_paths_may_have_commas_and_plus_signs(tmp_path):
  odd, plain = tmp_path / "a,b+c, d.csv", tmp_path / "a"
  for path in (odd, plain):
    path.write_text("user,item\n")
  assert axis_values("dataset", f"ml-100k,{odd},{plain}") == ["ml-100k", str(odd), str(plain)]
  assert axis_values("dataset", f"{plain}:{odd},ml-1m") == [f"{plain}:{odd}", "ml-1m"]
  assert axis_values("dataset", f"{odd}.gz") == f"{odd}.gz".replace(", ", ",").split(",")
  assert field_values("images.source", f"covers,{odd}") == ["covers", str(odd)]
  assert field_values("attacker.public_file", f"none,{odd},{plain}") == [None, str(odd), str(plain)]
  assert field_values("data.encoding", "latin-1,utf-8") == ["latin-1", "utf-8"]
  cells = expand([{}], {"dataset": f"synthetic,{odd}"})
  assert [cell.config.dataset for cell in select(cells, parse_only("dataset=synthetic"))] == ["synthetic"]


def test_items_are_named_on_the_command_line():
  assert field_values("attacker.target_items", "7+007+b0,12") == [(7, "007", "b0"), (12,)]
  with pytest.raises(ConfigError, match=r"--attacker\.target_items must be names joined with \+, got '5\+'"):
    field_values("attacker.target_items", "5+")


def test_fields_that_joined_later_are_there_where_they_are_set():
  cells = expand([{}], {"data.min_rating": "none,4"})
  assert cells[0].hash == expand([{}], {})[0].hash != cells[1].hash
  assert "data.min_rating" not in cells[0].flat and cells[1].flat["data.min_rating"] == 4.0
  assert varying_fields(cells) == ["data.min_rating"] and varying_fields(cells[:1]) == []
  assert select(cells, parse_only("data.min_rating=-")) == cells[:1]
  assert select(cells, parse_only("data.min_rating=4.0")) == cells[1:]
  cells = expand([{}], {"attack": "none,pieck_ipe", "pieck_ipe.partition": "true,false"})
  assert varying_fields(cells) == ["attack", "pieck_ipe.partition"]
  assert [label(cell.flat, "pieck_ipe.partition") for cell in cells] == ["-", "true", "false"]
  assert select(cells, parse_only("pieck_ipe.partition=true")) == cells[1:2]


def test_names_tell_cells_apart():
  cells = expand([{}], {"attack": "none,random", "attacker.num_targets": "1,2", "random.max_rows": "5,6"})
  varying = varying_fields(cells)
  assert varying == ["attack", "attacker.num_targets", "random.max_rows"]
  names = [cell_name(cell, varying) for cell in cells]
  assert len(set(names)) == len(names)
  assert "synthetic mf random none seed=0 attacker.num_targets=2 random.max_rows=6" in names


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"seed": "0-1000000000"}, "--seed: 0-1000000000 is 1,000,000,001 seeds, and a sweep has at most 100,000 cells"),
    ({"seed": "0-60000,7-60000"}, "at most 100,000 cells"),
    (
      {"attack": "random", "seed": "0-9", "train.epochs": ",".join(map(str, range(1, 10_002)))},
      "the grid has more than 100,000 cells",
    ),
  ],
)
def test_grids_beyond_reason_are_refused_at_once(monkeypatch, settings, message):
  monkeypatch.setattr("experiments.grid.from_flat", lambda values: FEW)
  monkeypatch.setattr(RunConfig, "flat", dict)
  monkeypatch.setattr(RunConfig, "hash", lambda config: "0")
  with pytest.raises(UsageError, match=message):
    expand([{}], settings)


FEW = expand([{}], {})[0].config


def test_target_items_override_how_a_recipe_chooses_targets():
  block = {"attack": "random", "attacker.targets": "least_popular"}
  (cell,) = expand([block], {"attacker.target_items": "5+7"})
  assert (cell.flat["attacker.targets"], cell.flat["attacker.target_items"]) == ("given", [5, 7])


def test_cells_are_selected_by_values_of_fields():
  cells = expand([{}], {"attack": "none,random,popular", "defense": "none,norm_bound+median", "seed": "0-1"})
  assert len(select(cells, {})) == 12
  found = select(cells, parse_only("attack=none+random,seed=1"))
  assert {(cell.flat["attack"], cell.flat["seed"]) for cell in found} == {("none", 1), ("random", 1)}
  assert {cell.flat["defense"] for cell in select(cells, parse_only("defense=norm_bound+median"))} == {
    "norm_bound+median"}
  for text, message in (("attack", "comma list of FIELD=VALUE"), ("mf.size=3", "no cell has a field mf.size"),
                        ("attack=cluster", "leaves none of the 12 cells")):
    with pytest.raises(UsageError, match=message):
      select(cells, parse_only(text))


def test_files_of_public_interactions_tell_cells_apart_by_name_and_content(tmp_path):
  first, second = tmp_path / "first.txt", tmp_path / "second.txt"
  first.write_text("0 1\n")
  second.write_text("0 1\n")
  cells = expand([{}], {"attack": "none,fedrecattack", "attacker.public_file": f"none,{first},{second}"})
  assert len(cells) == 4 and "attacker.public_file" in varying_fields(cells)
  plain = {cell.hash for cell in expand([{}], {"attack": "none,fedrecattack"})}
  before = of_data(cells, None)
  assert len({cell.hash for cell in before}) == 4
  assert {cell.hash for cell in before if cell.data_digest is None} == plain
  first.write_text("0 2\n")
  assert [one.hash == two.hash for one, two in zip(before, of_data(cells, None), strict=True)].count(False) == 1


def test_names_of_items_may_hold_what_joins_them():
  (several,) = [cell.config.attacker.target_items for cell in expand([{}], {
    "attack": "random", "attacker.target_items": '"Warhammer 40,000"+7+"a+b"', "attacker.num_targets": "3",
  })]
  assert several == ("Warhammer 40,000", 7, "a+b")
  cells = expand([{}], {"attack": "random", "attacker.target_items": '"a, b",7+c'})
  assert sorted((cell.config.attacker.target_items for cell in cells), key=len) == [("a, b",), (7, "c")]
  for cell in cells:
    text = shown(cell.flat["attacker.target_items"])
    (again,) = expand([{}], {"attack": "random", "attacker.target_items": text})
    assert again.hash == cell.hash
