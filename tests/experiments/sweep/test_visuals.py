"""Images on the command line: what is prepared for cells, what is written, and what is said of bad input."""

import json

import chex
import jax
import numpy as np
import polars as pl
import pytest
from PIL import Image

from experiments.grid import expand
from experiments.results import uploaded_images as uploaded
from experiments.results.paths import cell_dir
from experiments.results.plots import PlotError
from experiments.sweep import visuals as module
from experiments.sweep.command import main
from experiments.sweep.visuals import load_visuals, prepare_visuals, visuals_key
from fedrecjax.config import ConfigError, ImagesConfig
from fedrecjax.datasets import DataError, load

SMALL = {
  "images.size": "8", "images.extractor_steps": "2", "images.diffusion_steps": "1", "images.diffusion_levels": "1",
  "images.diffusion_batch": "2",
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
  """A random picture of each of the small file's 60 items but item 3."""
  pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3)).astype(np.uint8)
  file = tmp_path_factory.mktemp("images") / "tiny.npz"
  items = np.delete(np.arange(60), 3)
  np.savez(file, pixels=pixels[items], item=items)
  return file


def flags(archive, **fields):
  return [f"--{name}={value}" for name, value in ({"images.source": str(archive)} | SMALL | fields).items()]


def config(archive, **fields):
  return ImagesConfig(
    str(archive), size=8, extractor_steps=2, diffusion_steps=1, diffusion_levels=(1,), diffusion_batch=2, **fields
  )


@pytest.fixture(scope="module")
def small(data_file):
  return load(str(data_file), repeats="drop")


def image_size(file):
  with Image.open(file) as image:
    return image.size


def test_a_sweep_with_images(command, archive, capsys):
  arguments = command.arguments(
    "--model=vncf", "--vncf.dim=4", "--vncf.hidden=4", "--attack=none,psmu_v", "--psmu_v.num_items=5",
    "--psmu_v.steps=2", "--train.learning_rate=0.01", "--defense=none,gdmpd", "--gdmpd.respacing=10",
    "--attacker.malicious_ratio=0.1",
    *flags(archive),
  )
  assert main(["sweep", *[one for one in arguments if not one.startswith("--mf")]]) == 0
  table = pl.read_parquet(command.folder / "results.parquet")
  assert table.height == 4 and table["images.size"].unique().to_list() == [8]
  assert (table["targets"] != "3").all()
  for row in table.iter_rows(named=True):
    file = command.folder / "cells" / row["config_hash"] / "images.parquet"
    assert file.exists() == (row["attack"] == "psmu_v")
    if file.exists():
      uploads = pl.read_parquet(file)
      assert uploads["epoch"].to_list() == [0, 1] and uploads["largest_change"].max() <= 4
      assert (uploads["similarity"] < 1).all() == (row["defense"] == "gdmpd")
      with np.load(file.with_name("images.npz")) as arrays:
        assert arrays["item"].tolist() == [int(row["targets"])]
        change = np.abs(arrays["uploaded"].astype(int) - arrays["original"]).max()
        assert 0 < change <= 4 and change == uploads["largest_change"][-1]
        assert (arrays["kept"] == arrays["uploaded"]).all() == (row["defense"] == "none")
    content = json.loads((file.parent / "config.json").read_text())
    assert content["config"]["images.source"] == str(archive)
  said = capsys.readouterr().err
  assert "training the extractor on 59 images, 2 steps" in said
  assert said.count("training the diffusion model on 59 images, 1 steps") == 1
  assert len(list((command.folder / "networks").iterdir())) == 2
  assert image_size(command.folder / "uploaded_images.png")[1] > 2 * 96


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--model=mf", "--attack=psmu_v"], "the attack changes images, of which tiny.csv has none; set images.source"),
    (["--model=vncf"], "model vncf sees images, and tiny.csv has no visual features of its items; set images.source"),
    (["--model=mf", "--images.size=8"], "images.size must be left alone where images.source=none, got 8"),
    (["--model=vncf", "--images.source=cats"], "images 'cats' are unknown"),
    (["--model=vncf", "--defense=gdmpd+gdmpd_unguided"], "only one defense of images"),
  ],
)
def test_bad_input_is_said_in_a_line(command, arguments, message, capsys):
  given = [one for one in command.arguments(*arguments) if not one.startswith("--mf")]
  assert main(["sweep", *given]) == 2
  lines = capsys.readouterr().err.strip().splitlines()
  assert len(lines) == 1 and message in lines[0]


def test_models_without_eyes_are_refused_attacks_by_images(command, archive, capsys):
  given = command.arguments("--attack=psmu_v", *flags(archive))
  assert main(["sweep", *given]) == 2
  assert "the attack changes images, which the model does not see" in capsys.readouterr().err


def test_networks_are_prepared_once_and_only_where_needed(archive, small, data_file, monkeypatch):
  prepared = []
  monkeypatch.setattr(
    module, "prepare_visuals", lambda config, dataset, **options: prepared.append((config.size, options)) or config
  )
  of_file = {"dataset": str(data_file), "data.repeats": "drop"}
  settings = {**of_file, "model": "vncf", "images.source": str(archive), **SMALL}
  cells = expand(
    [
      {**settings, "defense": "none,gdmpd", "seed": "0-1"}, {**settings, "images.size": "16"},
      of_file,
    ], {}
  )
  datasets = {(cell.config.dataset, cell.config.data): small for cell in cells}
  found = load_visuals(cells, datasets, None)
  assert sorted((size, options["need_denoiser"]) for size, options in prepared) == [(8, True), (16, False)]
  assert {visuals_key(cell) in found for cell in cells} == {True, False} and len(found) == 2


