"""Memory of the server of `vczoo ui` over many conversions, and a stranger's way to the first converted recording.

    python -m benchmarks.speed.page --conversions 1000        # --only memory | first

The server runs in a process of its own. For its memory, requests convert a synthetic recording of two seconds and
draw its picture, as the page's button does. For the way to the first conversion, headless Chromium opens the page as a
new visitor, records two seconds with a synthetic microphone, and clicks "Convert".
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil
import soundfile

from tests.conftest import synthetic_utterance
from tests.support.served_page import BROWSERS, Served, find_browser, open_visit

RESULTS = Path(__file__).parents[1] / "results" / "page.json"
RATE_HZ, SECONDS = 16000, 2.0
MEGABYTE = 1_000_000
PAGE = "benchmark"  # gradio's name of the visit


def write_speech(path: Path) -> Path:
    """Two seconds of one synthetic speaker."""
    samples = np.concatenate([synthetic_utterance(number, 120.0, 1.0) for number in range(4)])
    soundfile.write(path, samples[: int(SECONDS * RATE_HZ)], RATE_HZ)
    return path


def memory(page: Served, speech: Path, conversions: int, every: int) -> Iterator[dict[str, Any]]:
    """The server's memory in use (resident set) before and after every so many conversions, in MB."""
    server = psutil.Process(page.process.pid)
    with httpx2.Client(base_url=page.url, timeout=300) as client:
        token = open_visit(client, PAGE)
        functions = client.get("/config").json()["dependencies"]
        convert = next(function for function in functions if any(event[1] == "click" for event in function["targets"]))
        draw = next(function for function in functions if function["trigger_after"] == convert["id"])
        for number in range(conversions + 1):
            if number % every == 0:
                yield {"conversions": number, "megabytes": server.memory_info().rss / MEGABYTE}
            if number < conversions:
                files = {"files": (f"speech-{number}.wav", speech.read_bytes())}
                (path,) = client.post("/gradio_api/upload", files=files).json()
                sound = {"path": path, "meta": {"_type": "gradio.FileData"}}
                call(client, convert["id"], [token, sound, "woman-1", "", 50, True, 0, 0])
                call(client, draw["id"], [token])


def call(client: httpx2.Client, function: int, data: list[Any]) -> None:
    """Call a function of the page, and wait for its answer."""
    body = {"data": data, "fn_index": function, "session_hash": PAGE}
    client.post("/gradio_api/queue/join", json=body).raise_for_status()
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": PAGE}) as events:
        lines = [json.loads(line[6:]) for line in events.iter_lines() if line.startswith("data: ")]
    (ended,) = [line for line in lines if line["msg"] == "process_completed"]
    if not ended["success"]:
        raise RuntimeError(f"the page refused: {ended['output']}")


def first_voice(page: Served, speech: Path) -> dict[str, Any]:
    """Clicks and seconds from an opened page to the playing conversion, without the time that the person speaks."""
    from playwright.sync_api import sync_playwright

    if (program := find_browser()) is None:
        raise SystemExit(f"the way to the first voice needs one of {', '.join(BROWSERS)}; --only memory needs none")
    microphone = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    options = [*microphone, f"--use-file-for-fake-audio-capture={speech}", "--no-sandbox", "--disable-gpu"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=options)
        visit = browser.new_context(permissions=["microphone"]).new_page()
        visit.set_default_timeout(300_000)
        visit.add_init_script("window.clicks = 0; addEventListener('click', () => window.clicks++, true)")
        began = time.perf_counter()
        visit.goto(page.url)
        visit.get_by_role("button", name="Record", exact=True).first.click()
        visit.locator("#source").get_by_role("button", name="Stop", exact=True).wait_for()
        opened = time.perf_counter() - began
        visit.wait_for_timeout(SECONDS * 1000)
        visit.locator("#source").get_by_role("button", name="Stop", exact=True).click()
        visit.locator("#source #waveform").wait_for()
        visit.get_by_role("button", name="Convert", exact=True).click()
        player = visit.locator("#result audio[data-key=b]")
        player.wait_for()
        visit.wait_for_function("(audio) => audio.currentTime > 0", arg=player.element_handle())
        seconds = time.perf_counter() - began
        clicks = visit.evaluate("window.clicks")
        browser.close()
    return {"clicks": clicks, "seconds_to_recording": opened, "seconds": seconds - SECONDS}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversions", type=int, default=200, help="conversions of the measurement of memory")
    parser.add_argument("--every", type=int, default=50, help="conversions between two looks at the memory")
    parser.add_argument("--only", choices=("memory", "first"), help="one of the two measurements")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON file to write")
    options = parser.parse_args(arguments)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        speech = write_speech(Path(folder) / "speech.wav")
        began = time.perf_counter()
        page = Served(Path(folder) / "page")
        try:
            print(f"the server started in {time.perf_counter() - began:.1f} s", flush=True)
            if options.only != "memory":
                results["first"] = first_voice(page, speech)
                print("first voice: {clicks} clicks, {seconds:.1f} s".format(**results["first"]), flush=True)
            if options.only != "first":
                print("conversions  MB", flush=True)
                results["memory"] = []
                for row in memory(page, speech, options.conversions, options.every):
                    results["memory"].append(row)
                    print(f"{row['conversions']:11}  {row['megabytes']:.0f}", flush=True)
        finally:
            page.end()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
