"""What was asked for and never happened is said, in a column and in a line."""

import dataclasses

import jax.numpy as jnp
import pytest

from fedrecjax import AttackerConfig, ConfigError, EvalConfig, TrainConfig, attacks, defenses, models, simulate
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.types import ClientUpdates, Defense, ItemRows, Update
from fedrecjax.uploads.rows import merge_rows
from tests.support.views import updated

TRAIN = TrainConfig(epochs=2, clients_per_round=6)
SOMEBODY = AttackerConfig(malicious_ratio=0.25, num_targets=2)


def run(small, *, attack=None, defense=None, attacker=SOMEBODY, train=TRAIN):
  return simulate(
    small, model=models.mf(dim=4), attack=attack, defense=defense, attacker=attacker, train=train,
    evaluation=EvalConfig(ks=(3,)),
  )


def test_an_ordinary_run_has_nothing_to_say(small):
  result = run(small, attack=attacks.explicit_boosting(), defense=defenses.norm_bound(max_norm=1e-4))
  assert result.warnings == () and "rule_idle" not in result.metrics


@pytest.mark.parametrize("ratio", [0.01, 0.05])
def test_a_share_that_is_no_client_is_an_error(small, ratio):
  with pytest.raises(ConfigError, match=f"malicious_ratio={ratio} of the 12 users of small .* a_ra; 0 asks for none"):
    run(small, attack=attacks.a_ra(), attacker=AttackerConfig(malicious_ratio=ratio))


def test_without_an_attack_the_share_does_not_matter(small):
  assert run(small, attacker=AttackerConfig(malicious_ratio=0.01)).warnings == ()


def test_an_attack_without_attackers_that_was_asked_for_is_said(small):
  result = run(small, attack=attacks.label_flip(), attacker=AttackerConfig(malicious_ratio=0.0))
  assert result.warnings == ("label_flip was never made: attacker.malicious_ratio=0",)


def test_an_attack_that_starts_after_the_end_is_said(small):
  result = run(small, attack=attacks.a_ra(), attacker=dataclasses.replace(SOMEBODY, start_epoch=2))
  assert result.warnings == ("a_ra was never made: no malicious client took part from epoch 2 on",)
  assert result.metrics["malicious_clients"].sum() == 0


def test_a_filter_that_changes_nothing_is_said_of_each_part(small):
  loose, tight = defenses.norm_bound(max_norm=1e6), defenses.norm_bound(max_norm=1e-4)
  result = run(small, attack=attacks.a_ra(), defense=defenses.chain(loose, tight))
  assert result.warnings == ("norm_bound rejected and changed nothing in any round",)
  assert result.detection["norm_bound.row_benign_flagged"].sum() == 0
  assert result.detection["norm_bound.2.row_benign_flagged"].sum() > 0


def test_a_filter_and_a_rule_of_one_defense_have_names_of_their_own(small):
  result = run(small, attack=attacks.a_ra(), defense=defenses.hics(row_norm=1e6))
  assert result.warnings == ("hics rejected and changed nothing in any round",)
  keep = Defense(
    filter=lambda state, uploads, view: (uploads, state),
    aggregate=lambda state, uploads, view: (Update(ItemRows(uploads.item, uploads.row), kept=uploads.item < 30), state),
    unique_rows=True,
  )
  names = [name for name in run(small, attack=attacks.a_ra(), defense=keep).detection if name.endswith("client_recall")]
  assert len(names) == 2


def alone():
  """A federation in which no item has more than two interactions, with items enough for negatives of their own."""
  return Dataset("pairs", 4, 999, ItemLists.from_lists([[0, 1], [0, 2], [3, 4], [5, 6]]),
                 ItemLists.from_lists([[7], [8], [9], [10]]))


@pytest.mark.parametrize(
  ("rule", "name"),
  [
    (defenses.median(), "median"),
    (defenses.trimmed_mean(), "trimmed_mean"),
    (defenses.krum(), "krum"),
    (defenses.multi_krum(f=2.0, f_rule="number"), "multi_krum"),
    (defenses.bulyan(scope="client", f=2.0, f_rule="number"), "bulyan"),
    (defenses.chain(defenses.norm_bound(max_norm=1e-6), defenses.median()), "median"),
  ],
  ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_rule_without_rows_enough_anywhere_is_said(rule, name):
  result = simulate(
    alone(), model=models.mf(dim=4), defense=rule, train=TrainConfig(epochs=2, clients_per_round=4, negatives="once"),
    evaluation=EvalConfig(ks=(3,)),
  )
  assert result.warnings == (
    f"{name} was never in force: wherever anything was uploaded there were too few rows for it",
  )
  assert result.metrics["rule_idle"].tolist() == [1, 1]


@pytest.mark.parametrize(
  ("rule", "expected"),
  [
    (defenses.median(), [2, 4]),
    (defenses.median(dense_zeros=True), [0, 1]),
    (defenses.trimmed_mean(f=0.34), [2, 4]),
    (defenses.trimmed_mean(f=0.45, reading="around_median"), [2, 4]),
    (defenses.trimmed_mean(f=2.0, f_rule="number", scope="client"), [1, 1]),
    (defenses.krum(f=1.0, f_rule="number"), [2, 4]),
    (defenses.krum(f=9.0, f_rule="number"), [4, 4]),
    (defenses.krum(f=9.0, f_rule="number", too_few="select"), [2, 4]),
    (defenses.krum(f=1.0, f_rule="number", scope="client"), [0, 1]),
    (defenses.multi_krum(f=1.0, f_rule="number", reading="drop"), [2, 4]),
    (defenses.multi_krum(f=0.0), [4, 4]),
    (defenses.bulyan(f=1.0, f_rule="number"), [4, 4]),
  ],
)
def test_items_at_which_a_rule_is_a_mean_by_hand(rule, expected):
  """Four clients; of five items the first has one row, the next two, three and four, the last none."""
  pairs = [(client, item) for item in range(4) for client in range(item + 1)]
  client, item = (jnp.array(column, jnp.int32) for column in zip(*pairs, strict=True))
  uploads = merge_rows(ClientUpdates(client, item, jnp.ones((len(pairs), 2))), 5)
  assert updated(rule.aggregate, uploads, jnp.ones(4, bool), num_items=5).idle.tolist() == expected
