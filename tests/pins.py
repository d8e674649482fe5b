"""What installer/pins.txt says for one Python on one system; as a program: asks pip whether all of it can be had.

python tests/pins.py [FIRST WORDS OF WHERE ...]     for example  python tests/pins.py 3.14 win32
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

FILE = Path(__file__).resolve().parent.parent / "installer/pins.txt"
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
MACHINES = {  # pip's names of the platforms whose packages fit
    ("linux", "x86_64"): [f"manylinux_2_{n}_x86_64" for n in (17, 27, 28)] + ["manylinux2014_x86_64"],
    ("linux", "aarch64"): [f"manylinux_2_{n}_aarch64" for n in (17, 27, 28)] + ["manylinux2014_aarch64"],
    ("win32", "AMD64"): ["win_amd64"],
    ("darwin", "arm64"): [f"macosx_{n}_0_{kind}" for n in range(11, 16) for kind in ("arm64", "universal2")],
    ("darwin", "x86_64"): [f"macosx_10_{n}_{kind}" for n in range(9, 17) for kind in ("x86_64", "universal2")]
    + [f"macosx_{n}_0_x86_64" for n in range(11, 16)],
}
NOT_BUILT = ("3.14", "darwin", "x86_64")  # ONNX Runtime; install.py says so


def read_pins(python: str, system: str = "linux", machine: str = "x86_64") -> list[tuple[str, str]]:
    """(name, version) of every package that is pinned there. python: "3.12"."""
    where = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": system}
    where["platform_machine"] = machine
    found = []
    for line in FILE.read_text().splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            if pin.marker is None or pin.marker.evaluate(where):
                found.append((pin.name, str(pin.specifier).removeprefix("==")))
    return found


def resolve(python: str, system: str, machine: str) -> subprocess.CompletedProcess:
    """Let pip look for the product's packages and what they need, built for that system; nothing is installed."""
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "pins.txt")  # pip would judge the conditions by the Python that it runs in
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in read_pins(python, system, machine)))
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--only-binary=:all:"]
        command += ["--quiet", "--disable-pip-version-check", "--target", folder, "--constraint", constraints]
        command += ["--python-version", python, "--implementation", "cp", "--abi", "cp" + python.replace(".", "")]
        command += ["--abi", "abi3", "--abi", "none", *(f"--platform={name}" for name in MACHINES[system, machine])]
        wanted = [
            "numba",
            "numpy",
            "opencv-python-headless",
            "Pillow",
            "psutil",
            "tifffile",
            "xxhash",
            "onnxruntime",
            "hatchling",
        ]
        return subprocess.run([*command, *wanted], capture_output=True, text=True)


if __name__ == "__main__":
    worst = 0
    for place in ((python, *machine) for python in PYTHONS for machine in MACHINES):
        if place != NOT_BUILT and list(place[: len(sys.argv) - 1]) == sys.argv[1:]:
            done = resolve(*place)
            worst = max(worst, done.returncode)
            print(*place, "can be had" if done.returncode == 0 else done.stderr, flush=True)
    sys.exit(worst)
