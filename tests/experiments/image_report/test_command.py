import dataclasses
import sys

import jax
import numpy as np
import polars as pl
import pytest
from PIL import Image

from experiments.command_line import HelpAsked
from experiments.image_report import analysis, command, plot
from experiments.image_report.attack import target_exposure
from experiments.image_report.detection import detection_rows, purified, split_normal, with_images
from experiments.image_report.flags import bound_of, parse_command_line
from experiments.image_report.quality import quality_rows, read_regression
from experiments.image_report.speed import Speed
from experiments.results.plots import PlotError
from fedrecjax import EvalConfig, lightgcn, mf
from fedrecjax.datasets import DataError
from fedrecjax.datasets.covers import covers
from fedrecjax.datasets.image_set import placed
from fedrecjax.methods.hyperparameters import as_arguments
from fedrecjax.simulation.evaluation import evaluation_data, jitted_evaluation, metric_names
from fedrecjax.types import Public
from fedrecjax.vision import brisque_features, brisque_score, sharpness
from fedrecjax.vision.extractors import FeatureExtractor
from fedrecjax.vision.visuals import Visuals
from tests.vision.test_quality import LIBSVM_MODEL, LIBSVM_RANGE, OPENCV_MODEL, OPENCV_RANGE

TARGETS, BOUNDS, SIDE = 6, (4.0, 16.0), 16
BOTH = ["gdmpd_unguided", "gdmpd"]


@pytest.fixture(scope="module")
def flags(data_file, tmp_path_factory):
  """Flags of a run of seconds: the small file of 60 items, 57 of them with a cover."""
  archive = tmp_path_factory.mktemp("images") / "covers.npz"
  pixels = covers(np.random.default_rng(5).normal(size=(60, 3)), size=SIDE).pixels
  np.savez(archive, image=pixels[3:], item=np.arange(3, 60))
  return [
    f"--dataset={data_file}", "--data.repeats=drop", f"--images.source={archive}", f"--images.size={SIDE}",
    "--images.extractor_steps=2", "--images.diffusion_steps=3", "--images.diffusion_batch=2",
    "--images.diffusion_levels=1", "--respacing=10", "--epochs=3", "--attacker.start_epoch=1",
    f"--num_targets={TARGETS}", "--malicious_ratio=0.1", "--bounds=4,16", "--vncf.dim=4", "--vncf.hidden=4",
    "--psmu_pp.num_items=5", "--psmu_pp.inner_steps=2", "--psmu_pp.steps=5", "--train.clients_per_round=8",
    "--repeats=1", "--num_pictures=2",
  ]


@pytest.fixture(scope="module")
def finished(flags, tmp_path_factory):
  """A finished report and its folder."""
  folder = tmp_path_factory.mktemp("report")
  reports = []

  with pytest.MonkeyPatch.context() as patched:
    def kept(*arguments):
      reports.append(analysis.analyse(*arguments))
      return reports[-1]

    patched.setattr(command, "analyse", kept)
    assert command.main(["image_report", *flags, f"--out_dir={folder}"]) == 0
  return reports[0], folder


def test_every_run_is_one_row_and_every_target_another(finished):
  report, folder = finished
  runs, targets = pl.read_csv(folder / "runs.csv"), pl.read_csv(folder / "targets.csv")
  assert runs["bound"].to_list() == list(BOUNDS) and runs["num_targets"].to_list() == [TARGETS] * 2
  assert targets.height == TARGETS * 2 and targets["item"].unique().sort().to_list() == sorted(report.targets)
  assert min(report.targets) >= 3  # the others have no image
  for one, bound in zip(report.attacked, BOUNDS, strict=True):
    own = targets.filter(pl.col("bound") == bound)
    change = np.abs(one.pixels.astype(int) - report.original)
    np.testing.assert_allclose(own["mean_change"], change.mean(axis=(1, 2, 3)), rtol=1e-5)
    assert own["largest_change"].to_list() == change.max(axis=(1, 2, 3)).tolist()
    assert bound / 2 < change.max() <= bound
    reached = (own["er@5_alone"] >= 0.5).to_list()
    assert own["reached"].to_list() == reached and runs.filter(pl.col("bound") == bound)["reached"][0] == sum(reached)
  for name in ("gdmpd", "gdmpd_unguided"):
    limits = pl.read_csv(folder / "detection.csv").filter(threshold="minimum", defense=name)["rho"][0]
    assert targets[f"flagged_{name}"].to_list() == (targets[f"similarity_{name}"] < limits).to_list()


