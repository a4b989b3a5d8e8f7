"""Mistakes in attacks by images."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

IMAGES = (
  Mutant(
    "image_popularity_hooks_on_targets",
    "fedrecjax/attacks/images/image_popularity.py",
    "allowed = np.setdiff1d(np.flatnonzero(context.has_image), context.targets)",
    "allowed = np.flatnonzero(context.has_image)",
    "targets are not excluded from the popular items",
    ("tests/attacks/images/test_image_popularity.py::test_popular_items_have_pictures_and_are_no_targets",),
  ),
  Mutant(
    "psmu_images_of_another_target",
    "fedrecjax/attacks/images/psmu_images.py",
    "row = jnp.concatenate([view.public.items[view.targets[place]], features])",
    "row = jnp.concatenate([view.public.items[view.targets[0]], features])",
    "a picture is changed with another target's embedding",
    ("tests/attacks/images/test_psmu_images.py::test_images_are_the_oracles",),
  ),
  Mutant(
    "images_start_from_the_last",
    "fedrecjax/attacks/images/changed_images.py",
    "start=None if options.restart else current - clean",
    "start=current - clean if options.restart else None",
    "pictures start from the last ones where they should start anew",
    (
      "tests/attacks/images/test_image_popularity.py::test_images_are_the_oracles",
    ),
  ),
)
