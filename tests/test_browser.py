"""The quickstart in a real JupyterLab in headless Chromium: run it, find the figures, move the slider, upload a photo.

Chromium is the system's (Debian: `apt-get install chromium`), driven by Playwright from PyPI. Where one of
the two is missing the test is skipped, and says so.
"""

import contextlib
import io
import json
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import matplotlib.cbook
import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parent.parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextlib.contextmanager
def jupyterlab(folder):
    """JupyterLab on `folder`, with settings, kernel files and checkpoints of its own; yields an address to complete."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = folder / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"windowingMode": "none"}))  # keep every cell in the page, seen or not
    news = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    own = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR")}
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = os.environ | own | {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "PYTHONPATH": path}
    token = secrets.token_hex(8)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.root_dir={folder}", "--allow-root"]
    command += [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}"]
    log = (folder / "jupyterlab.log").open("w")
    server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(120):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token={token}", timeout=2).close()
                break
            assert server.poll() is None, (folder / "jupyterlab.log").read_text()[-2000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/lab/tree/{{}}?token={token}"
    finally:
        server.terminate()  # shuts its kernels down, too
        server.wait(30)
        log.close()


@contextlib.contextmanager
def browser_page():
    """A page of a headless Chromium that needs neither a GPU nor a sandbox of its own."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install playwright"
    )
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        try:
            yield browser.new_page(viewport={"width": 1200, "height": 900})
        finally:
            browser.close()


def run_chapter(page, address, name, timeout=400):
    """Open a notebook, run all of its cells from the menu, and wait for the finish marker of its last cell."""
    page.goto(address.format(f"{name}.ipynb"))
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
    page.locator(".jp-Toolbar-kernelName", has_text="Python 3").wait_for(
        timeout=60_000
    )  # before that, running asks for a kernel
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").first.wait_for(state="attached", timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator(".jp-OutputArea-output", has_text=f"{name} finished").wait_for(
        state="attached", timeout=1000 * timeout
    )


def picture(element):
    """What the browser shows of an element: float (H, W, 3) in [0, 1]."""
    element.scroll_into_view_if_needed()
    return np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB"), "float32") / 255


def border(pixels):
    """Column of the slider's white line, from 0 (left) to 1 (right): the column whose darkest pixel is brightest."""
    return float(np.argmax(pixels.min(axis=(0, 2)))) / pixels.shape[1]


@pytest.mark.slow
def test_the_quickstart_shows_its_figures_and_its_slider_moves(tmp_path):
    notebook = json.loads((ROOT / "notebooks" / "00_quickstart.ipynb").read_text())
    notebook["metadata"].pop("widgets", None)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":  # what is found below must come from this run
            cell.update(outputs=[], execution_count=None)
    (tmp_path / "00_quickstart.ipynb").write_text(json.dumps(notebook))
    with browser_page() as page, jupyterlab(tmp_path) as address:
        run_chapter(page, address, "00_quickstart")
        figures = page.locator(".jp-OutputArea-output img[src^='data:image/png']")
        assert figures.count() >= 6
        own_size = "image => image.naturalWidth > 100 && image.naturalWidth === image.clientWidth"
        assert figures.first.evaluate(own_size), "the browser resamples the pixels of a figure"
        assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0

        view, handle = page.locator("img.widget-image"), page.locator(".widget-slider .noUi-handle")
        view.wait_for(timeout=10_000)
        assert view.evaluate(own_size)
        assert abs(border(picture(view)) - 0.5) < 0.02
        for _ in range(2):
            handle.press("PageDown")
        page.wait_for_timeout(500)
        moved = picture(view)
        there = float(handle.get_attribute("aria-valuenow")) / 100
        assert there < 0.45 and abs(border(moved) - there) < 0.02, f"slider at {there}, border at {border(moved)}"

        shown = figures.count()
        photo = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="choose a photo").click()
        chooser.value.set_files(photo)
        page.wait_for_function(
            "count => document.querySelectorAll(\".jp-OutputArea-output img[src^='data:image/png']\").length > count",
            arg=shown,
            timeout=60_000,
        )
