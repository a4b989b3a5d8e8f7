"""Tests of item images: what they must be, and the readers."""

import gzip
import io
import sys

import numpy as np
import pytest
from PIL import Image

from fedrecjax.datasets.covers import covers
from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.image_files import shared_out
from fedrecjax.datasets.image_set import ItemImages, placed
from fedrecjax.datasets.images import item_images
from fedrecjax.datasets.posters import match_titles
from fedrecjax.datasets.synthetic import synthetic_tastes


def pictures(count, height=8, width=8, seed=0):
  return np.random.default_rng(seed).integers(1, 256, (count, height, width, 3), np.uint8)


def flat(color, size=(8, 8)):
  return Image.new("RGB", size, color)


def encoded(image, format="JPEG", **options):
  buffer = io.BytesIO()
  image.save(buffer, format, **options)
  return buffer.getvalue()


def refused(message, source, **options):
  arguments = {"dataset_name": "toy", "num_items": 4, "size": 8} | options
  with pytest.raises(DataError, match=message) as caught:
    item_images(source, **arguments)
  assert "\n" not in str(caught.value)


# What a set of images must be.


def test_a_set_counts_its_images():
  images = placed(pictures(2), np.array([3, 1]), num_items=5, name="toy", origin="drawn")
  assert (images.num_items, images.num_images, images.items.tolist()) == (5, 2, [1, 3])
  np.testing.assert_array_equal(images.pixels[[3, 1]], pictures(2))
  assert not images.pixels[[0, 2, 4]].any()


@pytest.mark.parametrize(
  ("pixels", "has_image", "message"),
  [
    (np.zeros((2, 4, 4, 3)), np.ones(2, bool), r"pixels are float64 \[2, 4, 4, 3\], expected uint8"),
    (np.zeros((2, 4, 4), np.uint8), np.ones(2, bool), r"pixels are uint8 \[2, 4, 4\]"),
    (np.zeros((2, 4, 4, 1), np.uint8), np.ones(2, bool), r"pixels are uint8 \[2, 4, 4, 1\]"),
    (np.zeros((0, 4, 4, 3), np.uint8), np.ones(0, bool), r"pixels are uint8 \[0, 4, 4, 3\]"),
    (np.zeros((2, 4, 4, 3), np.uint8), np.ones(3, bool), r"has_image is bool \[3\], expected bool \[2\]"),
    (np.zeros((2, 4, 4, 3), np.uint8), np.ones(2, int), r"has_image is int64 \[2\]"),
    (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2, bool), "none of 2 items has an image"),
    (np.ones((2, 4, 4, 3), np.uint8), np.array([True, False]), "item 1 has no image but pixels"),
  ],
)
def test_other_sets_are_refused(pixels, has_image, message):
  with pytest.raises(DataError, match=message):
    ItemImages(pixels, has_image, "toy")


@pytest.mark.parametrize(
  ("items", "message"),
  [([0, 4], r"image 1 is of item 4, outside \[0, 4\)"), ([-1, 0], "image 0 is of item -1"), ([2, 2], "has 2 images")],
)
def test_images_of_impossible_items_are_refused(items, message):
  with pytest.raises(DataError, match=message):
    placed(pictures(2), np.array(items), num_items=4, name="toy", origin="")


# Items that the data call by names.

NAMES = np.array(["b", "007", "7", "x"], object)


def test_files_are_named_by_items(tmp_path):
  for number, name in enumerate(("007", "7", "elsewhere")):
    flat((number, 9, 9)).save(tmp_path / f"{name}.png")
  images = item_images(tmp_path, dataset_name="toy", num_items=4, size=8, item_names=NAMES)
  assert images.items.tolist() == [1, 2] and images.pixels[[1, 2], 0, 0, 0].tolist() == [0, 1]
  assert images.origin.endswith("without 1 of items that are not in the data")
  (tmp_path / "elsewhere.png").rename(tmp_path / "090.png")
  (tmp_path / "007.png").unlink()
  numbered = item_images(tmp_path, dataset_name="toy", num_items=3, size=8, item_names=np.array([7, 8, 90]))
  assert numbered.items.tolist() == [0, 2]


