"""Training of a small diffusion model: one step by hand, what it draws, its checkpoints, and its pictures."""

import dataclasses
import io
import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from PIL import Image

from fedrecjax.vision import ddpm
from fedrecjax.vision.ddpm import init_ddpm, sample_grid, train_ddpm
from fedrecjax.vision.ddpm_checkpoint import restore_ddpm, save_ddpm
from fedrecjax.vision.diffusion import from_pixels, linear_schedule, training_loss
from fedrecjax.vision.unet import UNet, UNetConfig
from tests.support.refusals import refusal
from tests.support.traces import no_new_trace

CONFIG = UNetConfig(width=32, channel_mult=(1,), num_res_blocks=1, attention_levels=(), dropout=0.1)
SCHEDULE = linear_schedule(50)
BATCH = 4


def images(count=5, size=4):
  """Plain colors, each with a dark corner."""
  random = np.random.default_rng(3)
  pixels = np.broadcast_to(random.integers(60, 256, (count, 1, 1, 3)), (count, size, size, 3)).astype(np.uint8)
  pixels[:, 0, 0] = 10
  return pixels


HAS_IMAGE = np.array([True, False, True, True, True])


@pytest.fixture(scope="module")
def fresh():
  return init_ddpm(CONFIG, jax.random.key(8))


def train(state, pixels=None, has_image=HAS_IMAGE, num_steps=3, **options):
  pixels = images() if pixels is None else pixels
  return train_ddpm(
    state, pixels, has_image, SCHEDULE, config=CONFIG, num_steps=num_steps, batch_size=BATCH, **options
  )


def numbers(state):
  return state._replace(key=jax.random.key_data(state.key))


def assert_same(ours, theirs):
  chex.assert_trees_all_equal(numbers(ours), numbers(theirs))


def test_one_step_by_hand(fresh):
  # Layers that start at zero would hide most gradients.
  random = np.random.default_rng(0)
  params = jax.tree.map(lambda leaf: leaf + jnp.float32(0.05 * random.normal(size=leaf.shape)), fresh.params)
  state = fresh._replace(params=params, average=params, step=jnp.int32(7))
  found, losses = train(state, num_steps=1, learning_rate=0.01, variance_weight=0.02)

  keys = jax.random.split(jax.random.fold_in(state.key, 7), 4)
  drawn = np.flatnonzero(HAS_IMAGE)[np.asarray(jax.random.randint(keys[0], (BATCH,), 0, 4))]
  clean = from_pixels(images()[drawn])
  index, noise = jax.random.randint(keys[1], (BATCH,), 0, 50), jax.random.normal(keys[2], clean.shape)

  @jax.jit
  @jax.value_and_grad
  def loss(params):
    def denoiser(noisy, timesteps):
      return UNet(CONFIG).apply({"params": params}, noisy, timesteps, None, True, rngs={"dropout": keys[3]})

    return jnp.mean(training_loss(denoiser, SCHEDULE, clean, index, noise, variance_weight=0.02).total)

  expected, slope = loss(params)
  np.testing.assert_allclose(losses.total[0], expected, rtol=1e-5)
  assert found.step == 8
  decay = 8 / 17
  leaves = (jax.tree.leaves(tree) for tree in (params, slope, found.params, found.average))
  for before, gradient, after, average in zip(*leaves, strict=True):
    # Adam's first step has the length of the step size wherever the gradient is not tiny.
    large = np.abs(gradient) > 1e-5
    moved = np.asarray(before - 0.01 * np.sign(gradient))
    np.testing.assert_allclose(np.asarray(after)[large], moved[large], atol=1e-4)
    np.testing.assert_allclose(average, decay * before + (1 - decay) * after, atol=1e-6)
  assert np.mean(np.concatenate([np.ravel(np.abs(leaf) > 1e-5) for leaf in jax.tree.leaves(slope)])) > 0.5


def test_average_forgets_the_start_sooner():
  steps = jnp.array([0, 8, 10**6])
  np.testing.assert_allclose(ddpm._average_decay(steps, 0.9999), [0.1, 0.5, 0.9999])


def test_loss_falls(fresh):
  state, losses = fresh, []
  for _ in range(25):
    state, each = train(state, learning_rate=2e-3)
    losses.extend(each.simple.tolist())
  assert losses[0] == pytest.approx(1, abs=0.3)  # a fresh network predicts no noise, whose variance is 1
  assert np.mean(losses[-15:]) < 0.5
  chex.assert_tree_all_finite(numbers(state))


def test_items_without_image_have_no_part(fresh):
  pixels = images()
  pixels[1] = 255 - pixels[1]
  assert_same(train(fresh)[0], train(fresh, pixels)[0])
  changed = images()
  changed[[0, 2, 3, 4]] = 255 - changed[[0, 2, 3, 4]]
  assert np.abs(train(fresh, changed)[1].total - train(fresh)[1].total).max() > 1e-4


def test_numbers_are_traced(fresh):
  train(fresh)
  with no_new_trace(ddpm._step):
    train(fresh, learning_rate=1e-3, average_decay=0.5, variance_weight=0.1)


def test_restored_training_goes_on_bit_for_bit(fresh, tmp_path):
  halfway, _ = train(fresh)
  save_ddpm(tmp_path / "run" / "3", halfway, CONFIG)
  restored = restore_ddpm(tmp_path / "run" / "3", CONFIG)
  assert_same(restored, halfway)
  (through, losses), (resumed, again) = train(halfway), train(restored)
  assert_same(resumed, through)
  np.testing.assert_array_equal(again.total, losses.total)
  assert resumed.step == 6


