"""Oracle of the federated training, against arithmetic by hand.

Scores are chosen as +-ln 3, where sigmoid(ln 3) = 3/4 and sigmoid(-ln 3) = 1/4, so that all slopes
are quarters and all losses are multiples of ln 2 and ln(4/3).
"""

import math

import numpy as np
import pytest

from tests.oracles import aggregation, training
from tests.oracles_check.numerical import central_difference

LOG3 = math.log(3.0)
LOSS_AT_3_4 = math.log(4.0 / 3.0)
USER = np.array([1.0, 0.0])
# Scores with USER: ln 3, 0, -ln 3.
TABLE = np.array([[LOG3, 2.0], [0.0, 1.0], [-LOG3, 0.0]])


def client(positives, negatives, loss, reduction="sum", duplicates="sum"):
  return training.client_gradients(
    USER,
    TABLE,
    positives,
    np.array(negatives),
    loss=loss,
    reduction=reduction,
    duplicates=duplicates,
  )


def total(client_rows):
  return aggregation.sum_(np.array([row for _, row in client_rows]))


def test_bce_of_one_pair():
  # Positive: -log(3/4) = ln(4/3), slope 3/4 - 1 = -1/4.
  # Negative: -log(1 - 1/4) = ln(4/3), slope 1/4.
  # User gradient: -1/4 (ln 3, 2) + 1/4 (-ln 3, 0) = (-ln 3 / 2, -1/2).
  loss, user_gradient, rows = client([0], [[2]], "bce")
  assert loss == pytest.approx(2 * LOSS_AT_3_4)
  np.testing.assert_allclose(user_gradient, [-LOG3 / 2, -0.5])
  assert set(rows) == {0, 2}
  np.testing.assert_allclose(rows[0], [-0.25, 0.0])
  np.testing.assert_allclose(rows[2], [0.25, 0.0])


def test_bpr_of_one_pair():
  # Difference ln 3: loss ln(4/3), slope -1/4.
  # User gradient: -1/4 ((ln 3, 2) - (0, 1)) = (-ln 3 / 4, -1/4).
  loss, user_gradient, rows = client([0], [[1]], "bpr")
  assert loss == pytest.approx(LOSS_AT_3_4)
  np.testing.assert_allclose(user_gradient, [-LOG3 / 4, -0.25])
  np.testing.assert_allclose(rows[0], [-0.25, 0.0])
  np.testing.assert_allclose(rows[1], [0.25, 0.0])


def test_bpr_with_two_negatives_per_positive():
  # Differences ln 3 and 2 ln 3 = ln 9: slopes 3/4 - 1 = -1/4 and 9/10 - 1 = -1/10, losses ln(4/3)
  # and ln(10/9). The positive collects -1/4 - 1/10 = -7/20.
  loss, _, rows = client([0], [[1, 2]], "bpr")
  assert loss == pytest.approx(LOSS_AT_3_4 + math.log(10.0 / 9.0))
  assert rows[0][0] == pytest.approx(-0.35)
  assert rows[1][0] == pytest.approx(0.25)
  assert rows[2][0] == pytest.approx(0.1)


@pytest.mark.parametrize(("loss", "terms"), [("bce", 3), ("bpr", 2)])
def test_mean_divides_by_the_number_of_terms(loss, terms):
  # One positive with two negatives: three logarithms in BCE, two in BPR.
  sum_loss, sum_user, sum_rows = client([0], [[1, 2]], loss)
  mean_loss, mean_user, mean_rows = client([0], [[1, 2]], loss, reduction="mean")
  assert mean_loss == pytest.approx(sum_loss / terms)
  np.testing.assert_allclose(mean_user, sum_user / terms)
  for item, row in sum_rows.items():
    np.testing.assert_allclose(mean_rows[item], row / terms)


@pytest.mark.parametrize(
  ("duplicates", "positive_row", "negative_row"), [("sum", -0.5, 1.0), ("first", -0.25, 0.5)]
)
def test_bce_with_a_repeated_positive_and_negative(duplicates, positive_row, negative_row):
  # Twice: positive slope -1/4, negative slope 1/2 (score 0, loss ln 2). Both copies count in the
  # loss and in the user gradient: 2 (-1/4 (ln 3, 2) + 1/2 (0, 1)) = (-ln 3 / 2, 0).
  loss, user_gradient, rows = client([0, 0], [[1], [1]], "bce", duplicates=duplicates)
  assert loss == pytest.approx(2 * (LOSS_AT_3_4 + math.log(2.0)))
  np.testing.assert_allclose(user_gradient, [-LOG3 / 2, 0.0], atol=1e-15)
  np.testing.assert_allclose(rows[0], [positive_row, 0.0])
  np.testing.assert_allclose(rows[1], [negative_row, 0.0])


