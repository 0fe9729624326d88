"""Text for minutes on end, by a machine that may be neither hot nor empty at the end of it.

    python examples/sustained_generation.py [MODEL] [--minutes 5] [--profile auto] [--max-temp 80]

Prints a line for every answer: tokens, speed, the share of time that was worked, precision, power
source and joules, with `–` for what this machine has no sensor for; at the end why, and whether the
first minute was faster than the last. `lapwing monitor` in another terminal shows it live.
"""

from __future__ import annotations

import argparse
import time

import lapwing

PROMPT = "Once upon a time"


def line(result: lapwing.GenerationResult, began_s: float) -> str:
    """`  12 s    128 tokens  412.0 tokens/s  duty 0.50  int8  mains    –`."""
    duty = "–" if result.duty is None else f"{result.duty:.2f}"
    joules = "–" if result.energy_j is None else f"{result.energy_j:.1f} J"
    rate = result.timings.decode_tps or 0.0
    return (
        f"{time.monotonic() - began_s:5.0f} s  {len(result.tokens):5} tokens  "
        f"{rate:7.1f} tokens/s  duty {duty}  {result.dtype}  {result.power_source or '–'}  {joules}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="tales", help="directory, hub id, or tales")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--profile", default="auto", help="auto, balanced, quiet, battery, …")
    parser.add_argument("--power", type=float, default=100.0, help="percent of the time to work")
    parser.add_argument("--max-temp", type=float, help="°C")
    parser.add_argument("--max-tokens", type=int, default=128, help="of one answer")
    arguments = parser.parse_args()

    with lapwing.load(
        arguments.model,
        profile=arguments.profile,
        power=arguments.power,
        max_temp=arguments.max_temp,
    ) as model:
        print(f"{model.backend} {model.isa}, {model.threads} threads, {model.governor.settings}")
        began_s, rates = time.monotonic(), list[float]()
        result = None
        while time.monotonic() - began_s < 60 * arguments.minutes:
            seed = len(rates)
            result = model.generate(
                PROMPT, max_tokens=arguments.max_tokens, temperature=0.8, seed=seed, ignore_eos=True
            )
            rates.append(result.timings.decode_tps or 0.0)
            print(line(result, began_s), flush=True)
            for note in result.governor:
                print(f"         {note}")
            if result.finish_reason == "battery":
                break
    if result is None:
        return
    for name, why in result.unknown.items():
        print(f"{name}: {why}")
    part = max(1, len(rates) // 5)
    first, last = sum(rates[:part]) / part, sum(rates[-part:]) / part
    print(f"first fifth {first:.1f} tokens/s, last fifth {last:.1f}: {last / first - 1:+.0%}")


if __name__ == "__main__":
    main()
