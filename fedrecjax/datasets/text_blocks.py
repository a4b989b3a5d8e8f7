"""Text in blocks of whole records: decoded, with one kind of line end, and cut where no quoted field goes on."""

from __future__ import annotations

import codecs
import itertools
import pathlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from fedrecjax.datasets.errors import DataError

LONGEST_RECORD = 2**26
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_LF, _QUOTE = 10, 34


class Block(NamedTuple):
  """Whole records of a text.

  Attributes:
    first_line: number of its first line in the file, from 1.
    data: UTF-8, lines ended by LF but for the last, which has no line end.
  """

  first_line: int
  data: bytes


class Text(NamedTuple):
  """A text as it is read.

  Attributes:
    encoding: that it is in.
    head: its first lines, without line ends.
    pieces: all of it, UTF-8 with LF.
  """

  encoding: str
  head: tuple[str, ...]
  pieces: Iterator[bytes]


def opened_text(path: pathlib.Path, raw: Iterator[bytes], *, encoding: str | None, num_lines: int = 100) -> Text:
  """Looks at the beginning of a text.

  Args:
    path: file named in errors.
    raw: its content.
    encoding: as Python names it; None: by a byte order mark, else UTF-8.
    num_lines: lines of the head.

  Raises:
    DataError: if the file is empty or no text, the encoding unknown, or the text in another one.
  """
  first = next(raw, b"")
  mark, marked = next(((mark, name) for mark, name in _BYTE_ORDER_MARKS if first.startswith(mark)), (b"", None))
  chosen = _known(path, encoding, marked)
  pieces = _decoded(path, itertools.chain([first[len(mark) :]], raw), chosen)
  beginning = b""
  for piece in pieces:
    beginning += piece
    if beginning.count(b"\n") >= num_lines or len(beginning) > 2**20:
      break
  if not beginning.strip():
    raise DataError(f"{path}: empty file, expected one interaction a line")
  lines = beginning[: 2**20].decode("utf-8", errors="ignore").split("\n")
  complete = lines[:-1] if len(lines) > 1 and (lines[-1] == "" or len(lines) > num_lines) else lines
  return Text(chosen, tuple(complete[:num_lines]), itertools.chain([beginning], pieces))


def _known(path: pathlib.Path, encoding: str | None, marked: str | None) -> str:
  if encoding is None:
    return marked or "utf-8"
  try:
    b"".decode(encoding)
    name = codecs.lookup(encoding).name
  except LookupError:
    raise DataError(f"{path}: data.encoding: {encoding!r} is unknown, expected utf-8, latin-1 or the like") from None
  name = {"iso8859-1": "latin-1", "utf-8-sig": "utf-8"}.get(name, name)
  if marked is not None and not (name == marked or (name == "utf-16" and marked.startswith("utf-16"))):
    raise DataError(f"{path}: encoding {encoding!r} was named, but its first bytes mark {marked}")
  return marked or name


def _decoded(path: pathlib.Path, raw: Iterable[bytes], encoding: str) -> Iterator[bytes]:
  """Pieces as UTF-8 with LF; lines that end in CR alone are lines too."""
  decoder = codecs.getincrementaldecoder(encoding)()
  line, only_cr, held = 1, None, b""
  for piece, final in _and_whether_last(raw):
    if encoding == "utf-8" and piece.isascii() and decoder.getstate()[0] == b"":
      text = piece
    else:
      try:
        text = decoder.decode(piece, final).encode("utf-8")
      except UnicodeDecodeError as error:
        number = line + error.object.count(b"\n", 0, error.start)
        if b"\0" in error.object:
          raise _binary(path, number) from None
        raise DataError(
          f"{path}:{number}: expected {encoding.upper()} text, found another encoding; --data.encoding names it, for"
          " example --data.encoding=latin-1"
        ) from None
      except UnicodeError as error:
        raise DataError(f"{path}: expected {encoding.upper()} text: {error}") from None
    text = held + text
    held = b""
    if b"\0" in text:
      raise _binary(path, line + text.count(b"\n", 0, text.index(b"\0")))
    if b"\r" in text:
      if text.endswith(b"\r") and not final:
        text, held = text[:-1], b"\r"
      text = text.replace(b"\r\n", b"\n")
      if only_cr is None:
        only_cr = b"\n" not in text
      if only_cr:
        text = text.replace(b"\r", b"\n")
    line += text.count(b"\n")
    if text:
      yield text


def _binary(path: pathlib.Path, line: int) -> DataError:
  return DataError(f"{path}:{line}: expected text, found a binary file (or UTF-16, which --data.encoding=utf-16 names)")


def _and_whether_last(raw: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
  before = None
  for piece in raw:
    if before is not None:
      yield before, False
    before = piece
  if before is not None:
    yield before, True


def blocks(path: pathlib.Path, pieces: Iterable[bytes], *, quoted: bool) -> Iterator[Block]:
  """Cuts a text into blocks that end where a record ends; blank lines at its end are left out.

  Args:
    path: file named in errors.
    pieces: of the text, as in :class:`Text`.
    quoted: whether a line end inside of quotes belongs to a field.

  Raises:
    DataError: if a record has no end.
  """
  line, rest = 1, b""
  for piece in pieces:
    data = rest + piece
    # Blank lines at the end of a block go to the next one: at the end of the text they do not count.
    whole = data[: max(0, _last_end(data, quoted))].rstrip(b"\n")
    if not whole:
      if len(data) > LONGEST_RECORD:
        raise _endless(path, line, data, quoted)
      rest = data
      continue
    yield Block(line, whole)
    line += whole.count(b"\n") + 1
    rest = data[len(whole) + 1 :]
  rest = rest.rstrip(b"\n")
  if rest:
    if quoted and rest.count(b'"') % 2:
      raise _endless(path, line, rest, quoted)
    yield Block(line, rest)


def _endless(path: pathlib.Path, line: int, data: bytes, quoted: bool) -> DataError:
  if quoted and data.count(b'"') % 2:
    return DataError(f"{path}:{line}: a quote opens and does not close, expected it to; --data.quotes=none reads quotes"
                     " as they stand")
  return DataError(f"{path}:{line}: a line of more than {LONGEST_RECORD:,} bytes, expected an interaction")


def _last_end(data: bytes, quoted: bool) -> int:
  """Where the last record in `data` ends that is whole, or -1."""
  if not quoted or b'"' not in data:
    return data.rfind(b"\n")
  array = np.frombuffer(data, np.uint8)
  ends = np.flatnonzero(array == _LF)
  inside = np.searchsorted(np.flatnonzero(array == _QUOTE), ends) % 2
  outside = ends[inside == 0]
  return int(outside[-1]) if len(outside) else -1
