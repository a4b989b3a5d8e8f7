"""Oracle of clipping on two levels and sparse updates, against arithmetic by hand."""

import numpy as np
import pytest

from tests.oracles import hics

OPEN = {"row_norm": 1e9, "quantile": 1.0, "bound_scale": 1.0, "kept_share": 1.0}


def server(**changes):
  return hics.Server(**(OPEN | changes))


def upload(client, item, *row):
  return client, item, np.array(row)


def update_of(one, *uploads):
  return {item: row.tolist() for item, row in one.round(uploads).items()}


def test_without_bounds_and_selection_it_is_the_sum():
  found = update_of(
    server(), upload(0, 4, 1.0, 2.0), upload(1, 4, 3.0, 0.0), upload(1, 2, 5.0, 5.0)
  )
  assert found == {4: [4.0, 2.0], 2: [5.0, 5.0]}


def test_rows_are_clipped_before_they_are_added_up():
  # (3, 4) has norm 5, scaled to (0.6, 0.8); (0.3, 0.4) is within the bound of 1.
  found = update_of(server(row_norm=1.0), upload(0, 0, 3.0, 4.0), upload(1, 0, 0.3, 0.4))
  assert found[0] == pytest.approx([0.9, 1.2])


def test_sums_are_clipped_to_the_median_of_their_norms():
  # Norms 1, 5 and 10, the zero sum not counted: the median is 5, and (6, 8) becomes (3, 4).
  found = update_of(
    server(quantile=0.5),
    upload(0, 0, 1.0, 0.0),
    upload(0, 1, 3.0, 4.0),
    upload(0, 2, 6.0, 8.0),
    upload(0, 3, 1.0, 1.0),
    upload(1, 3, -1.0, -1.0),
  )
  assert found == {0: [1.0, 0.0], 1: [3.0, 4.0], 2: [3.0, 4.0]}


def test_the_bound_is_a_multiple_of_the_quantile():
  # Norms 2 and 4: the median is 3, twice a third of it is 2.
  found = update_of(server(quantile=0.5, bound_scale=2 / 3), upload(0, 0, 2.0), upload(0, 1, 4.0))
  assert found[0] == pytest.approx([2.0]) and found[1] == pytest.approx([2.0])


def test_quantiles():
  assert hics.quantile([7.0], 0.3) == 7.0
  assert hics.quantile([4.0, 1.0, 2.0], 0.0) == 1.0
  assert hics.quantile([4.0, 1.0, 2.0], 1.0) == 4.0
  # Four gaps: positions 0.25 * 4 = 1 and 0.3 * 4 = 1.2.
  assert hics.quantile([1.0, 2.0, 4.0, 8.0, 16.0], 0.25) == 2.0
  assert hics.quantile([1.0, 2.0, 4.0, 8.0, 16.0], 0.3) == pytest.approx(2.4)


@pytest.mark.parametrize(
  ("waiting", "share", "expected"),
  [(0, 0.5, 0), (1, 0.5, 1), (3, 0.5, 1), (4, 0.5, 2), (100, 0.29, 29), (5, 1.0, 5), (9, 0.1, 1)],
)
def test_number_applied(waiting, share, expected):
  assert hics.number_applied(waiting, share) == expected


def test_what_is_not_applied_waits_and_adds_up():
  one = server(kept_share=0.5)
  # Norms 3 and 2: one of two is applied.
  assert update_of(one, upload(0, 0, 2.0), upload(0, 1, 3.0)) == {1: [3.0]}
  # Item 0 now has 2 + 2, item 1 again 3, item 2 has 1: one of three.
  assert update_of(one, upload(0, 0, 2.0), upload(0, 1, 3.0), upload(0, 2, 1.0)) == {0: [4.0]}
  # Item 0 has left the memory: nothing of it remains.
  assert {item: row.tolist() for item, row in one.memory.items()} == {1: [3.0], 2: [1.0]}


def test_updates_that_cancel_out_wait_for_nothing():
  one = server(kept_share=0.5)
  update_of(one, upload(0, 0, 1.0), upload(0, 1, 5.0))
  assert update_of(one, upload(0, 0, -1.0), upload(0, 1, 0.5)) == {1: [0.5]}


def test_equal_norms_go_by_item():
  found = update_of(server(kept_share=0.5), *(upload(0, item, -1.0) for item in (9, 2, 5, 7)))
  assert sorted(found) == [2, 5]


def test_norms_that_differ_by_rounding_are_equal():
  # 1 / 4096 is one unit of the 13th digit of a number between 1 and 2.
  assert hics.coarse(1.0 + 1 / 10000) == hics.coarse(1.0) == 1.0
  assert hics.coarse(1.0 + 1 / 5000) == 1.0 + 1 / 4096
  assert hics.coarse(3e-7) == pytest.approx(3e-7, rel=2.0**-13)
  rows = {7: 1.0, 3: 1.0 - 1e-7, 5: 1.0 + 1e-7, 9: 1.001}
  found = update_of(server(kept_share=0.5), *(upload(0, item, row) for item, row in rows.items()))
  assert sorted(found) == [3, 9]


def test_rounds_without_uploads():
  one = server(kept_share=0.5)
  assert one.round([]) == {} and one.memory == {}
  update_of(one, upload(0, 0, 1.0), upload(0, 1, 2.0), upload(0, 2, 3.0))
  # Items 0 and 1 wait; the larger is applied although nothing has come.
  assert update_of(one) == {1: [2.0]}
  assert update_of(one) == {0: [1.0]}
  assert update_of(one) == {}
