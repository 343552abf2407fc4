"""`python -m flopwise` is the `flopwise` command."""

from .cli.app import main

if __name__ == "__main__":
    main()
