"""Fetching a data set from its publisher, checked against a published checksum."""

import dataclasses
import importlib
import os
import pathlib
import zipfile

from fedrecjax.datasets.errors import DataError


@dataclasses.dataclass(frozen=True)
class Download:
  """An archive that may be fetched without asking anybody.

  Attributes:
    url: address of a zip file at the publisher.
    known_hash: its checksum, as `algorithm:hexdigits`.
    member: path of the wanted file inside the archive.
  """

  url: str
  known_hash: str
  member: str


def fetch(download: Download, folder: pathlib.Path) -> pathlib.Path:
  """Downloads an archive and unpacks the wanted file beside it.

  Args:
    download: what to fetch.
    folder: where archive and file are put; made if missing.

  Returns:
    The unpacked file, `folder / <name of the member>`.

  Raises:
    DataError: if pooch is not installed, or fetching, checking or unpacking fails; the message says
      how to put the file there by hand.
  """
  archive_name = pathlib.PurePosixPath(download.url).name
  target = folder / pathlib.PurePosixPath(download.member).name
  by_hand = f"to do it by hand, put {target.name} from {download.url} in {folder}"
  try:
    # Imported here: data that is already on disk must not need a download library.
    pooch = importlib.import_module("pooch")
  except ImportError:
    raise DataError(f"cannot download without the package pooch; {by_hand}") from None
  try:
    archive = pooch.retrieve(
      url=download.url, known_hash=download.known_hash, fname=archive_name, path=folder
    )
    with zipfile.ZipFile(archive) as opened:
      content = opened.read(download.member)
    # An interrupted write must not leave half a file under the final name.
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    partial.write_bytes(content)
    partial.replace(target)
  except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
    reason = " ".join(str(error).split()) or type(error).__name__
    raise DataError(f"download of {download.url} failed ({reason}); {by_hand}") from error
  return target