def test_thresholds_come_from_one_half_and_rates_from_the_other(finished):
  report, folder = finished
  table = pl.read_csv(folder / "detection.csv")
  assert table.select("bound", "defense", "threshold").rows() == [
    (bound, name, rule) for bound in BOUNDS for name in BOTH for rule in ("minimum", "quantile", "normal")
  ]
  normal = 57 - TARGETS
  assert table["num_calibration"].unique().to_list() == [round(normal / 2)]
  assert (table["num_calibration"] + table["num_judged"] == normal).all()
  for row in table.rows(named=True):
    similar = report.normal[row["defense"]]
    adversarial = report.purified[BOUNDS.index(row["bound"])][row["defense"]].similarity
    judged = similar[row["num_calibration"] :]
    assert row["fpr"] == pytest.approx(np.mean(judged < row["rho"]))
    assert row["tpr"] == pytest.approx(np.mean(adversarial < row["rho"]))
    assert row["tpr_no_false_alarm"] == pytest.approx(np.mean(adversarial < similar.min()))
    assert row["auroc"] == pytest.approx(np.mean(
      (adversarial[:, None] < similar) + 0.5 * (adversarial[:, None] == similar)
    ))


def test_quality_is_over_all_clean_images(finished):
  _, folder = finished
  table = pl.read_csv(folder / "quality.csv")
  assert table["images"].unique(maintain_order=True).to_list() == ["original", *BOTH]
  blur = table.filter(measure="sharpness")
  assert blur["num_images"].to_list() == [57] * 3 and (blur["sd"] > 0).all()
  relative = table.filter(measure="brisque_features")["sd"].to_list()
  assert relative[0] == 1 and relative[1] != 1
  assert table.filter(pl.col("measure").str.starts_with("brisque_")).height == 3 * 37


def test_speed_and_tables_and_pictures_are_written(finished):
  _, folder = finished
  speed = pl.read_csv(folder / "speed.csv")
  assert speed["defense"].to_list() == BOTH and (speed["images_per_s"] > 0).all() and (speed["compile_s"] > 0).all()
  text = (folder / "image_report.md").read_text()
  for title in ("Attack: psmu_pp on vncf", "Detection of adversarial", "Spread of image quality", "Speed of purifica"):
    assert f"**{title}" in text
  with Image.open(folder / "densities.png") as picture:
    assert picture.width > 1000
  with Image.open(folder / "pictures.png") as picture:
    # Two targets, each without a change and with two bounds, at six times their size.
    assert picture.height == 14 + 2 * 3 * (4 + 6 * SIDE)


def test_the_picture_shows_what_the_rows_say(finished, tmp_path, monkeypatch):
  report, _ = finished
  drawn = []
  monkeypatch.setattr(plot, "comparison", lambda *images, **named: drawn.append((images, named))
                      or np.zeros((1, 1, 3), np.uint8))
  plot.draw_pictures(report, tmp_path / "pictures.png", num_pictures=1)
  (original, adversarial, shown), named = drawn[0]
  place = int(np.argmax(report.attacked[0].exposure.alone))
  assert named["rows"] == [f"item {report.targets[place]}, eps {bound}" for bound in (0, 4, 16)]
  assert (original == report.original[place]).all() and len(original) == 3
  assert (adversarial[0] == report.original[place]).all()
  assert (adversarial[2] == report.attacked[1].pixels[place]).all()
  assert (shown["gdmpd"][0] == report.purified_original["gdmpd"][place]).all()
  assert (shown["gdmpd_unguided"][1] == report.purified[0]["gdmpd_unguided"].pixels[place]).all()


def test_pictures_that_cannot_be_drawn(finished, tmp_path, monkeypatch, capsys):
  report, _ = finished
  file = tmp_path / "one.png"
  for module, extra, draw in (
    ("matplotlib.figure", "plots", lambda: plot.plot_densities(report, file)),
    ("PIL", "images", lambda: plot.draw_pictures(report, file, num_pictures=1)),
  ):
    monkeypatch.setitem(sys.modules, module, None)
    command._draw(draw)
    printed = capsys.readouterr().err
    assert f"pip install fedrecjax[{extra}]" in printed and printed.count("\n") == 1 and not list(tmp_path.iterdir())
  alike = report.normal | {"gdmpd": np.full(9, 0.5)}
  monkeypatch.undo()
  with pytest.raises(PlotError, match="gdmpd: similarities of normal images must not all be equal"):
    plot.plot_densities(dataclasses.replace(report, normal=alike), file)


