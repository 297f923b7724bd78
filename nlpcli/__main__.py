"""`python -m nlpcli`, the same as the `nlpcli` command."""

from nlpcli.cli import main

if __name__ == "__main__":
    main()
