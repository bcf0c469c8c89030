"""`python -m rlctl.worker RUN_DIRECTORY` is the worker process."""

import sys

from rlctl.worker.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
