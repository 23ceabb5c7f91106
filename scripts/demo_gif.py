"""Make inference/demo.gif: a dialogue in the page of `main.py demo`, as a visitor sees it.

    CLARIFYVLM_DEV=1 source scripts/setup.sh
    python scripts/demo_gif.py --model_name_or_path runs/tiny/grpo

Starts the page, lets the machine's own Chromium pick a scene, ask, and reply as the reading named by --reply, and puts
the screenshots in a row. What the models say in it is what they said.
"""

import io
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import UserError, run_main

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@dataclass
class Arguments:
    model_name_or_path: str = option("checkpoint, with its test set", "runs/tiny/grpo")
    scene: int = option("which scene of the page's gallery, from 0", 3)
    reply: int = option("which of the readings the visitor means, from 0", 0)
    output_file: str = option("the picture", str(ROOT / "inference/demo.gif"))


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise UserError("there is no Chromium or Chrome on this machine.")
    command = [sys.executable, str(ROOT / "main.py"), "demo", "--port", "0", "--device", "cpu"]
    command += ["--model_name_or_path", args.model_name_or_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = next((line.split()[2] for line in server.stdout if line.startswith("The page: ")), None)
            if url is None:
                return 2  # it has said why
            frames = dialogue(url, browser, args)
        finally:
            server.send_signal(signal.SIGINT)
    shown = [frame.convert("RGB").quantize(128, dither=Image.Dither.NONE) for frame, _ in frames]
    durations = [milliseconds for _, milliseconds in frames]
    shown[0].save(args.output_file, save_all=True, append_images=shown[1:], duration=durations, loop=0, optimize=True)
    print(f"{args.output_file}: {len(frames)} pictures, {Path(args.output_file).stat().st_size / 1024:.0f} KiB")
    return 0


def dialogue(url: str, browser: str, args: Arguments) -> list[tuple[Image.Image, int]]:
    """(screenshot, milliseconds) of each step."""
    from playwright.sync_api import TimeoutError, sync_playwright

    frames = []
    with sync_playwright() as play:
        page = play.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"]).new_page(
            viewport={"width": 1280, "height": 760}
        )

        def shot(milliseconds: int) -> None:
            page.evaluate("scrollTo(0, 0)")
            frames.append((Image.open(io.BytesIO(page.screenshot())), milliseconds))

        def write(text: str) -> None:
            for end in range(0, len(text), 9):
                words.fill(text[: end + 9])
                shot(160)

        def send(then: str) -> None:
            words.press("Enter")
            try:
                page.locator("#words label").filter(has_text=then).wait_for()  # all models have spoken
            except TimeoutError:
                raise UserError(f"scene {args.scene}: the page does not come to {then!r}: {turns()}") from None

        def turns() -> list[str]:
            return page.locator("#dialogue [data-testid=user], #dialogue [data-testid=bot]").all_inner_texts()

        page.goto(url)
        words = page.locator("#words textarea")
        words.wait_for()
        page.wait_for_timeout(1500)
        shot(1200)
        page.locator("#scenes button").nth(args.scene).click()
        page.wait_for_timeout(1500)
        question = words.input_value()
        words.fill("")
        shot(800)
        write(question)
        shot(600)
        send(then="Your reply")
        shot(3000)
        readings = page.locator("#panel .readings li").all_inner_texts()
        if len(readings) <= args.reply:
            raise UserError(f"--reply {args.reply}: there are only {len(readings)} readings.")
        place = re.sub(r":.*", "", readings[args.reply])
        write(f"I mean {place}.")
        shot(600)
        send(then="Your question")
        shot(4500)
    return frames


if __name__ == "__main__":
    run_main(main)
