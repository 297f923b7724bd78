"""The process: where `nlpcli` and `python -m nlpcli` begin and end."""

import gc
import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    # Nothing that start-up makes is garbage; collecting begins with the records.
    gc.disable()
    from nlpcli.cli import run

    code = run(sys.argv[1:])
    # All is flushed and closed: to take the interpreter apart would only take time.
    os._exit(code)


if __name__ == "__main__":
    main()
