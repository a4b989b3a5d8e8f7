"""Which column plays which role: publishers' usual headers, and those that somebody names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from fedrecjax.datasets.errors import DataError

Role = Literal["user", "item", "time", "rating", "split", "public"]

ROLES: tuple[Role, ...] = get_args(Role)

ALIASES: dict[Role, tuple[str, ...]] = {
  "user": ("user", "user_id", "uid", "reviewerID", "customer_id", "visitor_id"),
  "item": (
    "item", "item_id", "iid", "movie_id", "asin", "parent_asin", "business_id", "ISBN", "artist_id", "book_id",
    "product_id", "location_id", "news_id", "anime_id", "recipe_id", "song_id", "track_id", "game_id", "app_id",
    "video_id", "venue_id", "joke_id", "gmap_id",
  ),
  "time": ("time", "timestamp", "date", "datetime", "unixReviewTime", "unix_timestamp", "checkin_time"),
  "rating": ("rating", "stars", "overall", "book_rating", "weight", "score"),
  "split": ("split", "test"),
  "public": ("public",),
}
"""Headers known for each role; letter case, blanks and punctuation do not count."""

NONE = "none"
"""What stands for a column where a role is to be left out."""

Columns = tuple[tuple[str, str], ...]
"""Roles and the columns that play them."""


def parse_columns(columns: str | Mapping[str, str | int] | None) -> Columns:
  """Reads which column plays which role.

  Args:
    columns: by role, or as on the command line.

  Raises:
    DataError: if a role is unknown or named twice.

  >>> parse_columns("user=userId+item=movieId"), parse_columns({"user": 0, "item": 1})
  ((('user', 'userId'), ('item', 'movieId')), (('user', '0'), ('item', '1')))
  """
  if not columns:
    return ()
  if isinstance(columns, str):
    # A plus may stand in the name of a column; what follows it then holds no equals sign after a role.
    parts = re.split(r"\+(?=[A-Za-z_]+=)", columns)
    pairs = [part.partition("=")[::2] for part in parts]
  else:
    pairs = [(role, str(column)) for role, column in columns.items()]
  for role, column in pairs:
    if role not in ROLES or not column:
      raise DataError(
        f"data.columns must be ROLE=COLUMN joined with +, of the roles {', '.join(ROLES)}, got {role!r}"
        f"{f'={column!r}' if column else ' without a column'}"
      )
  roles = [role for role, _ in pairs]
  twice = next((role for role in roles if roles.count(role) > 1), None)
  if twice is not None:
    raise DataError(f"data.columns names a column for {twice} twice, expected one")
  return tuple((str(role), str(column)) for role, column in pairs)


def plain(header: str) -> str:
  """A header without what publishers write differently.

  >>> plain("userId"), plain("User-ID"), plain("user_id:token")
  ('userid', 'userid', 'userid')
  """
  return re.sub(r"[^a-z0-9]", "", header.partition(":")[0].lower())


_ROLE_OF = {plain(alias): role for role, aliases in ALIASES.items() for alias in aliases}


def known_roles(header: Sequence[str]) -> set[Role]:
  """The roles for which a header has a usual name."""
  return {_ROLE_OF[plain(name)] for name in header if plain(name) in _ROLE_OF}


def by_position(columns: Columns) -> bool:
  """Whether columns are named by their place, from 0."""
  named = [column for _, column in columns if column != NONE]
  return bool(named) and all(re.fullmatch(r"\d+", column) for column in named)


def places_by_name(header: Sequence[str], columns: Columns, where: str) -> dict[str, int]:
  """The place of each role's column below a header.

  Args:
    header: names of the columns.
    columns: as somebody names them; other roles go to columns of usual names.
    where: file and line, for errors.

  Returns:
    Places from 0 by role; user and item are there.

  Raises:
    DataError: if a named column is not there or is there twice, several columns have usual names of one role, or none
      has one of the user or item.
  """
  repeated = next((name for name in header if header.count(name) > 1), None)
  places: dict[str, int] = {}
  for role, column in columns:
    if column == NONE:
      continue
    found = [place for place, name in enumerate(header) if name == column or name.partition(":")[0] == column]
    if len(found) != 1:
      problem = "is not there" if not found else "is there twice"
      raise DataError(f"{where}: column {column!r} for {role} {problem}; the columns are {', '.join(header)}")
    places[role] = found[0]
  named = {role for role, _ in columns}
  for role in ROLES:
    if role in named:
      continue
    found = [
      place for place, name in enumerate(header) if _ROLE_OF.get(plain(name)) == role and place not in places.values()
    ]
    if len(found) > 1:
      if repeated in [header[place] for place in found]:
        raise DataError(f"{where}: two columns are named {repeated!r}, expected one")
      names = " and ".join(header[place] for place in found)
      raise DataError(
        f"{where}: {names} may each be the {role}; say which: --data.columns={role}={header[found[0]]}"
      )
    if found:
      places[role] = found[0]
  missing = [role for role in ("user", "item") if role not in places]
  if missing:
    raise DataError(
      f"{where}: no column for the {' and the '.join(missing)} is known among {', '.join(header)}; expected the columns"
      " user,item[,timestamp][,rating][,test][,public], or their names: --data.columns=user=NAME+item=NAME (without a"
      " header by place: user=0+item=1)"
    )
  return places


def places_by_position(columns: Columns, num_fields: int, where: str) -> dict[str, int]:
  """The place of each role's column in a file without a header.

  Raises:
    DataError: if there is no such place, or no user or item.
  """
  named = next((column for _, column in columns if column != NONE and not column.isdecimal()), None)
  if named is not None:
    raise DataError(f"{where}: no header in which to find column {named!r}; expected places from 0, user=0+item=1")
  places = {role: int(column) for role, column in columns if column != NONE}
  for role, place in places.items():
    if place >= num_fields:
      raise DataError(f"{where}: no column {place} for {role}, expected 0 to {num_fields - 1}")
  missing = [role for role in ("user", "item") if role not in places]
  if missing:
    raise DataError(f"{where}: data.columns names no column for the {' and the '.join(missing)}")
  return places
