"""The page in a browser: it loads without an error or a request, sorts, filters, and tells of what is pointed at."""

import json
import shutil

import pytest

from experiments.report.command import write_page

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
  BROWSER is None or DRIVER is None,
  reason="needs a browser: apt-get install chromium chromium-driver (found"
  f" {', '.join(one for one in (BROWSER, DRIVER) if one) or 'neither'})",
)


@pytest.fixture(scope="module")
def page(sweep):
  """The page in a window 1400 wide."""
  webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install fedrecjax[test]")
  options = webdriver.ChromeOptions()
  options.binary_location = BROWSER
  for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000",
                   "--force-prefers-reduced-motion"):
    options.add_argument(argument)
  options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
  driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
  try:
    driver.get(write_page(sweep.folder).as_uri())
    yield driver
  finally:
    driver.quit()


def texts(page, part, column):
  """A column of a part's table as it is shown."""
  return page.execute_script(
    "return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)].filter((row) => !row.hidden)"
    ".map((row) => row.cells[arguments[1]].innerText)", part, column)


def test_it_loads_without_an_error_or_a_request(page):
  assert page.get_log("browser") == []
  events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
  asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
  assert [address.partition(":")[0] for address in asked if not address.startswith("data:")] == ["file"]
  assert page.execute_script("return document.documentElement.scrollWidth") <= 1400


def test_tables_sort_by_a_click(page):
  header = page.execute_script("return [...document.querySelectorAll('#results th')].map((head) => head.innerText)")
  column = next(place for place, name in enumerate(header) if name.startswith("er@10"))
  before = texts(page, "results", column)
  button = page.find_elements("css selector", "#results th button")[column]
  for descending in (True, False):
    button.click()
    values = [float(text.split()[0]) for text in texts(page, "results", column)]
    assert values == sorted(values, reverse=descending) and len(values) == len(before)
  assert texts(page, "results", column) != before


def test_tables_filter_by_words(page):
  field = page.find_element("css selector", "#runs input")
  field.send_keys("uea norm")
  assert set(texts(page, "runs", 0)) == {"pieck_uea"} and set(texts(page, "runs", 1)) == {"norm_bound"}
  assert page.find_element("css selector", "#runs .count").text == "3 of 25 rows"
  field.clear()
  field.send_keys(" ")
  assert len(texts(page, "runs", 0)) == 25


def test_curves_tell_of_seeds(page):
  webdriver = pytest.importorskip("selenium.webdriver")
  drawing = page.find_element("css selector", "#curves .panel svg")
  page.execute_script("arguments[0].scrollIntoView({block: 'center'})", drawing)
  webdriver.ActionChains(page).move_to_element_with_offset(drawing, 150, -60).perform()
  tip = page.find_element("id", "tip")
  assert tip.is_displayed() and tip.text.startswith("epoch 18\n") and "pieck_uea, seeds 0: " in tip.text
  assert len(page.find_elements("css selector", "#curves .seeds .line")) == 3
  page.execute_script("scrollTo(0, 0)")
  webdriver.ActionChains(page).move_to_element(page.find_element("css selector", "h1")).perform()
  assert not tip.is_displayed() and not page.find_elements("css selector", "#curves .seeds .line")


def test_a_legend_shows_one_attack_alone(page):
  shown = ("return [...document.querySelectorAll('#curves .chart g[data-name]')]"
           ".filter((line) => line.style.display !== 'none').length")
  all_lines = page.execute_script(shown)
  button = page.find_element("css selector", "#curves .legend button")
  button.click()
  assert 0 < page.execute_script(shown) < all_lines
  button.click()
  assert page.execute_script(shown) == all_lines


def test_it_is_light_or_dark_and_fits_a_telephone(page):
  ground = "return getComputedStyle(document.body).backgroundColor"
  light = page.execute_script(ground)
  page.find_element("id", "theme").click()
  assert page.execute_script(ground) != light
  page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
    "width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False})
  assert page.execute_script("return document.documentElement.scrollWidth") <= 400
  assert page.get_log("browser") == []
