"""The process: where `nlpcli` and `python -m nlpcli` begin and end."""

import gc
import os
import signal
import sys
from typing import NoReturn

from nlpcli.errors import ExitCode, Terminated


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    # Nothing that start-up makes is garbage; collecting begins with the records.
    gc.disable()
    _fill_closed_streams()
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup has it ignored
            signal.signal(number, _terminate)
    try:
        from nlpcli.cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before run() could see to it
        code = ExitCode.INTERRUPTED
    except Terminated:
        code = ExitCode.TERMINATED
    # All is flushed and closed: to take the interpreter apart would only take time.
    os._exit(code)


def _terminate(number: int, frame: object) -> NoReturn:
    raise Terminated


def _fill_closed_streams() -> None:
    """Put /dev/null where a standard stream is closed, so that no file we open takes its number.

    Standard output gets one that cannot be written to: what should go there is an error.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w")  # noqa: SIM115
    if sys.stderr is None:
        os.open(os.devnull, os.O_WRONLY)
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


if __name__ == "__main__":
    main()