def test_the_extractor_is_standardized_and_the_same_seed_gives_the_same_bits(archive, small):
  one, two = (prepare_visuals(config(archive), small, data_dir=None, need_denoiser=False) for _ in range(2))
  features = one.features[one.images.has_image]
  np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-4)
  np.testing.assert_array_equal(one.features, two.features)
  assert one.denoiser is None and not one.images.has_image[3]
  other = prepare_visuals(config(archive, seed=1), small, data_dir=None, need_denoiser=False)
  assert np.abs(other.features - one.features).max() > 1e-3


def test_a_diffusion_model_is_read_from_a_checkpoint(archive, small, tmp_path):
  from fedrecjax.vision import UNetConfig, init_ddpm
  from fedrecjax.vision.ddpm_checkpoint import save_ddpm

  structure = UNetConfig(width=32, channel_mult=(1,), attention_levels=())
  state = init_ddpm(structure, jax.random.key(0))
  save_ddpm(tmp_path / "model", state, structure)
  read = prepare_visuals(
    config(archive, diffusion=str(tmp_path / "model")), small, data_dir=None, need_denoiser=True
  )
  parameters, labels = read.denoiser.args
  assert labels is None
  chex.assert_trees_all_equal(parameters, state.average)


def test_trained_networks_are_kept_for_the_next_call(archive, small, tmp_path):
  said = []

  def prepared(**fields):
    return prepare_visuals(
      config(archive, **fields), small, data_dir=None, need_denoiser=True, say=said.append, networks=tmp_path
    )

  first, second = prepared(), prepared()
  assert [line.partition(" ")[0] for line in said] == ["training", "training", "the", "the"]
  kept = sorted(path.name for path in tmp_path.iterdir())
  assert len(kept) == 2 and all(any(name in line for line in said[2:]) for name in kept)
  chex.assert_trees_all_equal(first.denoiser, second.denoiser)
  np.testing.assert_array_equal(first.features, second.features)
  by_path = prepared(diffusion=str(tmp_path / kept[0] / "model"))
  chex.assert_trees_all_equal(first.denoiser, by_path.denoiser)
  prepared(seed=1)
  assert len(list(tmp_path.iterdir())) == 4 and said[-2:] == [
    "training the extractor on 59 images, 2 steps", "training the diffusion model on 59 images, 1 steps"
  ]


def test_a_damaged_kept_network_is_named(archive, small, tmp_path):
  def prepared():
    return prepare_visuals(config(archive), small, data_dir=None, need_denoiser=False, networks=tmp_path)

  prepared()
  [file] = tmp_path.iterdir()
  file.write_bytes(b"no archive")
  with pytest.raises(DataError, match=file.name):
    prepared()


@pytest.mark.parametrize(
  ("fields", "error", "message"),
  [
    ({"diffusion": "some.pt"}, ConfigError, "images.size must be 256 for the published diffusion model, got 8"),
    ({"diffusion": "nowhere"}, DataError, "nowhere: no such folder"),
    ({"extractor": "vgg16", "extractor_weights": "nowhere.pth"}, DataError, "nowhere.pth"),
    ({"extractor_weights": "nowhere.npz"}, DataError, "nowhere.npz"),
  ],
)
def test_networks_that_cannot_be_had(archive, small, fields, error, message):
  with pytest.raises(error, match=message):
    prepare_visuals(config(archive, **fields), small, data_dir=None, need_denoiser=True)


def test_a_picture_of_many_configurations_says_how_many_are_missing(tmp_path, archive, data_file):
  of_file = {"dataset": str(data_file), "data.repeats": "drop", "model": "vncf", "images.source": str(archive), **SMALL}
  seeds = ",".join(str(bound) for bound in range(1, uploaded.MOST_ROWS + 4))
  cells = expand([{**of_file, "attack": "psmu_v", "psmu_v.bound": seeds, "seed": "0-1"}], {})
  pixels = np.zeros((2, 8, 8, 3), np.uint8)
  for cell in cells:
    folder = cell_dir(tmp_path, cell)
    folder.mkdir(parents=True)
    np.savez(folder / uploaded.FILE, item=np.array([4, 9]), original=pixels, uploaded=pixels + 3, kept=pixels + 1)
  assert uploaded.draw_images(cells, tmp_path, tmp_path / "all.png") == 3
  two, one = ([cell for cell in cells if cell.flat["psmu_v.bound"] <= bound] for bound in (2, 1))
  assert uploaded.draw_images(two, tmp_path, tmp_path / "two.png") == 0
  assert image_size(tmp_path / "all.png")[1] > 6 * image_size(tmp_path / "two.png")[1]
  (cell_dir(tmp_path, one[0]) / uploaded.FILE).unlink()
  assert uploaded.draw_images(one, tmp_path, tmp_path / "none.png") is None
  assert not (tmp_path / "none.png").exists()


def test_images_of_different_sizes_are_not_drawn(tmp_path, archive, data_file):
  of_file = {"dataset": str(data_file), "data.repeats": "drop", "model": "vncf", "images.source": str(archive)}
  cells = expand([{**of_file, "attack": "psmu_v", "images.size": "8,16"}], {})
  for size, cell in zip((8, 16), cells, strict=True):
    folder = cell_dir(tmp_path, cell)
    folder.mkdir(parents=True)
    pixels = np.zeros((1, size, size, 3), np.uint8)
    np.savez(folder / uploaded.FILE, item=np.array([4]), original=pixels, uploaded=pixels, kept=pixels)
  with pytest.raises(PlotError, match="different sizes"):
    uploaded.draw_images(cells, tmp_path, tmp_path / "both.png")