def test_rates_by_hand():
  calibration, judged = np.array([0.5, 0.9, 0.8, 0.7]), np.array([0.45, 0.95])
  adversarial, reached = np.array([0.2, 0.48, 0.6, 0.4]), np.array([False, True, True, False])
  minimum, quantile, normal = detection_rows(calibration, judged, adversarial, reached, share=0.25)
  assert (minimum["threshold"], minimum["rho"]) == ("minimum", 0.5)
  assert (minimum["tpr"], minimum["fpr"], minimum["tpr_reached"]) == (0.75, 0.5, 0.5)
  assert minimum["accuracy"] == pytest.approx(4 / 6)
  assert (quantile["rho"], quantile["tpr"], quantile["fpr"], quantile["tpr_reached"]) == (0.7, 1, 0.5, 1)
  assert normal["rho"] == pytest.approx(np.mean(calibration) - 0.6744898 * np.std(calibration, ddof=1))
  for row in (minimum, quantile, normal):
    assert row["tpr_no_false_alarm"] == 0.5  # 0.45 is the least of all normal ones
    assert row["threshold_all_caught"] == 0.6 and row["fpr_all_caught"] == pytest.approx(2 / 6)
    assert row["auroc"] == pytest.approx((6 + 5 + 4 + 6) / 24)
  nobody = detection_rows(calibration, judged, adversarial, np.zeros(4, bool), share=0.25)
  assert [row["tpr_reached"] for row in nobody] == [None] * 3


def test_normal_images_are_split_without_those_of_targets():
  items, targets = np.array([1, 2, 4, 5, 7, 8, 9]), np.array([8, 2])
  first, second = split_normal(items, targets, 0.4, seed=3)
  assert len(first) == 2 and sorted(items[[*first, *second]]) == [1, 4, 5, 7, 9]
  assert not (np.sort(first) == np.sort(split_normal(items, targets, 0.4, seed=4)[0])).all()
  with pytest.raises(ValueError, match=r"--calibration_share must leave two images on either side, got 0\.9 of the 5"):
    split_normal(items, targets, 0.9, seed=3)