def test_arrays_are_keyed_by_names(tmp_path):
  file = tmp_path / "some.npz"
  np.savez(file, image=pictures(3), item=np.array(["x", "b", "y"]))
  images = item_images(file, dataset_name="toy", num_items=4, size=8, item_names=NAMES)
  np.testing.assert_array_equal(images.pixels[[3, 0]], pictures(3)[:2])
  assert images.num_images == 2 and "without 1 of items" in images.origin
  np.savez(file, image=pictures(2), item=np.array([180, 90]))
  images = item_images(file, dataset_name="toy", num_items=3, size=8, item_names=np.array([90, 180, 270]))
  np.testing.assert_array_equal(images.pixels[[1, 0]], pictures(2))
  np.savez(file, image=pictures(3))
  refused("images without an array item, expected one, since items are called 90, 180, 270", file, num_items=3,
          item_names=np.array([90, 180, 270]))
  np.savez(file, image=pictures(1), item=np.array([5]))
  refused("no image is of an item in the data, which are called 90, 180", file, num_items=2,
          item_names=np.array([90, 180]))
  np.savez(file, image=pictures(1), item=np.array(["a"]))
  refused("expected 1 integers", file)


def test_posters_are_of_sets_in_their_own_numbers():
  names = np.array([1, 2, 3, 9])
  refused("posters are of all items of the named sets", "posters", dataset_name="ml-1m", item_names=names)


def test_covers_of_some_items_follow_their_tastes():
  chosen = np.array([3, 70, 1500])
  some = item_images("covers", dataset_name="synthetic", num_items=3, size=8, item_names=chosen)
  expected = covers(synthetic_tastes()[chosen], size=8, seed=0)
  np.testing.assert_array_equal(some.pixels, expected.pixels)


# A folder of files.


def test_a_folder_of_files(tmp_path):
  """Any size and kind becomes RGB of the wanted size; items without a file have no image."""
  flat((200, 10, 30), (5, 9)).save(tmp_path / "0.png")
  flat((10, 200, 30), (16, 16)).save(tmp_path / "002.JPG", quality=95)
  Image.new("L", (8, 8), 77).save(tmp_path / "3.png")
  (tmp_path / ".hidden").write_text("not an image")
  images = item_images(tmp_path, dataset_name="toy", num_items=5, size=8)
  assert images.has_image.tolist() == [True, False, True, True, False]
  assert images.name == tmp_path.name
  assert np.all(images.pixels[0] == (200, 10, 30))
  assert np.abs(images.pixels[2].astype(int) - (10, 200, 30)).max() <= 4
  assert np.all(images.pixels[3] == 77)


def test_transparent_parts_are_white(tmp_path):
  image = Image.new("RGBA", (4, 2), (255, 0, 0, 255))
  image.putpixel((0, 0), (0, 0, 0, 0))
  image.putpixel((1, 0), (0, 0, 0, 128))
  image.resize((4, 4), Image.Resampling.NEAREST).save(tmp_path / "0.png")
  first = item_images(tmp_path, dataset_name="toy", num_items=1, size=4).pixels[0]
  assert first[0, 0].tolist() == [255, 255, 255] and first[0, 3].tolist() == [255, 0, 0]
  assert np.abs(first[0, 1].astype(int) - 127).max() <= 1


def test_an_image_is_scaled_by_lanczos(tmp_path):
  content = pictures(1, 20, 12)[0]
  Image.fromarray(content).save(tmp_path / "1.png")
  found = item_images(str(tmp_path), dataset_name="toy", num_items=2, size=8).pixels[1]
  np.testing.assert_array_equal(found, np.asarray(Image.fromarray(content).resize((8, 8), Image.Resampling.LANCZOS)))


