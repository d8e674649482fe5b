"""What installer/pins.txt says for one Python on one system."""

from pathlib import Path

from packaging.requirements import Requirement

FILE = Path(__file__).resolve().parent.parent / "installer/pins.txt"
SYSTEMS = {"linux": ("x86_64", "aarch64"), "win32": ("AMD64",), "darwin": ("arm64", "x86_64")}


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
