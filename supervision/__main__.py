"""`python -m supervision`: the command line."""

from supervision.cli import main

if __name__ == "__main__":
    main()
