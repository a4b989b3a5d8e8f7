"""Mistakes in checkpoints of runs and of the cells of a sweep."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_FILES = "tests/simulation/test_checkpoint_files.py"
_RUNS = "tests/simulation/test_checkpoints.py"
_CELLS = "tests/experiments/sweep/test_cell_checkpoints.py"

CHECKPOINTS = (
  Mutant(
    "checkpoint_before_the_last",
    "fedrecjax/simulation/checkpoint_files.py",
    "for place in checkpoints_in(folder):",
    "for place in checkpoints_in(folder)[::-1]:",
    "a run goes on from the checkpoint before the newest",
    (f"{_FILES}::test_the_last_two_are_kept_and_the_newest_is_found", f"{_RUNS}::test_the_newest_is_taken"),
  ),
  Mutant(
    "checkpoint_of_another_run",
    "fedrecjax/simulation/checkpoint_files.py",
    "  if other is not None:\n    raise OtherRunError",
    "  if other == 0:\n    raise OtherRunError",
    "a run goes on from another run's checkpoint",
    (f"{_FILES}::test_another_run_is_refused_before_files_are_read", f"{_RUNS}::test_another_run_is_refused"),
  ),
  Mutant(
    "checkpoint_damage_unseen",
    "fedrecjax/simulation/checkpoint_files.py",
    "      if damage is not None:\n        raise _Damaged(damage)\n",
    "",
    "files of a checkpoint that are not what was written are read",
    (f"{_FILES}::test_damage_is_named_and_the_one_before_taken",),
  ),
  Mutant(
    "checkpoint_all_kept",
    "fedrecjax/simulation/checkpoint_files.py",
    "for old in checkpoints_in(folder)[KEPT:]:",
    "for old in checkpoints_in(folder)[KEPT + 1 :]:",
    "more than two checkpoints are kept",
    (f"{_FILES}::test_the_last_two_are_kept_and_the_newest_is_found", f"{_RUNS}::test_the_last_two_are_kept"),
  ),
  Mutant(
    "checkpoint_without_optimizers",
    "fedrecjax/simulation/checkpoints.py",
    "    self.told.restore(_owned",
    "    self.state = self.state._replace(client_optimizer=jax.tree.unflatten(structure, leaves).client_optimizer)\n"
    "    self.told.restore(_owned",
    "the states of the clients' optimisers begin anew",
    (f"{_RUNS}::test_from_every_epoch_to_the_same_bits",),
  ),
  Mutant(
    "checkpoint_without_points",
    "fedrecjax/simulation/checkpoints.py",
    '    self.told.restore(_owned(kept, "told"))\n',
    "",
    "evaluation points before the checkpoint are lost",
    (f"{_RUNS}::test_from_every_epoch_to_the_same_bits",),
  ),
  Mutant(
    "checkpoint_without_rounds_since_the_point",
    "fedrecjax/simulation/checkpoints.py",
    '[] if fields["loss"] is None else [Reports(**fields)]',
    "[]",
    "what the rounds since the last evaluation point told is lost",
    (f"{_RUNS}::test_from_every_epoch_to_the_same_bits",),
  ),
  Mutant(
    "checkpoint_without_images",
    "fedrecjax/simulation/checkpoints.py",
    '    self.provider.restore(_owned(kept, "images"))\n',
    "",
    "images that were uploaded before the checkpoint are lost",
    (f"{_RUNS}::test_a_run_of_images",),
  ),
  Mutant(
    "checkpoint_not_written_when_stopped",
    "fedrecjax/simulation/checkpoints.py",
    "return stopping or so_far.rounds",
    "return so_far.rounds",
    "a run that is asked to stop writes no checkpoint",
    (f"{_RUNS}::test_stopped_between_two_checkpoints_it_writes_one",),
  ),
  Mutant(
    "identity_without_what_is_closed_over",
    "fedrecjax/simulation/identity.py",
    "value.__kwdefaults__, _closed_over(value))",
    "value.__kwdefaults__)",
    "optimisers of different rates count as the same one",
    ("tests/simulation/test_identity.py::test_equal_things_are_equal_and_others_are_not",),
  ),
)
