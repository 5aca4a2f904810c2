"""`python -m supervision`: the command line."""

from supervision.commands.cli import main

if __name__ == "__main__":
    main()
