"""Holds a program still at the worst moment, for tests that kill it there: Python runs this file when it starts.

PAUSE=NAME:FOLDER makes each program that is about to move a file onto NAME write its process id to FOLDER/reached and
wait until FOLDER/go is there.
"""

import os
import time
from pathlib import Path

if "PAUSE" in os.environ:
    name, _, folder = os.environ["PAUSE"].partition(":")
    move = os.replace

    def pausing_move(source, target, **options):
        """Move a file into place, after the wait where it is the file that was named."""
        if Path(target).name == name:
            Path(folder, "reached").write_text(str(os.getpid()))
            while not Path(folder, "go").exists():
                time.sleep(0.05)
        return move(source, target, **options)

    os.replace = pausing_move