@pytest.fixture(scope="module")
def saved(fresh, tmp_path_factory):
  folder = tmp_path_factory.mktemp("checkpoints") / "saved"
  save_ddpm(folder, fresh, CONFIG)
  return folder


def refused(folder, config=CONFIG):
  return refusal(folder, lambda: restore_ddpm(folder, config))


def test_damaged_checkpoints(saved, tmp_path):
  files = [path.relative_to(saved) for path in sorted(saved.rglob("*")) if path.is_file()]
  assert len(files) > 3
  for number, name in enumerate(files):
    folder = tmp_path / str(number)
    shutil.copytree(saved, folder)
    damaged = folder / name
    content = damaged.read_bytes()
    about = name.as_posix() == "checkpoint.json"
    damaged.write_bytes(content[: len(content) // 2])
    wrong = "no checkpoint of a diffusion model, or a damaged checkpoint.json"
    assert refused(folder) == (wrong if about else f"damaged, {name} is not what was written")
    damaged.unlink()
    assert refused(folder) == (wrong if about else f"damaged, {name} is missing")
    shutil.rmtree(folder)


def test_foreign_checkpoints(saved, tmp_path):
  assert refused(tmp_path / "absent") == "no such folder"
  wrong = "no checkpoint of a diffusion model, or a damaged checkpoint.json"
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(tmp_path / "other", {"weights": jnp.zeros(3)})
  assert refused(tmp_path / "other") == wrong
  for number, content in enumerate(["[]", '"text"', '{"format": "another", "config": {}, "files": {}}']):
    folder = tmp_path / str(number)
    folder.mkdir()
    (folder / "checkpoint.json").write_text(content)
    assert refused(folder) == wrong
  assert refused(saved, dataclasses.replace(CONFIG, width=64)) == "its network has width 32, 64 is expected"
  deeper = dataclasses.replace(CONFIG, channel_mult=(1, 2))
  assert refused(saved, deeper) == "its network has channel_mult [1], [1, 2] is expected"


def test_checkpoints_are_not_written_over(saved, fresh):
  before = json.loads((saved / "checkpoint.json").read_text())
  with pytest.raises(ValueError, match=r": is there already; a checkpoint is written to a new folder$"):
    save_ddpm(saved, fresh, CONFIG)
  assert json.loads((saved / "checkpoint.json").read_text()) == before


def test_what_an_interrupted_save_left_is_replaced(fresh, tmp_path):
  (tmp_path / "new.partial" / "state").mkdir(parents=True)
  (tmp_path / "new.partial" / "state" / "half").write_text("written")
  save_ddpm(tmp_path / "new", fresh, CONFIG)
  assert [path.name for path in tmp_path.iterdir()] == ["new"]
  assert not (tmp_path / "new" / "state" / "half").exists()


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"pixels": np.zeros((5, 4, 4, 3), np.float32)}, "pixels must be uint8 [M, H, W, 3], got float32 [5, 4, 4, 3]"),
    ({"pixels": np.zeros((5, 4, 4), np.uint8)}, "pixels must be uint8 [M, H, W, 3], got uint8 [5, 4, 4]"),
    ({"has_image": np.ones(4, bool)}, "has_image must be bool [5], got bool [4]"),
    ({"has_image": np.ones(5, np.int32)}, "has_image must be bool [5], got int32 [5]"),
    ({"has_image": np.zeros(5, bool)}, "has_image must hold for at least one item, none of 5 has an image"),
    ({"num_steps": 0}, "num_steps must be positive, got 0"),
    ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
    ({"average_decay": 1.0}, "average_decay must be at least 0 and below 1, got 1.0"),
    ({"variance_weight": -1.0}, "variance_weight must not be negative, got -1.0"),
  ],
  ids=str,
)
def test_bad_arguments(fresh, options, message):
  with pytest.raises(ValueError) as caught:
    train(fresh, **options)
  assert str(caught.value) == message


def test_networks_of_classes_are_not_trained():
  with pytest.raises(ValueError, match=r"^config\.num_classes must be None to train on items, got 3$"):
    init_ddpm(dataclasses.replace(CONFIG, num_classes=3), jax.random.key(0))


def test_grid_of_pictures():
  pixels = images(5)
  grid = np.asarray(Image.open(io.BytesIO(sample_grid(pixels, columns=3))))
  assert grid.shape == (2 * 4 + 2, 3 * 4 + 2 * 2, 3)
  np.testing.assert_array_equal(grid[:4, 6:10], pixels[1])
  np.testing.assert_array_equal(grid[6:, :4], pixels[3])
  assert np.all(grid[4:6] == 255) and np.all(grid[6:, 12:] == 255)
  assert Image.open(io.BytesIO(sample_grid(pixels[:2], columns=8))).size == (10, 4)


@pytest.mark.parametrize(
  ("pixels", "columns", "message"),
  [
    (np.zeros((0, 4, 4, 3), np.uint8), 1, r"images must be uint8 \[B, H, W, 3\], got uint8 \[0, 4, 4, 3\]"),
    (np.zeros((1, 4, 4, 3)), 1, r"images must be uint8 \[B, H, W, 3\], got float64 \[1, 4, 4, 3\]"),
    (np.zeros((1, 4, 4, 3), np.uint8), 0, "columns must be positive, got 0"),
  ],
)
def test_bad_grids(pixels, columns, message):
  with pytest.raises(ValueError, match=f"^{message}$"):
    sample_grid(pixels, columns=columns)
