"""Recommenders without a federation: what they recommend, and the command."""

import numpy as np
import pytest

from experiments import baselines, command_line
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.metrics.ranking import discounts


@pytest.fixture
def dataset():
  """Two groups of users with items of their own; item 0 is everybody's."""
  train = [[0, *range(1 + group, 21, 2)] for group in (0, 1) for _ in range(15)]
  held_out = [[items.pop(1 + user % 8)] for user, items in enumerate(train)]
  return Dataset("two groups", 30, 21, ItemLists.from_lists(train), ItemLists.from_lists(held_out))


def test_the_most_popular_items_are_ranked_by_popularity(dataset):
  users, items = baselines.most_popular(dataset)
  found = baselines.quality(dataset, users, items, baselines.PROTOCOLS["all items"], seed=0)
  gains, hits = [], []
  for user in range(dataset.num_users):
    scores = dataset.popularity.astype(float)
    scores[dataset.train.of(user)] = -np.inf
    score = scores[dataset.test.of(user)[0]]
    better, equal = (scores > score).sum(), (scores == score).sum()
    first, last = (min(one, 10) for one in (better, better + equal))
    hits.append((last - first) / equal)
    gains.append((discounts(10)[last] - discounts(10)[first]) / equal)
  assert found["hr@10"] == pytest.approx(np.mean(hits), abs=1e-6)
  assert found["ndcg@10"] == pytest.approx(np.mean(gains), abs=1e-6)


def test_the_library_learns_who_likes_what(dataset):
  users, items = baselines.centralized_bpr(dataset, seed=0, dim=8, epochs=200)
  trained = baselines.quality(dataset, users, items, baselines.PROTOCOLS["all items"], seed=0)
  popular = baselines.quality(
    dataset, *baselines.most_popular(dataset), baselines.PROTOCOLS["all items"], seed=0
  )
  # Of the other group's ten items and their own held-out one, only the latter is their kind.
  assert trained["hr@10"] > 0.95
  assert trained["ndcg@10"] > popular["ndcg@10"]


def test_the_command(tmp_path, capsys):
  status = baselines.main(["baselines", "--seeds=1", "--dim=4", "--epochs=2", f"--out_dir={tmp_path}"])
  assert status == command_line.DONE
  assert "centralised BPR-MF" in capsys.readouterr().out
  lines = (tmp_path / "baselines.csv").read_text().splitlines()
  assert lines[0] == "recommender,candidates,seed,hr@10,ndcg@10" and len(lines) == 5


@pytest.mark.parametrize(
  ("flag", "message"),
  [("--dataset=nowhere.csv", "nowhere.csv"), ("--seeds=0", "seeds"), ("--split=odd", "split 'odd'")],
)
def test_bad_input_is_named_in_one_line(flag, message, capsys):
  assert baselines.main(["baselines", flag]) == command_line.BAD_INPUT
  error = capsys.readouterr().err
  assert message in error and error.count("\n") == 1