def test_similarities_are_those_of_their_items():
  """Images that are one grey each, seen as (1, grey); what is kept is darker by the item's number."""
  grey = np.array([90, 0, 120, 60, 200], np.uint8)
  pixels = np.broadcast_to(grey[:, None, None, None], (5, 8, 8, 3)).copy()
  images = placed(pixels[[0, 2, 3, 4]], np.array([0, 2, 3, 4]), num_items=5, name="greys", origin="")
  extractor = FeatureExtractor({}, _brightness, 2, "brightness")
  visuals = with_images(Visuals(images, extractor), pixels[[4, 2]], np.array([4, 2]))
  found = purified(visuals, jax.tree_util.Partial(_darkened), np.array([4, 2]))
  kept = np.array([200.0 - 4, 120 - 2])
  assert (found.pixels == kept[:, None, None, None]).all()
  before, after = (np.stack([np.full(2, 100.0), one], axis=1) for one in ([200.0, 120.0], kept))
  expected = (before * after).sum(axis=1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
  np.testing.assert_allclose(found.similarity, expected, rtol=1e-6)


def _brightness(parameters, images):
  mean = images.mean(axis=(1, 2, 3))
  return jax.numpy.stack([jax.numpy.full_like(mean, 100.0), mean], axis=1)


def _darkened(images, items, view, key):
  return images - items[:, None, None, None]


def test_exposure_of_each_target(small):
  """Against a ranking of all items in plain NumPy; scores are different, so that no tie is broken."""
  random = np.random.default_rng(1)
  model, targets, length = mf(dim=3), np.array([20, 3, 7], np.int32), 2
  rows, users = random.normal(size=(30, 3)).astype(np.float32), random.normal(size=(12, 3)).astype(np.float32)
  rows[targets] = 2 * rows[targets[:1]] + 0.1 * rows[targets]  # much alike, so that they take each other's places
  data = evaluation_data(small, EvalConfig(), targets, np.arange(12))
  found = target_exposure(model, Public(rows, ()), users, data, length=length, num_users=12)
  for place, target in enumerate(targets):
    together, alone = [], []
    for user in range(12):
      owned = set(small.train.of(user).tolist())
      if target in owned:
        continue
      scores = rows @ users[user]
      free = [item for item in range(30) if item not in owned]
      ranked = sorted(free, key=lambda item: -scores[item])
      together.append(target in ranked[:length])
      alone.append(target in [item for item in ranked if item == target or item not in targets][:length])
    assert found.together[place] == pytest.approx(np.mean(together))
    assert found.alone[place] == pytest.approx(np.mean(alone))
  assert (found.alone >= found.together).all() and (found.alone > found.together).any()


def test_exposures_of_targets_add_up_to_what_the_evaluation_says(small):
  """For a model that makes users of their items."""
  model, targets, config = lightgcn(dim=4, hidden=(4,)), np.array([20, 3, 7, 11], np.int32), EvalConfig(ks=(5,))
  public = model.init_public(jax.random.key(0), 30)
  public = public._replace(items=public.items * 100)
  private = jax.random.normal(jax.random.key(1), (12, 4))
  data = evaluation_data(small, config, targets, np.arange(12), width=model.width)
  _, per_user = jitted_evaluation(
    as_arguments(model), public, private, data, jax.random.key(2), config=config, num_users=12
  )
  exposure = np.asarray(per_user)[:, metric_names(config).index("er@5")]
  free = np.array([[target not in small.train.of(user) for target in targets] for user in range(12)])
  found = target_exposure(model, public, private, data, length=5, num_users=12)
  assert 0 < found.together.mean() < 1
  assert np.sum(found.together * free.sum(axis=0)) == pytest.approx(np.sum(exposure * free.sum(axis=1)), rel=1e-5)


def test_quality_by_the_library_of_measures(tmp_path):
  pixels = np.random.default_rng(2).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)
  dimmed = (pixels // 4).astype(np.uint8)
  dimmed[2] = 50  # flat, so that BRISQUE says nothing of it in either variant
  used = [0, 1, 3, 4]
  rows = quality_rows({"original": pixels, "gdmpd": dimmed}, None)
  table = {(row["images"], row["measure"]): row for row in rows}
  assert table["gdmpd", "sharpness"]["sd"] == pytest.approx(np.std(sharpness(dimmed)))
  assert table["gdmpd", "sharpness"]["num_images"] == 5
  before, after = (brisque_features(images[used]).std(axis=0) for images in (pixels, dimmed))
  assert table["gdmpd", "brisque_features"]["sd"] == pytest.approx(np.mean(after / before))
  assert table["original", "brisque_features"]["num_images"] == 4
  assert table["gdmpd", "brisque_full_variance"]["sd"] == pytest.approx(after[1])
  for model, limits, ending in ((OPENCV_MODEL, OPENCV_RANGE, ".yml"), (LIBSVM_MODEL, LIBSVM_RANGE, "")):
    files = tmp_path / f"model{ending}", tmp_path / f"range{ending}"
    for file, text in zip(files, (model, limits), strict=True):
      file.write_text(text)
    regression = read_regression(*files)
    scored = {(row["images"], row["measure"]): row for row in quality_rows({"original": pixels}, regression)}
    assert list(scored) == [("original", "sharpness"), ("original", "brisque")]
    assert scored["original", "brisque"]["sd"] == pytest.approx(np.std(brisque_score(regression, pixels)))
  with pytest.raises(ValueError, match="cannot read"):
    read_regression(tmp_path / "none.yml", tmp_path / "range.yml")
  with pytest.raises(DataError, match="expected a field"):
    read_regression(tmp_path / "range.yml", tmp_path / "range.yml")


def test_flat_images_have_no_brisque():
  rows = quality_rows({"original": np.full((3, 16, 16, 3), 9, np.uint8)}, None)
  assert [row["measure"] for row in rows if row["num_images"] > 0] == ["sharpness"]
  assert all(row["sd"] is None for row in rows if row["num_images"] == 0)


def test_the_speed_is_that_of_the_median():
  assert Speed(32, 1.0, (4.0, 0.5, 2.0)).images_per_s == 16


def test_defaults_are_the_paper_s():
  options = parse_command_line(["image_report"])
  assert [bound_of(run) for run in options.runs] == [4, 8, 16, 32]
  run = options.run
  assert (run.model.name, run.attack.name, run.defense[0].name) == ("vncf", "psmu_pp", "none")
  assert (run.attacker.targets, run.attacker.num_targets, run.attacker.start_epoch) == ("least_popular", 100, 8)
  assert (run.train.learning_rate, run.train.num_negatives, run.train.server_optimizer) == (0.001, 4, "adam")
  assert [one.hyperparameters.start for one in options.purifiers] == [178, 178]
  given = parse_command_line([
    "image_report", "--model=lightvgcn", "--lightvgcn.dim=8", "--attack=psmu_v", "--psmu_v.steps=7", "--bounds=8,8",
    "--gdmpd.guidance=constant", "--start=50", "--respacing=100", "--seed=3", "--train.learning_rate=0.1",
  ])
  assert len(given.runs) == 1 and bound_of(given.run) == 8 and given.run.seed == 3
  assert given.run.model.hyperparameters.dim == 8 and given.run.attack.hyperparameters.steps == 7
  assert given.run.train.learning_rate == 0.1
  assert given.purifiers[1].hyperparameters.guidance == "constant"
  assert [one.hyperparameters.respacing for one in given.purifiers] == [100, 100]


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--unheard=1"], "unheard"),
    (["word"], "expected flags only, got 'word'"),
    (["--model=mf"], "model"),
    (["--attack=psmu"], "attack"),
    (["--bounds=4,0"], "--bounds must be numbers above 0 and up to 255, got '0'"),
    (["--bounds=much"], "--bounds must be numbers above 0 and up to 255, got 'much'"),
    (["--bounds="], "--bounds must be a comma list, got ''"),
    (["--num_targets=1"], "num_targets"),
    (["--epochs=8"], "--epochs must be above --attacker.start_epoch=8, got 8"),
    (["--attacker.targets=given", "--attacker.target_items=3"], "--attacker.target_items must be at least two items"),
    (["--images.source=none"], "--images.source must not be none"),
    (["--images.source=nowhere"], "images 'nowhere' are unknown"),
    (["--images.size=4"], "--images.size must be at least 8, got 4"),
    (["--images.size=wide"], "--images.size must be"),
    (["--images.extractor=vgg16"], "images.extractor_weights must be set"),
    (["--start=1001"], "gdmpd_unguided.start must be 0 to 1000, got 1001"),
    (["--gdmpd.guidance=none"], "--gdmpd.guidance must be"),
    (["--lightvgcn.dim=8"], "field lightvgcn.dim belongs to no part of this run"),
    (["--psmu_pp.step_share=-1"], "psmu_pp.step_share must not be negative"),
    (["--calibration_share=1"], "--calibration_share must lie between 0 and 1, got 1"),
    (["--share=0"], "--share must lie between 0 and 1, got 0"),
    (["--reached=2"], "reached"),
    (["--repeats=0"], "repeats"),
    (["--brisque_model=one"], "--brisque_model and --brisque_range go together"),
    (["--brisque_model=one", "--brisque_range=two"], "cannot read one: No such file"),
    (["--malicious_ratio=0.001"], "--malicious_ratio=0.001 of the 943 users of synthetic is nobody"),
    (["--dataset=ml-10k"], "data set 'ml-10k' is unknown"),
    (["--dataset=gowalla", "--data_dir=/no/such/folder"], "gowalla is not in /no/such/folder/gowalla"),
    (["--out_dir=/dev/null/out"], "--out_dir: cannot use /dev/null/out"),
  ],
)
def test_bad_input_is_one_line(capsys, tmp_path, arguments, message):
  assert command.main(["image_report", f"--out_dir={tmp_path / 'out'}", *arguments]) == 2
  printed = capsys.readouterr()
  assert printed.out == "" and printed.err.startswith("image_report: ") and printed.err.count("\n") == 1
  assert message in printed.err
  assert not list(tmp_path.glob("out/*"))


def test_help_names_flags_and_fields(capsys):
  assert command.main(["image_report", "--help"]) == 0
  text = capsys.readouterr().out
  for flag in ("dataset", "model", "attack", "bounds", "epochs", "num_targets", "malicious_ratio", "start", "respacing",
               "reached", "brisque_model", "repeats", "images.extractor", "images.diffusion_steps", "gdmpd.reference"):
    assert f"--{flag}:" in text
  assert "--train.epochs:" not in text and "--gdmpd.threshold:" not in text
  with pytest.raises(HelpAsked):
    parse_command_line(["image_report", "-h"])


def test_results_that_cannot_be_written(finished, monkeypatch, tmp_path, flags):
  report, _ = finished

  def full(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(pl.DataFrame, "write_csv", full)
  monkeypatch.setattr(command, "prepare_visuals", lambda *_, **__: None)
  monkeypatch.setattr(command, "analyse", lambda *_: report)
  assert command.main(["image_report", *flags, f"--out_dir={tmp_path}"]) == 1
