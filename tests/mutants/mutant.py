"""A seeded mistake."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
  """One mistake.

  Attributes:
    name: of the mistake, unique.
    file: that it is made in, from the root of the checkout.
    old: text that occurs in the file exactly once.
    new: what stands there instead.
    wrong: what is wrong then.
    tests: test files or tests, as pytest names them, most likely to fail.
  """

  name: str
  file: str
  old: str
  new: str
  wrong: str
  tests: tuple[str, ...]
