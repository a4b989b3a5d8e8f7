"""Tests of packed, encoded and damaged files."""

import codecs
import gzip
import zipfile

import numpy as np
import polars as pl
import pytest

from fedrecjax.datasets import DataError, read
from fedrecjax.datasets.names import names_at


def _pairs(rows):
  users, items = names_at(rows.user_names, rows.users), names_at(rows.item_names, rows.items)
  return list(zip(users.tolist(), items.tolist(), strict=True))


def test_files_that_cannot_be_read(tmp_path, write):
  with pytest.raises(DataError, match=r"absent\.csv: no such file"):
    read(tmp_path / "absent.csv")
  (tmp_path / "folder.csv").mkdir()
  with pytest.raises(DataError, match=r"folder\.csv: cannot be read"):
    read(tmp_path / "folder.csv")
  (tmp_path / "fake.csv.gz").write_bytes(b"user,item\n0,1\n")
  with pytest.raises(DataError, match=r"fake.csv.gz: expected a whole gzip file"):
    read(tmp_path / "fake.csv.gz")
  whole = gzip.compress(b"user,item\n0,1\n" * 100)
  (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
  with pytest.raises(DataError, match=r"cut.csv.gz: expected a whole gzip file"):
    read(tmp_path / "cut.csv.gz")
  (tmp_path / "packed.csv").write_bytes(whole)
  with pytest.raises(DataError, match=r"packed.csv: found packed data, expected a name that ends in .gz"):
    read(tmp_path / "packed.csv")
  (tmp_path / "other.csv").write_bytes(b"BZh91AY&SY")
  with pytest.raises(DataError, match=r"other.csv: found bzip2, expected a text, plain or packed as .gz .zip .zst"):
    read(tmp_path / "other.csv")
  (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 and no more")
  with pytest.raises(DataError, match=r"cut.zip: expected a whole zip file"):
    read(tmp_path / "cut.zip")
  (tmp_path / "latin.csv").write_bytes(b"user,item\n0,caf\xe9\n")
  with pytest.raises(DataError, match=r"latin.csv:2: expected UTF-8 text.*--data.encoding=latin-1"):
    read(tmp_path / "latin.csv")
  with pytest.raises(DataError, match=r"latin.csv: data.encoding: 'latin-99' is unknown"):
    read(tmp_path / "latin.csv", encoding="latin-99")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
def test_encodings(tmp_path, encoding):
  (tmp_path / "a.csv").write_bytes("user,item\r\ncafé,ü\r\n".encode(encoding))
  named = None if encoding in ("utf-8-sig", "utf-16") else encoding
  assert _pairs(read(tmp_path / "a.csv", encoding=named)) == [("café", "ü")]


def test_a_byte_order_mark_contradicts_a_named_encoding(tmp_path):
  (tmp_path / "a.csv").write_bytes(codecs.BOM_UTF8 + b"user,item\n0,1\n")
  with pytest.raises(DataError, match="encoding 'latin-1' was named, but its first bytes mark utf-8"):
    read(tmp_path / "a.csv", encoding="latin-1")


def _zip(path, **members):
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, content in members.items():
      archive.writestr(name.replace("_", "."), content)
  return path


def test_archives(tmp_path):
  table = "user,item\n0,1\n"
  assert len(read(_zip(tmp_path / "one.zip", a_csv=table, README_txt="read me"))) == 1
  with pytest.raises(DataError, match=r"two.zip: 2 tables in this archive: a.csv, b.csv, expected one; unpack it"):
    read(_zip(tmp_path / "two.zip", a_csv=table, b_csv=table))
  with pytest.raises(DataError, match=r"none.zip: 0 tables in this archive"):
    read(_zip(tmp_path / "none.zip", README_txt="read me"))


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr("fedrecjax.datasets.sources.FREE", 10**4)
  text = "user,item\n" + "0,1\n" * 10**5
  (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(text.encode()))
  with pytest.raises(DataError, match=r"bomb.csv.gz: its \S+ bytes unpack to more than 200 times.*--data.unpack_ratio"):
    read(tmp_path / "bomb.csv.gz")
  assert len(read(tmp_path / "bomb.csv.gz", unpack_ratio=2000)) == 10**5
  with pytest.raises(DataError, match="unpack to more than 200 times"):
    read(_zip(tmp_path / "bomb.zip", a_csv=text))


def test_a_line_without_an_end_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr("fedrecjax.datasets.text_blocks.LONGEST_RECORD", 2**21)
  monkeypatch.setattr("fedrecjax.datasets.sources.CHUNK", 2**20)
  (tmp_path / "a.csv").write_text("user,item\n0," + "1" * 2**22 + "\n")
  with pytest.raises(DataError, match=r"a.csv:2: a line of more than 2,097,152 bytes"):
    read(tmp_path / "a.csv")


# A frame that holds `user,item` and `0,1`: magic, a single segment of 14 bytes, one raw block.
_ZSTANDARD = b"\x28\xb5\x2f\xfd\x20\x0e\x71\x00\x00user,item\n0,1\n"


def test_zstandard_files_of_several_blocks(tmp_path):
  frame = pl.DataFrame({"user": np.arange(50_000) % 500, "item": np.arange(50_000) * 7919 % 3000})
  frame.lazy().sink_csv(tmp_path / "a.csv.zst", compression="zstd")
  found = read(tmp_path / "a.csv.zst")
  assert found.users.tolist() == frame["user"].to_list() and found.items.tolist() == frame["item"].to_list()


def test_zstandard(tmp_path, monkeypatch):
  monkeypatch.setattr("fedrecjax.datasets.sources.FREE", 10**4)
  (tmp_path / "a.csv.zst").write_bytes(_ZSTANDARD)
  assert _pairs(read(tmp_path / "a.csv.zst")) == [(0, 1)]
  (tmp_path / "cut.csv.zst").write_bytes(_ZSTANDARD[:-3])
  with pytest.raises(DataError, match="expected a whole Zstandard file, this one is cut"):
    read(tmp_path / "cut.csv.zst")
  # A run of 2^20 zeros in four bytes, as often as one likes: its header tells.
  header = b"\x28\xb5\x2f\xfd\xe0" + (2**40).to_bytes(8, "little")
  (tmp_path / "bomb.csv.zst").write_bytes(header + b"\x03\x00\x80\x00")
  with pytest.raises(DataError, match=r"may unpack to 1,099,511,627,776 bytes, expected at most"):
    read(tmp_path / "bomb.csv.zst")
  # One that does not say: a window of 1 KiB, and a run of 100,000 bytes.
  (tmp_path / "run.csv.zst").write_bytes(b"\x28\xb5\x2f\xfd\x00\x00" + (100_000 << 3 | 3).to_bytes(3, "little") + b"0")
  with pytest.raises(DataError, match=r"may unpack to 100,000 bytes, expected at most 10,000"):
    read(tmp_path / "run.csv.zst")
  (tmp_path / "text.csv.zst").write_text("user,item\n0,1\n")
  with pytest.raises(DataError, match="expected a whole Zstandard file"):
    read(tmp_path / "text.csv.zst")
