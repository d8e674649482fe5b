#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install Hair Recolor for GIMP: one command, no administrator rights, nothing outside your home folder.

python3 install.py                install, repair or update
python3 install.py --demo [PHOTO] install, then recolor a photo and say where the picture is
python3 install.py --doctor       look whether everything works, and say what to do about what does not
python3 install.py --test         run all tests (in an environment of their own, beside this file)
python3 install.py --test --quick run those that take minutes and need no GIMP
python3 install.py --uninstall    remove everything that was installed
"""

# This file only chooses the Python; the work is done in the folder "installer". Any Python must be able to
# read it, however old, to say that it is too old.

import os
import subprocess
import sys

OLDEST, NEWEST = (3, 10), (3, 14)  # as pinned in installer/pins.txt
SOURCE = os.path.dirname(os.path.abspath(__file__))


def other_python():
    """The name of a Python on the PATH that will do, or None."""
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        name = "python3.%d" % minor
        for folder in os.environ.get("PATH", "").split(os.pathsep):
            if os.access(os.path.join(folder, name), os.X_OK):
                with open(os.devnull, "w") as nowhere:
                    if subprocess.call([name, "-c", "import venv"], stdout=nowhere, stderr=nowhere) == 0:
                        return name
    return None


def main():
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found = other_python()
        sys.stderr.write(
            "Not finished: this is Python %d.%d, and one from 3.%d to 3.%d is needed: %s\n"
            % (
                sys.version_info[0],
                sys.version_info[1],
                OLDEST[1],
                NEWEST[1],
                'there is one here, so run  %s "%s"  instead.' % (found, os.path.join(SOURCE, "install.py"))
                if found
                else "install one beside it (from python.org, or with your system's packages) and run this with it.",
            )
        )
        return 1
    sys.dont_write_bytecode = True  # the folder that this came in may be read-only, and stays as it is
    sys.path.insert(0, SOURCE)
    from installer.main import main

    return main(__doc__)


if __name__ == "__main__":
    sys.exit(main())
