"""Public files as publishers ship them, in small: values are invented, the form is theirs."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from typing import Any, NamedTuple


class PublicFormat(NamedTuple):
  """One publisher's form.

  Attributes:
    name: publisher and file.
    file: name of the file.
    content: of it.
    pairs: user and item of every row, by name; None if it is refused.
    time: of every row, whole numbers that order them; None where there is none.
    options: what has to be said of it.
    refused: what the one line of the refusal says, the way out with it.
    others: further files beside it, by name.
    test: rows that are held out.
  """

  name: str
  file: str
  content: str | bytes
  pairs: list[tuple[int | str, int | str]] | None
  time: list[int] | None = None
  options: dict[str, Any] = {}  # noqa: RUF012
  refused: str = ""
  others: dict[str, str] = {}  # noqa: RUF012
  test: list[bool] | None = None


def zipped(**members: str) -> bytes:
  """A zip archive."""
  packed = io.BytesIO()
  with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, text in members.items():
      archive.writestr(name.replace("__", "/").replace("_csv", ".csv").replace("_txt", ".txt"), text)
  return packed.getvalue()


def lines(*rows: str) -> str:
  """Lines of a text."""
  return "".join(row + "\n" for row in rows)


SHA = ["0" * 39 + "a", "f" * 40]
MBID = "3bd73256-3905-4f3a-97e2-8b341527f805"
SECOND = 1_300_000_000
DAY = 86_400 * 10**6
AT = 1_287_532_527 * 10**6
"""2010-10-19T23:55:27Z in microseconds."""

PUBLIC_FORMATS = (
  PublicFormat("MovieLens 100K", "u.data", lines("196\t242\t3\t881250949", "22\t377\t1\t878887116"),
               [(196, 242), (22, 377)], [881250949, 878887116]),
  PublicFormat("MovieLens 100K, a fold", "u1.base", lines("1\t5\t3\t30", "2\t5\t3\t20"), [(1, 5), (2, 5), (1, 7)],
               [30, 20, 10], others={"u1.test": lines("1\t7\t4\t10")}, test=[False, False, True]),
  PublicFormat("MovieLens 1M", "ratings.dat", lines("1::1193::5::978300760", "1::661::3::978302109"),
               [(1, 1193), (1, 661)], [978300760, 978302109]),
  PublicFormat("MovieLens 10M", "ratings.dat", lines("1::122::5::838985046", "1::185::4.5::838983525"),
               [(1, 122), (1, 185)], [838985046, 838983525]),
  PublicFormat("MovieLens 20M", "ratings.csv", lines("userId,movieId,rating,timestamp", "1,2,3.5,1112486027",
               "9,29,3.5,1112484676"), [(1, 2), (9, 29)], [1112486027, 1112484676]),
  PublicFormat("MovieLens 25M, gzipped", "ratings.csv.gz", gzip.compress(
               b"userId,movieId,rating,timestamp\r\n1,296,5.0,1147880044\r\n"), [(1, 296)], [1147880044]),
  PublicFormat("MovieLens 32M, the ratings alone zipped", "ratings.zip", zipped(
               ml_32m__README_txt="see it", ml_32m__ratings_csv="userId,movieId,rating,timestamp\n1,17,4,944249077\n"),
               [(1, 17)], [944249077]),
  PublicFormat("MovieLens latest, all of the archive", "ml-latest-small.zip", zipped(
               ratings_csv="userId,movieId,rating,timestamp\n1,1,4.0,9\n", movies_csv="movieId,title\n1,Toy\n"), None,
               refused="2 tables in this archive: ratings.csv, movies.csv, expected one; unpack it and name the file"),
  PublicFormat("Netflix Prize", "combined_data_1.txt", lines("1:", "1488844,3,2005-09-06", "822109,5,2005-05-13", "2:",
               "822109,5,2005-10-19"), [(1488844, 1), (822109, 1), (822109, 2)],
               [13032 * DAY, 12916 * DAY, 13075 * DAY]),
  PublicFormat("Amazon 2014, reviews", "reviews_Beauty_5.json", lines(*(json.dumps({
                 "reviewerID": user, "asin": item, "reviewerName": 'A, "B"', "overall": 5.0, "reviewText": "so\nso",
                 "unixReviewTime": SECOND}) for user, item in (("A1YJEY40YUW4SE", "7806397051"), ("A60X", "B01")))),
               [("A1YJEY40YUW4SE", "7806397051"), ("A60X", "B01")], [SECOND, SECOND]),
  PublicFormat("Amazon 2014, ratings without a header", "ratings_Beauty.csv", lines("A39H,0205616461,5.0,1369699200"),
               None, refused="--data.columns=user=0+item=1"),
  PublicFormat("Amazon 2014, ratings, columns named", "ratings_Beauty.csv", lines("A39H,0205616461,5.0,1369699200"),
               [("A39H", "0205616461")], [1369699200], {"columns": "user=0+item=1+rating=2+time=3"}),
  PublicFormat("Amazon 2018, ratings, which have the item first", "Books.csv", lines("0001713353,A1C6,5.0,1123804800"),
               [("A1C6", "0001713353")], [1123804800], {"columns": "user=1+item=0+time=3"}),
  PublicFormat("Amazon 2023, ratings", "All_Beauty.csv", lines("user_id,parent_asin,rating,timestamp",
               "AGKH,B00YQ6X8EO,5.0,1588687728923", "AGKH,B081TJ8YS3,4.0,1588615855070"),
               [("AGKH", "B00YQ6X8EO"), ("AGKH", "B081TJ8YS3")], [1588687728923, 1588615855070]),
  PublicFormat("Amazon 2023, reviews, which have two columns of items", "All_Beauty.jsonl", json.dumps(
               {"rating": 5.0, "asin": "B0", "parent_asin": "B1", "user_id": "AG", "timestamp": 1588687728923}), None,
               refused="asin and parent_asin may each be the item; say which: --data.columns=item=asin"),
  PublicFormat("Amazon 2023, reviews, the column named", "All_Beauty.jsonl", json.dumps(
               {"rating": 5.0, "asin": "B0", "parent_asin": "B1", "user_id": "AG", "timestamp": 1588687728923}),
               [("AG", "B1")], [1588687728923], {"columns": {"item": "parent_asin"}}),
  PublicFormat("Yelp, reviews", "yelp_academic_dataset_review.json", lines(*(json.dumps({
                 "review_id": "K", "user_id": "mh_-", "business_id": item, "stars": 3.0,
                 "date": f"2018-07-0{day} 22:09:11"
               }) for item, day in (("XQ", 7), ("YQ", 8)))), [("mh_-", "XQ"), ("mh_-", "YQ")],
               [1_531_001_351 * 10**6, 1_531_001_351 * 10**6 + DAY]),
  PublicFormat("RecBole, atomic", "ml.inter", lines("user_id:token\titem_id:token\trating:float\ttimestamp:float",
               "196\t242\t3\t881250949.0", "22\t377\t1\t878887116"), [(196, 242), (22, 377)], [881250949, 878887116]),
  PublicFormat("RecBole, split", "m.train.inter", lines("user_id:token\titem_id:token", "u1\ta"),
               [("u1", "a"), ("u1", "b"), ("u1", "c")],
               others={"m.valid.inter": "user_id:token\titem_id:token\nu1\tb\n",
                       "m.test.inter": "user_id:token\titem_id:token\nu1\tc\n"}, test=[False, False, True]),
  PublicFormat("RecBole, sequences", "m.train.inter", lines("user_id:token\titem_id_list:token_seq\titem_id:token",
               "u1\ta b\tc"), None, refused="item_id_list:token_seq holds several items a row"),
  PublicFormat("LightGCN, lists", "train.txt", lines("0 0 1 2", "1 5"), [(0, 0), (0, 1), (0, 2), (1, 5), (0, 7)],
               others={"test.txt": lines("0 7", "1 ")}, test=[False] * 4 + [True]),
  PublicFormat("SASRec, pairs", "Beauty.txt", lines("1 1", "1 2", "2 2"), [(1, 1), (1, 2), (2, 2)]),
  PublicFormat("NCF", "ml-1m.train.rating", lines("0\t32\t4\t978824330", "1\t7\t4\t978824331"),
               [(0, 32), (1, 7), (0, 25)], [978824330, 978824331, 978824351],
               others={"ml-1m.test.rating": lines("0\t25\t5\t978824351")},
               test=[False, False, True]),
  PublicFormat("Book-Crossing", "BX-Book-Ratings.csv", '"User-ID";"ISBN";"Book-Rating"\n"276725";"034545104X";"0"\n'
               '"276726";"caf\xe9";"5"\n'.encode("latin-1"),
               [(276725, "034545104X"), (276726, "caf\xe9")], None, {"encoding": "latin-1"}),
  PublicFormat("Book-Crossing, the encoding not named", "BX-Book-Ratings.csv",
               '"User-ID";"ISBN";"Book-Rating"\n"276726";"caf\xe9";"5"\n'.encode("latin-1"), None,
               refused=":2: expected UTF-8 text, found another encoding; --data.encoding names it"),
  PublicFormat("Last.fm 360K", "usersha1-artmbid-artname-plays.tsv", lines(
               f'{SHA[0]}\t{MBID}\tbetty "b" blowtorch\t2137', f"{SHA[1]}\t\tdie Ärzte\t1099"),
               [(SHA[0], 'betty "b" blowtorch'), (SHA[1], "die Ärzte")]),
  PublicFormat("HetRec 2011, Last.fm", "user_artists.dat", lines("userID\tartistID\tweight", "2\t51\t13883",
               "2\t52\t11690"), [(2, 51), (2, 52)]),
  PublicFormat("HetRec 2011, MovieLens", "user_ratedmovies-timestamps.dat", lines("userID\tmovieID\trating\ttimestamp",
               "75\t3\t1\t1162160236000"), [(75, 3)], [1162160236000]),
  PublicFormat("Gowalla, check-ins", "Gowalla_totalCheckins.txt", lines(
               "0\t2010-10-19T23:55:27Z\t30.2359091167\t-97.7951395833\t22847",
               "0\t2010-10-18T22:17:43Z\t30.2691029532\t-97.7493953705\t420315"), [(0, 22847), (0, 420315)],
               [AT, AT - DAY - 5_864 * 10**6]),
  PublicFormat("MIND, behaviors", "behaviors.tsv", lines(
               "1\tU13740\t11/11/2019 9:05:58 AM\tN55189 N42782\tN55689-1 N35729-0",
               "2\tU91836\t11/12/2019 6:11:30 PM\t\tN20678-0 N39317-1 N58114-1"),
               [("U13740", "N55689"), ("U91836", "N39317"), ("U91836", "N58114")],
               [1_573_463_158 * 10**6, 1_573_582_290 * 10**6, 1_573_582_290 * 10**6]),
  PublicFormat("Steam 200K, whose names have commas in quotes", "steam-200k.csv", lines(
               '151603712,"The Elder Scrolls V Skyrim",purchase,1.0,0', '151603712,"Warhammer 40,000",play,12.1,0'),
               [(151603712, "The Elder Scrolls V Skyrim"), (151603712, "Warhammer 40,000")], None,
               {"columns": "user=0+item=1"}),
  PublicFormat("Steam 200K, plays alone", "steam-200k.csv", lines(
               '1,"Skyrim",purchase,1.0,0', '1,"Skyrim",play,12.1,0'),
               [(1, "Skyrim")], None, {"columns": "user=0+item=1", "keep_if": "2=play"}),
  PublicFormat("Goodreads, interactions", "goodreads_interactions.json", json.dumps({
                 "user_id": "8842", "book_id": "18245960", "rating": 5,
                 "date_added": "Sun Jul 30 07:44:10 -0700 2017"}),
               [(8842, 18245960)], [1_501_425_850 * 10**6], {"columns": "time=date_added"}),
  PublicFormat("KuaiRec, which has several times", "small_matrix.csv", lines("user_id,video_id,time,date,timestamp",
               "14,148,2020-07-05 05:27:48.378,20200705,1593898068.378"), None,
               refused="time and date and timestamp may each be the time; say which: --data.columns=time=time"),
  PublicFormat("Foursquare, without a header", "dataset_TSMC2014_NYC.txt",
               lines("470\t49bbd6c0f964a520f4531fe3\t4bf58dd8d48988d127951735\tArts\t40.7\t-74.0\t-240\tTue Apr 03"
                     " 18:00:09 +0000 2012"), [(470, "49bbd6c0f964a520f4531fe3")], [1_333_476_009 * 10**6],
               {"columns": "user=0+item=1+time=7", "separator": "tab"}),
  PublicFormat("A spreadsheet's UTF-16", "export.csv", "\ufeffuser;item\nä;ö\n".encode("utf-16-le"), [("ä", "ö")]),
  PublicFormat("CSV with a byte order mark and UUIDs", "export.csv", "\ufeff".encode() + lines("user,item",
               "8c5b5b0e-0000-4000-8000-000000000001,007", "8c5b5b0e-0000-4000-8000-000000000001,7").encode(),
               [("8c5b5b0e-0000-4000-8000-000000000001", "007"), ("8c5b5b0e-0000-4000-8000-000000000001", "7")]),
  PublicFormat("An Excel workbook", "export.xlsx", zipped(sheet_csv="user,item\n"), None,
               refused="found a workbook, expected a table as text; save it as CSV"),
  PublicFormat("A JSON array", "ratings.json", '[{"user": 1, "item": 2}]\n', None,
               refused="expected JSON lines, one object a line"),
)
