"""What is said of data that are refused."""

import pytest

from fedrecjax.datasets import DataError


def refusal(path, read):
  """What `read()` says is wrong with a file or folder, in one line that begins with its path."""
  with pytest.raises(DataError) as caught:
    read()
  message = str(caught.value)
  assert message.startswith(f"{path}: ")
  assert "\n" not in message
  return message.removeprefix(f"{path}: ")
