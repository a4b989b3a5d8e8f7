"""Public files of every publisher's form are read as they are meant, or refused in one line that says the way out."""

import re

import pytest

from fedrecjax.datasets import DataError, read
from fedrecjax.datasets.names import names_at
from tests.datasets.public_formats import PUBLIC_FORMATS


def put(folder, public):
  content = public.content.encode() if isinstance(public.content, str) else public.content
  (folder / public.file).write_bytes(content)
  for name, text in public.others.items():
    (folder / name).write_text(text)
  return folder / public.file


@pytest.mark.parametrize("public", PUBLIC_FORMATS, ids=lambda public: public.name)
def test_a_public_form(public, tmp_path):
  file = put(tmp_path, public)
  if public.refused:
    with pytest.raises(DataError, match=re.escape(public.refused)) as caught:
      read(file, **public.options)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(file))
    return
  found = read(file, **public.options)
  users, items = names_at(found.user_names, found.users), names_at(found.item_names, found.items)
  assert list(zip(users.tolist(), items.tolist(), strict=True)) == public.pairs
  assert (None if found.time is None else found.time.tolist()) == public.time
  assert (None if found.test is None else found.test.tolist()) == public.test
  assert (found.num_users, found.num_items) == tuple(len({pair[side] for pair in public.pairs}) for side in (0, 1))
  assert found.reading.rows >= len(public.pairs) and found.reading.files[0].path == str(file)


def test_there_are_many():
  assert len({public.name for public in PUBLIC_FORMATS}) == len(PUBLIC_FORMATS) >= 25
