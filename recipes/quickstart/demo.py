"""`make demo`: makes the quickstart's data and takes it from recipe to stream with the commands a user would type."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
RECIPE = [sys.executable, "-m", "recipe_compiler"]

STEPS: tuple[tuple[str, list[str]], ...] = (
    ("Make a small multimodal data set: seven pools, seven shapes of file", ["generate"]),
    ("What would the first release do? Nothing is written yet", ["plan", "release-1.yaml"]),
    ("Compile two releases", ["compile", "release-1.yaml", "--quiet"]),
    ("", ["compile", "release-2.yaml", "--quiet"]),
    ("Prove that a manifest and all its pools are as compiled", ["verify", "build/quickstart-1.0"]),
    ("What changed between the releases?", ["diff", "build/quickstart-1.0", "build/quickstart-1.1"]),
    ("Why is this sample in the first release?", ["explain", "build/quickstart-1.0", "receipt-000010"]),
    (
        "Which samples are in training step 60, at 16 a step?",
        ["show", "build/quickstart-1.1", "--step", "60", "--batch", "16"],
    ),
    ("Four organisations of the same samples", ["compile", "mixed.yaml", "--quiet"]),
    ("", ["compile", "curriculum.yaml", "--quiet"]),
    ("", ["compile", "balanced.yaml", "--quiet"]),
    ("", ["compile", "reverse.yaml", "--quiet"]),
    (
        "Their selections are the same and their orders are not",
        ["diff", "build/quickstart-mixed", "build/quickstart-curriculum"],
    ),
    ("Stream an epoch, images decoded", ["bench", "build/quickstart-1.1", "--decode"]),
    (
        "Fine-tune a tiny model for a minute, and see what it can do: exact matches in %, of 200 questions a task",
        ["study"],
    ),
)

#: Steps that are no commands of `recipe`.
SCRIPTS = {"generate": ["generate.py", "--out", "data"], "study": ["../data_organization/run.py", "--demo"]}

NEXT = """\
Try next, in recipes/quickstart:
  recipe plan release-2.yaml                      after changing a share, a stage or a filter in it
  recipe show build/quickstart-1.1 --position 0   the very first sample, with its messages and image
  recipe compile release-1.yaml --out /tmp/again  the same bytes, wherever and whenever
and in a folder of your own data:
  recipe init                                     writes a first recipe that compiles
(`recipe` is .venv/bin/recipe)
"""

#: Lines of one command's output that the demo shows; the command itself shows all.
SHOWN = 48
#: Of a compile, the identities; the plan before it showed the rest.
IDENTITIES = 5


def main() -> None:
    """Runs every step and stops at the first that fails."""
    begun = time.perf_counter()
    for title, arguments in STEPS:
        if title:
            print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}")
        if arguments[0] in SCRIPTS:
            command = [sys.executable, *SCRIPTS[arguments[0]]]
            print(f"$ python {' '.join(command[1:])}", flush=True)
        else:
            print(f"$ recipe {' '.join(arguments)}")
            command = [*RECIPE, *arguments]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
        limit = IDENTITIES if arguments[0] == "compile" else SHOWN
        shown = done.stdout.splitlines()
        print("\n".join(shown[:limit]) + ("\n..." if len(shown) > limit else ""))
        if done.returncode:
            sys.exit(done.stderr)
    print(f"\nall of this took {time.perf_counter() - begun:.0f} s\n")
    print(NEXT, end="")


if __name__ == "__main__":
    main()
