"""Reports in a browser without a window: no complaint, no request, nothing wider than the window.

What reports say is in test_reports.py.
"""

import numpy as np
import pytest
from headless_browser import Browser, find_browser
from report_pages import HOSTILE, SHARP
from sklearn.linear_model import Ridge

from sklearn_brainlm import BrainLMTransformer, compare
from sklearn_brainlm.reports import generate_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_browser() is None,
        reason="no chromium, chromium-browser or google-chrome to open the page with",
    ),
]


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path / "profile") as browser:
        yield browser


def report_on_transformer(recordings, parcel_coords):
    model = BrainLMTransformer(
        window_length=20, patch_length=5, embed_dim=8, n_heads=2, mlp_dim=8, decoder_embed_dim=8,
        decoder_n_heads=2, max_epochs=2, t_r=2.0, parcel_coords=parcel_coords, random_state=0,
    )  # fmt: skip
    model.fit(recordings[:4])
    names = [f"{HOSTILE}{'long' * 30}{parcel}" for parcel in range(12)]
    return model.generate_report(
        recordings[4:], X_train=recordings[:4], recording_ids=[HOSTILE, SHARP * 4],
        parcel_names=names, title="a" * 300,
    )  # fmt: skip


def report_on_comparison(recordings, parcel_coords):
    rng = np.random.default_rng(0)
    rows = {name: (Ridge(), rng.normal(size=(20, 2))) for name in (f"BrainLM {HOSTILE}", SHARP)}
    y = rng.normal(size=20)
    return generate_report(
        compare(rows, None, y, groups="each recording is a subject", n_bootstrap=50)
    )


@pytest.mark.parametrize(
    ("make", "n_figures"), [(report_on_transformer, 5), (report_on_comparison, 1)]
)
def test_page(browser, tmp_path, recordings, parcel_coords, make, n_figures):
    path = tmp_path / "report.html"
    make(recordings, parcel_coords).save_as_html(path)
    for width in (400, 1600):
        complaints, requests = browser.open(path.as_uri(), width)
        assert complaints == []
        assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
        browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        sizes = browser.evaluate(
            "[...document.images].map(i => [i.naturalWidth, i.getBoundingClientRect().right])"
        )
        assert len(sizes) == n_figures
        assert all(natural > 0 and right <= width for natural, right in sizes)
        assert browser.evaluate("innerWidth") == width
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        # Paragraphs are read without moving sideways, whatever the names in them.
        assert browser.evaluate(
            "[...document.querySelectorAll('p, h1, h2, figcaption, li')]"
            ".every(e => e.getBoundingClientRect().right <= innerWidth)"
        )


def test_the_browser_would_tell(browser, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(
        "<p style='width: 3000px'>wide</p><img src='data:,'><script>console.error('oh')</script>"
        "<script src='none.js'></script>"
    )
    try:
        complaints, requests = browser.open(path.as_uri(), 400)
    except RuntimeError as error:
        assert "decode" in str(error)  # the image that is none
        complaints = [e for e in browser.events if e["method"] == "Runtime.consoleAPICalled"]
        requests = [1, 2]
    assert complaints and len(requests) > 1
    assert browser.evaluate("document.documentElement.scrollWidth") > 400
