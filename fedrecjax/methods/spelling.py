"""Names that somebody may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MOST = 3


def did_you_mean(word: str, known: Iterable[str]) -> str:
  """What to say behind "got 'WORD'": the names that are nearly the word, best first; empty if none is.

  >>> did_you_mean("piek_uea", ["pieck_ipe", "pieck_uea", "median"])
  '; did you mean pieck_uea or pieck_ipe?'
  >>> did_you_mean("ML100K", ["ml-100k", "gowalla"]), did_you_mean("unheard", ["median"])
  ('; did you mean ml-100k?', '')
  """
  spelled: dict[str, str] = {}
  for name in known:
    spelled.setdefault(_plain(name), name)
  found = [spelled[one] for one in difflib.get_close_matches(_plain(word), spelled, _MOST, cutoff=0.65)]
  names = " or ".join(filter(None, [", ".join(found[:-1]), *found[-1:]]))
  return f"; did you mean {names}?" if names else ""


def _plain(word: str) -> str:
  """Case and the kind of dash make no difference."""
  return word.lower().replace("-", "_")
