"""Who listens to evaluation points: is told each once, changes nothing, and may end the run."""

import numpy as np
import pytest

import fedrecjax as frj


@pytest.fixture(scope="module")
def run():
  """A run of five epochs, evaluated after each."""
  random = np.random.default_rng(1)
  rows = np.array([(user, item) for user in range(8) for item in random.choice(20, 5, replace=False)]).T
  data = frj.datasets.split(frj.Interactions("some", *rows, None, 8, 20, None))

  def simulated(**options):
    return frj.simulate(
      data, model=frj.mf(dim=4), attack=frj.explicit_boosting(), attacker=frj.AttackerConfig(malicious_ratio=0.2),
      train=frj.TrainConfig(epochs=5, clients_per_round=4), evaluation=frj.EvalConfig(ks=(3,), every=1), **options,
    )

  return simulated


def without_times(columns):
  return {name: column for name, column in columns.items() if name != "wall_s"}


def test_each_point_is_told_as_the_result_has_it_and_nothing_changes(run):
  told = []
  watched, alone = run(on_evaluation=told.append), run()
  np.testing.assert_equal(without_times(watched.metrics), without_times(alone.metrics))
  np.testing.assert_equal(watched.per_user, alone.per_user)
  assert [point["epoch"] for point in told] == [1, 2, 3, 4, 5]
  for name, column in watched.metrics.items():
    np.testing.assert_equal([point[name] for point in told], column)
    assert all(type(point[name]) in (int, float) for point in told)
  assert set(told[0]) == set(watched.metrics)


def test_what_it_is_given_is_its_own(run):
  np.testing.assert_equal(without_times(run(on_evaluation=dict.clear).metrics), without_times(run().metrics))


def test_what_it_raises_ends_the_run_unchanged(run):
  class Pruned(Exception):
    pass

  told, pruned = [], Pruned("not worth it")

  def listen(point):
    told.append(point["epoch"])
    if point["epoch"] == 3:
      raise pruned

  with pytest.raises(Pruned) as caught:
    run(on_evaluation=listen)
  assert caught.value is pruned and told == [1, 2, 3]


def test_points_of_a_checkpoint_are_not_told_again(run, tmp_path):
  told = []

  def stop(point):
    told.append(point["epoch"])
    if len(told) == 4:
      raise KeyboardInterrupt

  kept = {"checkpoint_dir": tmp_path, "checkpoint_every": 2}
  with pytest.raises(KeyboardInterrupt):
    run(on_evaluation=stop, **kept)
  # The fourth point was told before its checkpoint was written, and is told again.
  resumed = run(on_evaluation=stop, **kept)
  assert told == [1, 2, 3, 4, 3, 4, 5]
  np.testing.assert_equal(without_times(resumed.metrics), without_times(run().metrics))
  run(on_evaluation=stop, **kept)
  assert len(told) == 7
