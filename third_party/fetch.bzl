"""Fetching pinned files by package name: pip for wheels and sdists, apt-get for Debian packages.

No host name appears here, so a user's own mirrors are honoured; the sha256 of the lock decides what is accepted. Each file is
looked for in Bazel's repository cache first, and put there after it was fetched, so later fetches are offline.
"""

def find_python(rctx):
    """The interpreter that repository rules run: Python 3.11, for which the lock was made."""
    for name in ["python3.11", "python3"]:
        python = rctx.which(name)
        if python:
            result = rctx.execute([python, "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 11))"])
            if result.return_code == 0:
                return python
    fail("Python 3.11 is needed and neither python3.11 nor python3 on the PATH is one")

def run(rctx, command, what, **kwargs):
    """Runs a command; a failure ends the fetch with its output."""
    result = rctx.execute(command, **kwargs)
    if result.return_code != 0:
        fail("{} failed:\n{}\n{}".format(what, result.stdout[-4000:], result.stderr[-4000:]))
    return result.stdout

def pip_of(rctx, venv):
    """The command that runs pip for a virtual environment, which needs none of its own."""
    return [find_python(rctx), "-m", "pip", "--disable-pip-version-check", "--python", str(venv) + "/bin/python"]

def take_from_cache(rctx, sha256, output):
    """Takes a file from the repository cache: without a URL, nothing else can answer."""
    return rctx.download(
        url = [],
        output = output,
        sha256 = sha256,
        allow_fail = True,
        block = False,
    )

def hand_over(rctx, path, sha256, output):
    """Checks a fetched file and puts it into the repository cache."""
    rctx.download(url = ["file://" + str(path).replace("%", "%25")], output = output, sha256 = sha256)

def read_lock(ctx, label):
    """The entries of a lock.json by name."""
    return {package["name"]: package for package in json.decode(ctx.read(label))["packages"]}

def _why_pip_failed(packages, errors):
    """The message for a failed download: a sentence with the cure where pip's own lines would not give one."""
    for package in packages:
        requirement = "{name}=={version}".format(**package)
        if "+cpu" in requirement and "No matching distribution found for " + requirement in errors and "(from versions: none)" not in errors:
            return (
                "no index of pip offers {name} {version}, the build without CUDA: name PyTorch's CPU index (see pytorch.org) in " +
                "PIP_EXTRA_INDEX_URL and try again"
            ).format(**package)
    return "pip download failed:\n" + errors[-4000:]

def fetch_python_packages(rctx, packages, directory):
    """Fetches lock entries into `directory` under their own file names.

    Args:
        rctx: the repository context
        packages: entries of lock.json
        directory: where the files go
    Returns:
        paths of the files
    """
    output = [directory + "/" + package["file"] for package in packages]
    pending = [
        (package, path, take_from_cache(rctx, package["sha256"], path))
        for package, path in zip(packages, output)
    ]
    missing = [(package, path) for package, path, download in pending if not download.wait().success]
    if missing:
        rctx.report_progress("pip download of {} package(s)".format(len(missing)))
        lines = ["{name}=={version} --hash=sha256:{sha256}\n".format(**package) for package, _ in missing]
        rctx.file("_requirements.txt", "".join(lines))
        result = rctx.execute(
            [find_python(rctx)] + "-m pip --disable-pip-version-check download --quiet --no-deps --only-binary=:all:".split(" ") +
            "--require-hashes --dest _pip --requirement _requirements.txt".split(" "),
            timeout = 3600,
        )
        if result.return_code != 0:
            fail(_why_pip_failed([package for package, _ in missing], result.stderr))
        for package, path in missing:
            hand_over(rctx, rctx.path("_pip/" + package["file"]), package["sha256"], path)
        rctx.delete("_pip")
        rctx.delete("_requirements.txt")
    return [rctx.path(path) for path in output]

def fetch_debs(rctx, script, packages):
    """Fetches Debian packages.

    Args:
        rctx: the repository context
        script: label of tools/bootstrap/apt.py
        packages: entries of debian/lock.json
    Returns:
        paths of the .deb files
    """
    output = {package["name"]: "_debs/{}.deb".format(package["name"]) for package in packages}
    pending = [(package, take_from_cache(rctx, package["sha256"], output[package["name"]])) for package in packages]
    missing = [package for package, download in pending if not download.wait().success]
    unpinned = rctx.os.environ.get("VLLM_CANN_UNPINNED_DEBS") == "1"
    for package in missing:
        name = package["name"]
        rctx.report_progress("apt-get download of " + name)
        wanted = name if unpinned else name + "=" + package["version"]
        run(
            rctx,
            [find_python(rctx), rctx.path(script), package["suite"], rctx.path("_apt"), wanted],
            "fetching a Debian package (if this version has left the mirrors: VLLM_CANN_UNPINNED_DEBS=1 takes today's)",
            timeout = 1200,
        )
        [path] = rctx.path("_apt").readdir()
        hand_over(rctx, path, "" if unpinned else package["sha256"], output[name])
        rctx.delete("_apt")
    return [rctx.path(path) for path in output.values()]
