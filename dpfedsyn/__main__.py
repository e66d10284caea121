"""`python -m dpfedsyn`: the command line of `dpfedsyn.cli`."""

from dpfedsyn.cli import main

if __name__ == "__main__":
    main()
