"""Signals that stop a sweep: at once, or, where a cell has trained, as soon as it has written a checkpoint."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

_NOTED = b"sweep: stopping after the present piece of training; a second signal stops at once\n"


class Terminated(BaseException):
  """The process was asked to end (SIGTERM, or SIGHUP of a terminal that was closed)."""


class Stop:
  """What signals ask for.

  Within :meth:`saving`, once a cell has trained for the first time, a first signal is only noted: the cell sees it in
  :meth:`asked`, and the block ends with its exception. Anywhere else, and for a second one, a signal raises it at once.
  """

  def __init__(self) -> None:
    self._noted: type[BaseException] | None = None
    self._within = self._trained = False

  def asked(self) -> bool:
    """Whether the present cell is to stop; called after each piece of its training."""
    self._trained = self._within
    return self._noted is not None

  @contextlib.contextmanager
  def saving(self) -> Iterator[None]:
    """Within the block there is something to save."""
    self._within = True
    try:
      yield
    finally:
      self._within = self._trained = False
    if self._noted is not None:
      raise self._noted

  def handle(self, number: int, frame: FrameType | None) -> None:
    """The handler of signals."""
    del frame
    kind = KeyboardInterrupt if number == signal.SIGINT else Terminated
    if not self._trained or self._noted is not None:
      raise kind
    self._noted = kind
    # Not by print, which the signal may have interrupted.
    with contextlib.suppress(OSError):
      os.write(sys.__stderr__.fileno() if sys.__stderr__ is not None else 2, _NOTED)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[Stop]:
  """Within the block SIGTERM and SIGHUP raise :class:`Terminated`, so that what is finished is still gathered.

  A SIGHUP that is ignored, as under nohup, stays ignored, and a SIGINT that does not raise KeyboardInterrupt stays as
  it is.
  """
  stop = Stop()
  caught = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) != signal.SIG_IGN]
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    caught.append(signal.SIGINT)
  before = {one: signal.signal(one, stop.handle) for one in caught}
  try:
    yield stop
  finally:
    for one, handler in before.items():
      signal.signal(one, handler)
