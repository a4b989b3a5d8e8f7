"""Which process computes a cell, so that no two of them compute the same one.

A claim is the file `OUT/claims/HASH`. Whoever has a cell holds a lock on its file, which the system drops with the
process, however it ends. Folders that several machines share do not always share locks: so the file also says which
machine has the cell, and is touched while the cell is computed. A claim of another machine counts for
`LEASE_S` seconds after it was last touched, and then no more.

A claim saves work, and is not what results rest on: cells are whole or absent whoever writes them. Two machines that
ask for one cell within the same moment, in a folder without common locks, both compute it and write the same.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import platform
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from experiments.grid import Cell
from experiments.results.paths import cell_dir, failure_file, is_finished

LEASE_S = 120.0
_TOUCH_S = 15.0
_BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id")
# Of file systems that have no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class Written(NamedTuple):
  """When a cell's files were written, in nanoseconds; None where there is none.

  Attributes:
    result: of the finished cell.
    failure: of why it failed.
  """

  result: int | None = None
  failure: int | None = None


def written(out_dir: pathlib.Path, cell: Cell) -> Written:
  """When the files of a cell were written."""

  def when(file: pathlib.Path) -> int | None:
    try:
      return file.stat().st_mtime_ns
    except OSError:
      return None

  return Written(when(cell_dir(out_dir, cell) / "config.json"), when(failure_file(out_dir, cell)))


def written_before(out_dir: pathlib.Path, cells: Sequence[Cell]) -> dict[str, Written]:
  """The same for many cells, by hash."""
  return {cell.hash: written(out_dir, cell) for cell in cells}


def has_result_since(out_dir: pathlib.Path, cell: Cell, before: Written) -> bool:
  """Whether the cell was finished, by whomever, after a look at its files."""
  return written(out_dir, cell).result != before.result and is_finished(out_dir, cell)


def has_failed_since(out_dir: pathlib.Path, cell: Cell, before: Written) -> bool:
  """Whether the cell failed, in whatever process, after a look at its files."""
  return written(out_dir, cell).failure not in (None, before.failure)


def claim_file(out_dir: pathlib.Path, cell: Cell) -> pathlib.Path:
  """The file that says who computes a cell."""
  return out_dir / "claims" / cell.hash


@contextlib.contextmanager
def claimed(out_dir: pathlib.Path, cell: Cell) -> Iterator[bool]:
  """Claims a cell for the time of the block; tells whether that succeeded, or another process has it.

  Args:
    out_dir: folder of the sweep.
    cell: that is to be computed.

  Raises:
    OSError: if the file cannot be written.
  """
  file = claim_file(out_dir, cell)
  held = _taken(file)
  if held is None:
    yield False
    return
  ended = threading.Event()
  touching = threading.Thread(target=_touch, args=(held, ended), daemon=True)
  touching.start()
  try:
    yield True
  finally:
    # Removed while it is locked: whoever waits for the lock finds that the file is no longer that of the cell.
    with contextlib.suppress(OSError):
      file.unlink()
    ended.set()
    touching.join()
    os.close(held)
    with contextlib.suppress(OSError):
      file.parent.rmdir()


def _taken(file: pathlib.Path) -> int | None:
  """The open file of a claim that is now this process's; None if another one has it."""
  while True:
    try:
      file.parent.mkdir(parents=True, exist_ok=True)
      handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:
      # The last claim was given back in between, and the folder with it.
      continue
    try:
      if not _locked(handle) or _is_anothers(file, handle):
        os.close(handle)
        return None
      if _is_still(file, handle):
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{_machine()}\n".encode(), 0)
        return handle
    except BaseException:
      os.close(handle)
      raise
    os.close(handle)


def _locked(handle: int) -> bool:
  """Whether nobody else has the lock; true as well where there are none."""
  try:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  except OSError as error:
    if error.errno not in _NO_LOCKS:
      raise
  return True


def _is_anothers(file: pathlib.Path, handle: int) -> bool:
  """Whether another machine, whose locks are not seen here, has touched the claim lately."""
  name = os.pread(handle, 1000, 0).decode(errors="replace").strip()
  if name in ("", _machine()):
    return False
  touched = os.fstat(handle).st_mtime
  # The clock of the folder's own machine: others may be wrong by minutes.
  return _now(file.parent) - touched < LEASE_S


def _now(folder: pathlib.Path) -> float:
  """The time by the clock that dates the files of a folder."""
  with tempfile.TemporaryFile(dir=folder) as probe:
    probe.write(b"0")
    probe.flush()
    return os.fstat(probe.fileno()).st_mtime


def _is_still(file: pathlib.Path, handle: int) -> bool:
  try:
    return os.path.samestat(os.fstat(handle), file.stat())
  except FileNotFoundError:
    return False


def _touch(handle: int, ended: threading.Event) -> None:
  while not ended.wait(_TOUCH_S):
    with contextlib.suppress(OSError):
      os.utime(handle)


def _machine() -> str:
  """A name of this machine since it was started; containers on it have the same, as they have the same locks."""
  try:
    return _BOOT.read_text().strip()
  except OSError:
    return platform.node()
