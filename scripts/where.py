"""Print where the results are, and the main finding (or just their folder, with --folder).

Called by `make run` with the config files in force: where.py [--folder] CONFIG...
"""

import sys
from pathlib import Path

from cornerstone.config import read_files
from cornerstone.errors import CornerstoneError

folder_only = "--folder" in sys.argv
try:
    config = read_files([Path(name) for name in sys.argv[1:] if name != "--folder"])
    if folder_only:
        print(config.paths.results)
    else:
        from cornerstone import present  # slow to import: it draws figures, too

        print(present.where(config))
except CornerstoneError as error:
    sys.exit(f"{type(error).__name__}: {error}")
