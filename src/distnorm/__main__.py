"""``python -m distnorm``: the command line."""

from distnorm.cli import main

if __name__ == "__main__":
    main()
