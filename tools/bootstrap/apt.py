#!/usr/bin/env python3
"""apt-get in private directories: any Debian suite, no root, nothing of the system changed.

As a program (repository rules run it):  apt.py SUITE DIRECTORY NAME[=VERSION]...
leaves the packages in DIRECTORY. The mirror is the machine's own; VLLM_CANN_DEBIAN_MIRROR=URI names
another one, for instance a snapshot that still has versions that others dropped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path


class Failure(Exception):
    """A problem that the user can act on."""


def run(*command: str | Path, cwd: Path | None = None, what: str) -> str:
    """Runs a command and returns its output; `what` names the step when it fails."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"{what} failed:\n{(done.stderr or done.stdout).strip()}")
    return done.stdout


class Apt:
    """apt-get with all its state in one private directory."""

    def __init__(self, work: Path, suite: str) -> None:
        self.debs = work / "debs"
        for sub in ("lists/partial", "cache/archives/partial", "debs"):
            (work / sub).mkdir(parents=True)
        mirror = os.environ.get("VLLM_CANN_DEBIAN_MIRROR") or self._machines_mirror()
        keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
        source = f"Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\n"
        if keyring.exists():
            source += f"Signed-By: {keyring}\n"
        (work / "debian.sources").write_text(source)
        options = {
            "Dir::Etc::sourcelist": work / "debian.sources",
            "Dir::Etc::sourceparts": "-",
            "Dir::Etc::preferences": "-",
            "Dir::Etc::preferencesparts": "-",
            "Dir::State::lists": work / "lists",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": work / "cache",
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        if "VLLM_CANN_DEBIAN_MIRROR" in os.environ:
            options["Acquire::Check-Valid-Until"] = "false"
        self.options = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        self("update", what="apt-get update")

    @staticmethod
    def _machines_mirror() -> str:
        """The mirror that this machine's own Debian release comes from."""
        release = Path("/etc/os-release").read_text()
        codename = re.search(r"^VERSION_CODENAME=(\S+)", release, re.M)
        if not re.search(r"^ID=\"?debian", release, re.M) or not codename:
            raise Failure("this is not Debian: set VLLM_CANN_DEBIAN_MIRROR to a Debian mirror")
        listing = run(
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE) $(COMPONENT)",
            what="apt-get indextargets",
        )
        names = {codename[1], "stable", "oldstable", "testing"}
        for line in listing.splitlines():
            uri, suite, component = line.rsplit(" ", 2)
            if suite in names and component == "main":
                return uri
        raise Failure("the apt sources of this machine name no mirror of its Debian release")

    def __call__(self, *arguments: str, what: str) -> str:
        return run("apt-get", "-qq", *self.options, *arguments, cwd=self.debs, what=what)

    def offered(self, names: list[str]) -> dict[str, str]:
        """File name -> sha256 of what the signed index offers."""
        listing = self("--print-uris", "download", *names, what="looking the packages up")
        return dict(re.findall(r"^'\S+' (\S+) \d+ SHA256:([0-9a-f]{64})$", listing, re.M))


def main(suite: str, directory: str, *packages: str) -> None:
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".apt-") as work:
        apt = Apt(Path(work), suite)
        apt("download", *packages, what=f"downloading {' '.join(packages)}")
        for deb in apt.debs.glob("*.deb"):
            deb.rename(target / deb.name)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Failure as failure:
        sys.exit(f"apt.py: {failure}")
