"""Public files of every publisher's form are read as they are meant, or refused in one line that says the way out."""

import random
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


def test_damaged_files_are_read_or_refused_in_one_line(tmp_path, monkeypatch):
  """Bytes are lost, put in or repeated, and the end is cut off; whatever comes of it is no other error."""
  draw = random.Random(0)
  refused = 0
  for _ in range(120):
    monkeypatch.setattr("fedrecjax.datasets.sources.CHUNK", draw.choice([30, 2**20]))
    public = draw.choice([one for one in PUBLIC_FORMATS if not one.others])
    content = bytearray(public.content.encode() if isinstance(public.content, str) else public.content)
    if isinstance(public.content, str):
      # More lines than are looked at before any is read, so that blocks end anywhere.
      content += content[content.find(b"\n") + 1 :] * draw.choice([0, 150])
    for _ in range(draw.randint(1, 4)):
      place = draw.randrange(len(content) + 1)
      put_in = draw.choice([b"\0", b"\n", b"\r", b'"', b"\t", b",", b"\xff", b"::", b"-", b"{", content[:place]])
      content[place : place + draw.randint(0, 5)] = b"" if draw.random() < 0.3 else put_in
    (tmp_path / public.file).write_bytes(content)
    try:
      read(tmp_path / public.file, **public.options)
    except DataError as error:
      refused += 1
      assert "\n" not in str(error)
  assert 60 < refused < 120


def test_there_are_many():
  assert len({public.name for public in PUBLIC_FORMATS}) == len(PUBLIC_FORMATS) >= 25