@pytest.mark.parametrize(("duplicates", "expected"), [("sum", 1.0), ("first", 0.25)])
def test_bpr_with_a_repeated_negative(duplicates, expected):
  # Pair (0, 1): difference ln 3, slope -1/4; pair (2, 1): difference -ln 3, slope -3/4.
  # The negative's copies are 1/4 and 3/4, in this order.
  _, _, rows = client([0, 2], [[1], [1]], "bpr", duplicates=duplicates)
  assert rows[1][0] == pytest.approx(expected)


def test_an_item_that_is_negative_first_and_positive_later():
  # List order: positive 0, negative 1, positive 1, negative 2. The first copy of item 1 is the
  # negative one, slope 1/2; the second the positive one, slope -1/2.
  _, _, rows = client([0, 1], [[1], [2]], "bce", duplicates="first")
  assert rows[1][0] == pytest.approx(0.5)
  _, _, rows = client([0, 1], [[1], [2]], "bce", duplicates="sum")
  assert rows[1][0] == pytest.approx(0.0)


@pytest.mark.parametrize("loss", ["bce", "bpr"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_client_without_positives(loss, reduction):
  value, user_gradient, rows = training.client_gradients(
    USER, TABLE, [], np.zeros((0, 1), int), loss=loss, reduction=reduction, duplicates="sum"
  )
  assert value == 0.0
  np.testing.assert_array_equal(user_gradient, [0.0, 0.0])
  assert rows == {}


@pytest.mark.parametrize("loss", ["bce", "bpr"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_gradients_are_the_slopes_of_the_loss(loss, reduction):
  generator = np.random.default_rng(3)
  user = generator.normal(size=3)
  table = generator.normal(size=(6, 3))
  positives = [0, 4, 0]
  negatives = np.array([[1, 2], [2, 2], [5, 1]])

  def evaluate(some_user, some_table):
    return training.client_gradients(
      some_user,
      some_table,
      positives,
      negatives,
      loss=loss,
      reduction=reduction,
      duplicates="sum",
    )

  _, user_gradient, rows = evaluate(user, table)
  numerical_user = central_difference(lambda point: evaluate(point, table)[0], user)
  np.testing.assert_allclose(user_gradient, numerical_user, atol=1e-8)
  numerical_table = central_difference(lambda point: evaluate(user, point)[0], table)
  for item in range(6):
    np.testing.assert_allclose(rows.get(item, np.zeros(3)), numerical_table[item], atol=1e-8)


def test_clip_row():
  np.testing.assert_allclose(training.clip_row(np.array([3.0, 4.0]), 1.0), [0.6, 0.8])
  np.testing.assert_array_equal(training.clip_row(np.array([0.3, 0.4]), 1.0), [0.3, 0.4])


def run_round(users, table, clients, positives, negatives, **changes):
  options = {
    "loss": "bce",
    "reduction": "sum",
    "duplicates": "sum",
    "client_learning_rate": 1.0,
    "server_learning_rate": 1.0,
    "aggregate": total,
    "extra_uploads": [],
    "row_clip": None,
  }
  return training.federated_round(
    np.array(users), np.array(table), clients, positives, negatives, **(options | changes)
  )


# Users 1, 7 and 2 in one dimension; item 0 is the positive and item 1 the negative of everybody.
# At the zero vectors of both items all slopes are -1/2 and 1/2.
USERS = [[1.0], [7.0], [2.0]]
ITEMS = [[0.0], [0.0], [5.0]]
POSITIVES = [[0], [0], [0]]
NEGATIVES = [np.array([[1]])] * 3


@pytest.mark.parametrize(
  ("row_clip", "first", "second"),
  [
    # Item 0: -(-1/2 * 1 - 1/2 * 2 - 2) = 3.5; item 1: -(1/2 + 1) = -1.5.
    (None, 3.5, -1.5),
    # Bound 3/4: item 0: 0.5 + 0.75 + 0.75 = 2, item 1: -(0.5 + 0.75) = -1.25.
    (0.75, 2.0, -1.25),
  ],
)
def test_round_with_two_clients_and_one_extra_upload(row_clip, first, second):
  users, table, loss = run_round(
    USERS,
    ITEMS,
    [0, 2],
    POSITIVES,
    NEGATIVES,
    extra_uploads=[(9, 0, np.array([-2.0]))],
    row_clip=row_clip,
  )
  # The items are zero, so the users do not move; client 1 and item 2 take no part.
  np.testing.assert_array_equal(users, USERS)
  np.testing.assert_allclose(table, [[first], [second], [5.0]])
  assert loss == pytest.approx(2 * math.log(2.0))


def test_round_uses_the_old_values_on_both_sides():
  # User 1, items ln 3 and -ln 3: user gradient -1/4 ln 3 - 1/4 ln 3 = -ln 3 / 2; rows -1/4 and 1/4
  # times the old user 1. Client rate 2, server rate 4.
  users, table, loss = run_round(
    [[1.0]],
    [[LOG3], [-LOG3]],
    [0],
    [[0]],
    [np.array([[1]])],
    client_learning_rate=2.0,
    server_learning_rate=4.0,
  )
  np.testing.assert_allclose(users, [[1.0 + LOG3]])
  np.testing.assert_allclose(table, [[LOG3 + 1.0], [-LOG3 - 1.0]])
  assert loss == pytest.approx(2 * LOSS_AT_3_4)


def test_round_aggregates_over_the_clients_that_uploaded():
  # Client 0 uploads -1/2 for item 0; client 2, whose only positive is item 2, does not. The mean is
  # over one row, not over the two clients of the round.
  _, table, _ = run_round(
    USERS,
    ITEMS,
    [0, 2],
    [[0], [0], [2]],
    NEGATIVES,
    aggregate=lambda client_rows: aggregation.mean(np.array([row for _, row in client_rows])),
  )
  assert table[0, 0] == pytest.approx(0.5)
  # Item 1: mean of 1/2 and 1.
  assert table[1, 0] == pytest.approx(-0.75)


def test_round_passes_the_clients_to_the_aggregate():
  seen = {}

  def record(client_rows):
    seen[len(seen)] = [client_id for client_id, _ in client_rows]
    return np.zeros(1)

  run_round(
    USERS,
    ITEMS,
    [2, 0],
    POSITIVES,
    NEGATIVES,
    aggregate=record,
    extra_uploads=[(9, 0, np.array([1.0]))],
  )
  assert seen == {0: [2, 0, 9], 1: [2, 0]}


def test_round_without_clients():
  users, table, loss = run_round(USERS, ITEMS, [], POSITIVES, NEGATIVES)
  np.testing.assert_array_equal(users, USERS)
  np.testing.assert_array_equal(table, ITEMS)
  assert loss == 0.0


def test_mean_loss_counts_a_client_without_positives_as_zero():
  negatives = [np.array([[1]]), np.zeros((0, 1), int), np.array([[1]])]
  _, _, loss = run_round(USERS, ITEMS, [0, 1], [[0], [], [0]], negatives)
  assert loss == pytest.approx(math.log(2.0))


@pytest.mark.parametrize(("duplicates", "of_item_0"), [("sum", -0.25 + 5.0), ("first", -0.125 + 1)])
def test_round_with_an_extra_term(duplicates, of_item_0):
  # Client 0 holds 0, 1, 0, 2; all items are zero, so that each copy's gradient is -+1/2 over four
  # terms. The term's own gradients 1, 2, 4, 8 are not divided.
  seen = []

  def term(*arguments):
    seen.append(arguments)
    return 10.0, np.array([0.5]), [np.array([2.0**power]) for power in range(4)]

  users, table, loss = run_round(
    USERS,
    [[0.0], [0.0], [0.0]],
    [0],
    [[0, 0]],
    [np.array([[1], [2]])],
    reduction="mean",
    duplicates=duplicates,
    term=term,
  )
  assert seen[0][0] == 0 and seen[0][1] == 1.0 and seen[0][3] == [0, 1, 0, 2]
  np.testing.assert_allclose(users, [[0.5], [7.0], [2.0]])
  np.testing.assert_allclose(table, [[-of_item_0], [-2.125], [-8.125]])
  assert loss == pytest.approx(math.log(2.0) + 10.0)
