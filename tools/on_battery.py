"""Draws docs/power/on-battery.png: the real engine, while a plug that is a file is pulled.

    python tools/on_battery.py [--shape gpt2-124m]

The machine's battery and charger are files in a temporary folder (LAPWING_SYSFS); speed and
precision are those of the engine on this machine. The governor's clock goes 20 times as fast as
ours: a minute of stable mains, before int8 comes back, takes three seconds here.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import lapwing
from benchmarks.synthetic import SHAPES, write

PICTURE = Path(__file__).parents[1] / "docs" / "power" / "on-battery.png"
SUPPLY = "sys/class/power_supply"
SPEED = 20
PULLED_S, BACK_S, END_S = 6.0, 22.0, 32.0
WINDOW_S = 0.5
COLOURS = {"int8": "#1f77b4", "int4": "#ff7f0e"}


def laptop(root: Path, *, plugged: bool) -> None:
    """A charger and a battery at 38 %."""
    status = "Charging" if plugged else "Discharging"
    battery = {"type": "Battery", "status": status, "energy_now": 19_000_000}
    battery |= {"energy_full": 50_000_000, "power_now": 12_000_000}
    for folder, files in (
        ("AC", {"type": "Mains", "online": int(plugged)}),
        ("BAT0", battery),
    ):
        (root / SUPPLY / folder).mkdir(parents=True, exist_ok=True)
        for name, value in files.items():
            (root / SUPPLY / folder / name).write_text(f"{value}\n")


def watch(model: Any, root: Path) -> list[tuple[float, str]]:
    """Time and precision of each token of one long run."""
    model.governor.speed, model.governor.watcher.period_s = SPEED, 1 / SPEED
    tokens: list[tuple[float, str]] = []
    began_s = time.perf_counter()
    timers = [
        threading.Timer(PULLED_S, laptop, (root,), {"plugged": False}),
        threading.Timer(BACK_S, laptop, (root,), {"plugged": True}),
    ]
    for timer in timers:
        timer.start()
    while (now_s := time.perf_counter() - began_s) < END_S:
        stream = model.stream([1, 2, 3], max_tokens=400, ignore_eos=True)
        for _ in stream:
            now_s = time.perf_counter() - began_s
            tokens.append((now_s, stream.precision))
            if now_s >= END_S:
                break
    return tokens


def rates_of(tokens: list[tuple[float, str]]) -> list[float]:
    """Tokens per second of each window."""
    counts = [0] * (int(END_S / WINDOW_S) + 1)
    for seconds, _ in tokens:
        counts[int(seconds / WINDOW_S)] += 1
    return [count / WINDOW_S for count in counts]


def draw(tokens: list[tuple[float, str]], shape: str, path: Path) -> None:
    """Tokens per second in windows, coloured by precision; on battery the ground is grey."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.2, 2.6), dpi=120)
    axes.axvspan(PULLED_S, BACK_S, color="0.92")
    axes.text((PULLED_S + BACK_S) / 2, 0.06, "on battery, 38 %", ha="center",
              transform=axes.get_xaxis_transform(), color="0.35")  # fmt: skip
    for precision, colour in COLOURS.items():
        times, rates = [], []
        for i in range(int(END_S / WINDOW_S)):
            inside = [p for s, p in tokens if i * WINDOW_S <= s < (i + 1) * WINDOW_S]
            if inside and max(set(inside), key=inside.count) == precision:
                times.append((i + 0.5) * WINDOW_S)
                rates.append(len(inside) / WINDOW_S)
        axes.plot(times, rates, "o", ms=3.5, color=colour, label=precision)
    top = 1.25 * max(rates_of(tokens))
    axes.set(xlim=(0, END_S), ylim=(0, top), xlabel="seconds", ylabel="tokens per second")
    axes.set_title(f"{shape}: one int8 store, --profile auto --switch-precision token", fontsize=9)
    axes.legend(loc="upper right", ncols=2, frameon=False, fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=sorted(SHAPES), default="gpt2-124m")
    parser.add_argument("--out", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    import os

    with tempfile.TemporaryDirectory() as work:
        root = Path(work) / "root"
        laptop(root, plugged=True)
        os.environ["LAPWING_SYSFS"] = str(root)
        directory = write(Path(tempfile.gettempdir()) / "lapwing-bench", arguments.shape, "F32")
        with lapwing.load(directory, "int8", profile="auto", switch_precision="token") as model:
            tokens = watch(model, root)
    for precision in COLOURS:
        of = [s for s, p in tokens if p == precision]
        print(f"{precision}: {len(of)} tokens")
    draw(tokens, arguments.shape, arguments.out)


if __name__ == "__main__":
    main()
