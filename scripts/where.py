"""Print where the results are, and the main finding (or just their folder, with --folder).

Called by `make run` with the config files in force: where.py [--folder] CONFIG...
"""

import sys
from pathlib import Path

from cornerstone.config.config import read_files
from cornerstone.errors import CornerstoneError
from cornerstone.present.terminal import where

folder_only = "--folder" in sys.argv
try:
    config = read_files([Path(name) for name in sys.argv[1:] if name != "--folder"])
    print(config.paths.results if folder_only else where(config))
except CornerstoneError as error:
    sys.exit(f"{type(error).__name__}: {error}")
