"""Mistakes in how a sweep shares its cells among processes."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

SWEEP: tuple[Mutant, ...] = (
  Mutant(
    "claims_that_all_may_hold",
    "experiments/sweep/claims.py",
    "fcntl.LOCK_EX | fcntl.LOCK_NB",
    "fcntl.LOCK_SH | fcntl.LOCK_NB",
    "two processes claim one cell",
    ("tests/experiments/sweep/test_claims.py::test_a_claim_is_one_process_s_and_ends_with_it",),
  ),
  Mutant(
    "claims_of_other_machines_for_ever",
    "experiments/sweep/claims.py",
    "return _now(file.parent) - touched < LEASE_S",
    "return _now(file.parent) - touched > 0",
    "a cell of a machine that was switched off is never computed",
    ("tests/experiments/sweep/test_claims.py::test_a_claim_of_another_machine_counts_while_it_is_touched",),
  ),
  Mutant(
    "results_of_others_are_computed_again",
    "experiments/sweep/run.py",
    "if has_result_since(out_dir, cell, before):",
    "if False:",
    "what another process has computed meanwhile is computed once more",
    ("tests/experiments/sweep/test_claims.py::test_what_is_computed_elsewhere_is_waited_for_and_said",),
  ),
  Mutant(
    "cells_that_kill_their_process_for_ever",
    "experiments/sweep/workers.py",
    "if self._lost[cell.hash] < ATTEMPTS:",
    "if self._lost[cell.hash] <= ATTEMPTS:",
    "a cell that kills its process is tried more often than twice",
    ("tests/experiments/sweep/test_workers.py::test_a_cell_that_kills_its_process_twice_has_failed",),
  ),
  Mutant(
    "workers_that_change_programs",
    "experiments/sweep/schedule.py",
    "if present is None or not present.waiting:",
    "if present is None or present.waiting:",
    "a worker does not stay with the program that it has compiled",
    ("tests/experiments/sweep/test_schedule.py::test_a_worker_stays_with_the_cells_of_its_program",),
  ),
  Mutant(
    "programs_compiled_for_little",
    "experiments/sweep/schedule.py",
    "if self._left(group) > PROGRAM_S]",
    "if group.waiting]",
    "a worker compiles a program once more for a cell that takes less",
    ("tests/experiments/sweep/test_schedule.py::test_a_group_is_shared_only_where_that_is_faster",),
  ),
  Mutant(
    "latest_programs_go_first",
    "experiments/sweep/compilation_cache.py",
    "for _, size, file in sorted(entries):",
    "for _, size, file in sorted(entries, reverse=True):",
    "programs that were used last are removed first",
    ("tests/experiments/sweep/test_compilation_cache.py::test_what_was_not_used_for_longest_goes_first",),
  ),
  Mutant(
    "every_cell_compiles",
    "experiments/sweep/cost.py",
    "len(set(left)) * statistics",
    "len(left) * statistics",
    "cells that share a program are said to take as long as if each compiled its own",
    ("tests/experiments/sweep/test_cost.py::test_what_is_left_by_hand",),
  ),
)
