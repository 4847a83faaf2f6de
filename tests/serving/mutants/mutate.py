"""Copies a file with one piece of it replaced:  mutate.py IN OUT BEFORE AFTER. Fails unless the piece is there exactly once."""

import sys
from pathlib import Path


def main() -> None:
    """Runs the command line."""
    source, target, before, after = sys.argv[1:]
    text = Path(source).read_text()
    if text.count(before) != 1:
        sys.exit(f"{source} holds {text.count(before)} times: {before}")
    Path(target).write_text(text.replace(before, after))


if __name__ == "__main__":
    main()
