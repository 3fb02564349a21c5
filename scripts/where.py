"""Print where the results are, and the main finding. Called by `make run` with the config files in force."""

import sys
from pathlib import Path

from cornerstone import present
from cornerstone.config import read_files
from cornerstone.errors import CornerstoneError

try:
    print(present.where(read_files([Path(name) for name in sys.argv[1:]])))
except CornerstoneError as error:
    sys.exit(f"{type(error).__name__}: {error}")