@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    ("cover.png", b"", "cover.png: expected a file named by an item id and one of .png .jpg"),
    ("-1.png", b"", "-1.png: expected a file named by an item id"),
    ("1.txt", b"", "1.txt: expected a file named by an item id"),
    ("4.png", b"", r"4.png: item 4 is outside \[0, 4\)"),
    ("1.png", b"", "1.png: expected an image: cannot identify image file"),
    ("1.png", encoded(flat((1, 2, 3)), "PNG")[:40], "1.png: expected an image"),
    ("00.jpg", encoded(flat((1, 2, 3))), "00.jpg: item 0 has an image in 0.png, expected one"),
  ],
)
def test_wrong_files_are_refused(tmp_path, name, content, message):
  flat((1, 2, 3)).save(tmp_path / "0.png")
  (tmp_path / name).write_bytes(content)
  refused(message, tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
  refused("no images in this folder, expected files such as 17.png", tmp_path)


def test_pillow_is_asked_for_by_name(tmp_path, monkeypatch):
  flat((1, 2, 3)).save(tmp_path / "0.png")
  monkeypatch.setitem(sys.modules, "PIL", None)
  refused("0.png: cannot be read without the package pillow", tmp_path)


# Archives.


def test_an_archive_with_items(tmp_path):
  np.savez(tmp_path / "some.npz", image=pictures(2), item=np.array([2, 0]))
  images = item_images(tmp_path / "some.npz", dataset_name="toy", num_items=4, size=8)
  assert images.has_image.tolist() == [True, False, True, False]
  np.testing.assert_array_equal(images.pixels[[2, 0]], pictures(2))


def test_an_archive_in_the_order_of_items(tmp_path):
  np.savez_compressed(tmp_path / "all.npz", pixels=pictures(4, 16, 10))
  images = item_images(tmp_path / "all.npz", dataset_name="toy", num_items=4, size=8)
  assert images.has_image.all() and images.pixels.shape == (4, 8, 8, 3)
  first = Image.fromarray(pictures(4, 16, 10)[0]).resize((8, 8), Image.Resampling.LANCZOS)
  np.testing.assert_array_equal(images.pixels[0], np.asarray(first))


def test_an_archive_of_posters(tmp_path):
  files = [encoded(flat(color, (20, 30)), quality=95) for color in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
  archive = {
    "jpeg": np.frombuffer(b"".join(files), np.uint8),
    "offset": np.cumsum([0, *map(len, files)]),
    "item": np.array([2, -1, 0]),
  }
  np.savez(tmp_path / "posters.npz", **archive)
  images = item_images(tmp_path / "posters.npz", dataset_name="toy", num_items=3, size=8)
  assert images.has_image.tolist() == [True, False, True]
  assert np.abs(images.pixels[2].astype(int) - (250, 0, 0)).max() <= 4
  assert np.abs(images.pixels[0].astype(int) - (0, 0, 250)).max() <= 4
  for change, message in (
    ({"offset": archive["offset"][:-1]}, "offset must rise from 0 to"),
    ({"offset": archive["offset"] + 1}, "offset must rise from 0 to"),
    ({"item": np.array([-1, -1, -1])}, "no poster is of an item"),
    ({"item": np.array([0.0, 1.0, 2.0])}, r"item is float64 \[3\], expected integers"),
    ({"item": np.array([0, 1, 9])}, r"image 2 is of item 9, outside \[0, 4\)"),
    ({"jpeg": np.zeros_like(archive["jpeg"])}, "posters.npz: poster 0: expected an image"),
    ({"jpeg": archive["jpeg"].astype(np.int32)}, "jpeg is int32"),
  ):
    np.savez(tmp_path / "posters.npz", **(archive | change))
    refused(message, tmp_path / "posters.npz")


@pytest.mark.parametrize(("num_pictures", "num_items"), [(5, 9), (9, 5), (6, 6)])
def test_pictures_of_no_item_are_shared_out(num_pictures, num_items):
  given = pictures(num_pictures)
  first, again, other = (shared_out(given, num_items=num_items, seed=seed, name="toy") for seed in (0, 0, 1))
  assert first.num_images == min(num_pictures, num_items)
  np.testing.assert_array_equal(first.pixels, again.pixels)
  assert not np.array_equal(first.pixels, other.pixels)
  used = {image.tobytes() for image in first.pixels[first.has_image]}
  assert len(used) == first.num_images and used <= {image.tobytes() for image in given}


def test_emoji_are_told_by_their_codes(tmp_path):
  (tmp_path / "twemoji-images").mkdir()
  np.savez(tmp_path / "twemoji-images" / "twemoji_64.npz", image=pictures(3), code=np.array(["1f", "2f", "3f"]))
  images = item_images("emoji", dataset_name="toy", num_items=4, size=8, seed=2, data_dir=tmp_path)
  expected = shared_out(pictures(3), num_items=4, seed=2, name="twemoji_64")
  np.testing.assert_array_equal(images.pixels, expected.pixels)
  assert images.origin == "3 of 3 pictures given to 4 items at random, seed 2"


@pytest.mark.parametrize(
  ("arrays", "message"),
  [
    ({"other": np.zeros(3)}, "arrays other, expected image or pixels, or jpeg, offset and item"),
    ({"image": pictures(3).astype(float)}, r"image is float64 \[3, 8, 8, 3\], expected uint8"),
    ({"image": pictures(3)}, "3 images without an array item, expected one for each of 4 items"),
    ({"image": pictures(3), "item": np.arange(2)}, r"item is int64 \[2\], expected 3 integers"),
    ({"image": pictures(3), "item": np.zeros(3)}, r"item is float64 \[3\], expected 3 integers"),
    ({"image": pictures(2), "item": np.array([1, 1])}, "item 1 has 2 images, expected one"),
    ({"image": np.array([None, 1])}, "expected a NumPy archive"),
  ],
)
def test_wrong_archives_are_refused(tmp_path, arrays, message):
  np.savez(tmp_path / "wrong.npz", **arrays)
  refused(message, tmp_path / "wrong.npz")


def test_what_is_no_archive_is_refused(tmp_path):
  (tmp_path / "text.npz").write_text("not an archive")
  refused("text.npz: expected a NumPy archive", tmp_path / "text.npz")
  np.save(tmp_path / "one.npy", pictures(4))
  (tmp_path / "one.npy").rename(tmp_path / "one.npz")
  refused("one.npz: expected a NumPy archive .* found a single array", tmp_path / "one.npz")
  refused("absent.npz: no such file", tmp_path / "absent.npz")


# Sources by name.


def test_covers_of_the_embedded_set_follow_its_tastes():
  images = item_images("covers", dataset_name="synthetic", num_items=1682, size=8, seed=4)
  np.testing.assert_array_equal(images.pixels, covers(synthetic_tastes(), size=8, seed=4).pixels)


def test_covers_of_other_sets_follow_given_tastes():
  tastes = np.random.default_rng(0).normal(size=(4, 3))
  images = item_images("covers", dataset_name="toy", num_items=4, size=8, tastes=tastes)
  np.testing.assert_array_equal(images.pixels, covers(tastes, size=8).pixels)


@pytest.mark.parametrize(
  ("source", "options", "message"),
  [
    ("covers", {}, "covers of toy need tastes"),
    ("covers", {"tastes": np.zeros((3, 2))}, "tastes of 3 items, expected 4"),
    ("covers", {"dataset_name": "synthetic"}, "tastes of 1682 items, expected 4"),
    ("posters", {}, "posters are of ml-1m and ml-100k, not of toy"),
    ("posters", {"tastes": np.zeros((4, 2))}, "only covers follow tastes"),
    ("portraits", {}, "images 'portraits' are unknown, expected one of covers posters emoji"),
    ("covers", {"size": 0}, "num_items is 4 and size 0, expected at least 1"),
  ],
)
def test_unknown_sources_are_refused(source, options, message):
  refused(message, source, **options)


def write_movies(folder):
  """Three posters of a toy MovieLens-1M, and four movies of a toy MovieLens-100K."""
  for name in ("ml-1m-posters", "ml-1m", "ml-100k"):
    (folder / name).mkdir()
  files = [encoded(flat(color), quality=95) for color in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
  np.savez(
    folder / "ml-1m-posters" / "posters_64_jpeg.npz", jpeg=np.frombuffer(b"".join(files), np.uint8),
    offset=np.cumsum([0, *map(len, files)]), item=np.array([3, 0, 1]),
  )
  theirs = 'item,movie_id,title\n0,9,Heat (1995)\n1,5,"Mask, The (1994)"\n2,7,Crash (1996)\n3,2,Amélie (2001)\n'
  (folder / "ml-1m" / "items.csv.gz").write_bytes(gzip.compress(theirs.encode()))
  ours = 'item,item_id,title,release_year\n0,1,"MASK, the",1994\n1,2,Heat,1996\n2,3,Crash,1996\n3,4,Amelie,2001\n'
  (folder / "ml-100k" / "items.csv").write_text(ours)


def test_posters_by_item_and_by_title(tmp_path):
  write_movies(tmp_path)
  of_1m = item_images("posters", dataset_name="ml-1m", num_items=4, size=8, data_dir=tmp_path)
  assert of_1m.has_image.tolist() == [True, True, False, True]
  of_100k = item_images("posters", dataset_name="ml-100k", num_items=4, size=8, data_dir=tmp_path)
  # Heat is of another year; Crash is matched but has no poster.
  assert of_100k.has_image.tolist() == [True, False, False, True]
  assert "3 of 4 titles found, 2 of them with poster" in of_100k.origin
  np.testing.assert_array_equal(of_100k.pixels[[0, 3]], of_1m.pixels[[1, 3]])
  refused("items.csv lists 4 items, expected 5", "posters", dataset_name="ml-100k", num_items=5, data_dir=tmp_path)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (None, "items.csv: no such file"),
    ("item,name\n0,Heat\n", "items.csv:1: expected the columns item,title"),
    ("item,title\n0,Heat (1995)\n2,Crash (1996)\n", "items.csv:3: expected item 1 and its title, found item '2'"),
    ("item,title\n0\n", "items.csv:2: expected item 0 and its title"),
  ],
)
def test_wrong_lists_of_titles_are_refused(tmp_path, text, message):
  write_movies(tmp_path)
  path = tmp_path / "ml-100k" / "items.csv"
  path.unlink()
  if text is not None:
    path.write_text(text)
  refused(message, "posters", dataset_name="ml-100k", data_dir=tmp_path)


def test_posters_that_are_not_there_are_asked_for(tmp_path):
  refused("posters_64_jpeg.npz: no such file", "posters", dataset_name="ml-1m", data_dir=tmp_path)


def test_titles_that_stand_twice_are_not_matched():
  others = ["HEAT (1995)", "Crash (1996)", "Crash! (1996)"]
  found = match_titles(["Heat (1995)", "heat: (1995)", "Crash (1996)"], others)
  assert found.tolist() == [0, 0, -1]


def test_posters_of_real_movies(real_data):
  of_1m = item_images("posters", dataset_name="ml-1m", num_items=3706, size=16, data_dir=real_data)
  assert of_1m.num_images == 3699
  of_100k = item_images("posters", dataset_name="ml-100k", num_items=1682, size=16, data_dir=real_data)
  assert of_100k.num_images == 1558 and "1560 of 1682 titles found" in of_100k.origin
  # Toy Story is item 0 of MovieLens-100K, and movie 1 of MovieLens-1M.
  archive = np.load(real_data / "ml-1m-posters" / "posters_64_jpeg.npz")
  toy_story = int(archive["item"][archive["movie_id"] == 1][0])
  np.testing.assert_array_equal(of_100k.pixels[0], of_1m.pixels[toy_story])


def test_real_emoji(real_data):
  images = item_images("emoji", dataset_name="ml-1m", num_items=3706, size=64, data_dir=real_data)
  assert images.num_images == 1911
