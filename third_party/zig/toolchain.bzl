"""The cc_toolchain of one target: plain clang and LLD with the sysroot of repositories.bzl.

Nothing of the machine is used: no default include directory, no default library, no start file of its compiler. Libraries are
linked statically except glibc (2.28), whose stubs come last on the command line.
Features besides Bazel's own: asan, ubsan, tsan (see //:.bazelrc).
"""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "ACTION_NAMES")
load(
    "@bazel_tools//tools/cpp:cc_toolchain_config_lib.bzl",
    "feature",
    "flag_group",
    "flag_set",
    "tool_path",
    "with_feature_set",
)

_C_COMPILE = [ACTION_NAMES.c_compile, ACTION_NAMES.assemble, ACTION_NAMES.preprocess_assemble]
_CPP_COMPILE = [ACTION_NAMES.cpp_compile, ACTION_NAMES.cpp_header_parsing, ACTION_NAMES.linkstamp_compile]
_COMPILE = _C_COMPILE + _CPP_COMPILE
_EXECUTABLE = [ACTION_NAMES.cpp_link_executable]
_SHARED = [ACTION_NAMES.cpp_link_dynamic_library, ACTION_NAMES.cpp_link_nodeps_dynamic_library]
_LINK = _EXECUTABLE + _SHARED

# How zig builds its libc++; programs that use it have to agree.
_LIBCXX_DEFINES = [
    "-D_LIBCPP_ABI_VERSION=1",
    "-D_LIBCPP_ABI_NAMESPACE=__1",
    "-D_LIBCPP_HAS_THREADS=1",
    "-D_LIBCPP_HAS_MONOTONIC_CLOCK",
    "-D_LIBCPP_HAS_TERMINAL",
    "-D_LIBCPP_HAS_MUSL_LIBC=0",
    "-D_LIBCXXABI_DISABLE_VISIBILITY_ANNOTATIONS",
    "-D_LIBCPP_DISABLE_VISIBILITY_ANNOTATIONS",
    "-D_LIBCPP_HAS_VENDOR_AVAILABILITY_ANNOTATIONS=0",
    "-D_LIBCPP_HAS_FILESYSTEM=1",
    "-D_LIBCPP_HAS_RANDOM_DEVICE",
    "-D_LIBCPP_HAS_LOCALIZATION",
    "-D_LIBCPP_HAS_UNICODE",
    "-D_LIBCPP_HAS_WIDE_CHARACTERS",
    "-D_LIBCPP_HAS_NO_STD_MODULES",
    "-D_LIBCPP_HAS_TIME_ZONE_DATABASE",
    "-D_LIBCPP_PSTL_BACKEND_SERIAL",
    "-D_LIBCPP_HARDENING_MODE=_LIBCPP_HARDENING_MODE_NONE",
    "-D_LIBCPP_ENABLE_CXX17_REMOVED_UNEXPECTED_FUNCTIONS",
]

_REPRODUCIBLE = [
    "-no-canonical-prefixes",
    "-ffile-compilation-dir=.",
    "-Wno-builtin-macro-redefined",
    '-D__DATE__="redacted"',
    '-D__TIME__="redacted"',
    '-D__TIMESTAMP__="redacted"',
]

_MODES = {
    # mode: (compile flags, link flags)
    "opt": (["-O2", "-DNDEBUG", "-g0", "-ffunction-sections", "-fdata-sections"], ["-Wl,--gc-sections", "-Wl,-s"]),
    "fastbuild": (["-O1", "-g1", "-fno-omit-frame-pointer"], []),
    "dbg": (["-O0", "-g", "-fno-omit-frame-pointer"], []),
}

_SANITIZERS = {
    # feature: (-fsanitize=, extra flags)
    "asan": ("address", ["-fno-omit-frame-pointer"]),
    # Not vptr, which looks at the types of objects through one C++ library of the process, as each of our libraries has its own inside;
    # not function, as who calls a C function and who has it declare enumerations and handles each for themselves.
    "ubsan": ("undefined", ["-fno-sanitize=vptr,function", "-fno-sanitize-recover=all"]),
    "tsan": ("thread", []),
}

def _set(actions, flags, mode = None):
    """A flag_set of fixed flags, optionally for one compilation mode only."""
    return flag_set(
        actions = actions,
        flag_groups = [flag_group(flags = flags)] if flags else [],
        with_features = [with_feature_set(features = [mode])] if mode else [],
    )

def _config_impl(ctx):
    target = "{}-unknown-linux5.10.0-gnu2.{}.0".format(ctx.attr.arch, ctx.attr.glibc_minor)
    includes = [flag for directory in ctx.attr.header_directories for flag in ("-isystem", directory)]
    c_includes = [flag for directory in ctx.attr.header_directories if "/libcxx" not in directory for flag in ("-isystem", directory)]

    compile_flags = feature(
        name = "default_compile_flags",
        enabled = True,
        flag_sets = [
            _set(_COMPILE, [
                "--target=" + target,
                "--no-default-config",
                "-nostdinc",
                "-fPIC",
                "-D__GLIBC_MINOR__=" + ctx.attr.glibc_minor,
            ] + _REPRODUCIBLE),
            _set(_CPP_COMPILE, ["-nostdinc++", "-std=c++20"] + _LIBCXX_DEFINES),
            _set([ACTION_NAMES.c_compile], ["-std=c17"]),
        ] + [_set(_COMPILE, flags, mode) for mode, (flags, _) in _MODES.items()],
    )

    # After the user's own include directories.
    system_headers = feature(
        name = "system_headers",
        enabled = True,
        flag_sets = [_set(_CPP_COMPILE, includes), _set(_C_COMPILE, c_includes)],
    )
    link_flags = feature(
        name = "default_link_flags",
        enabled = True,
        flag_sets = [
            _set(_LINK, [
                "--target=" + target,
                "--no-default-config",
                "-no-canonical-prefixes",
                "--ld-path=" + ctx.file.lld.path,
                "-nostdlib",
                "-nostartfiles",
                "-Wl,--build-id=sha1",
                "-Wl,--eh-frame-hdr",
                "-Wl,--as-needed",
                "-Wl,-z,relro,-z,now,-z,noexecstack",
            ]),
            _set(_EXECUTABLE, ["-pie", ctx.file.start_file.path]),
            # The runtime inside a library must not serve, nor be replaced by, the one of another library in the process.
            _set(_SHARED, ["-Wl,--exclude-libs," + ":".join([file.basename for file in ctx.files.archives])]),
        ] + [_set(_LINK, flags, mode) for mode, (_, flags) in _MODES.items()],
    )
    sanitizers = [
        feature(
            name = name,
            flag_sets = [
                _set(_COMPILE, ["-fsanitize=" + kind] + extra),
                _set(
                    _EXECUTABLE,
                    ["-Wl,--export-dynamic", "-Wl,--whole-archive"] + [file.path for file in ctx.files.sanitizer_runtime] + ["-Wl,--no-whole-archive"],
                ),
            ],
        )
        for name, (kind, extra) in _SANITIZERS.items()
    ]

    # Named as files, and last: they serve the program and the libraries before them.
    stub_directory = ctx.files.stubs[0].dirname
    runtime = feature(
        name = "runtime_libraries",
        enabled = True,
        flag_sets = [_set(_LINK, [file.path for file in ctx.files.archives + ctx.files.stubs])],
    )
    search = feature(
        name = "stub_directory",
        enabled = True,
        flag_sets = [_set(_LINK, ["-L" + stub_directory])],
    )
    modes = [feature(name = mode) for mode in _MODES]
    pic = [
        feature(name = "supports_pic", enabled = True),
        feature(name = "prefer_pic_for_opt_binaries", enabled = True),
        feature(name = "supports_dynamic_linker", enabled = True),
        feature(name = "supports_start_end_lib", enabled = True),
    ]

    return cc_common.create_cc_toolchain_config_info(
        ctx = ctx,
        toolchain_identifier = "zig_" + ctx.attr.arch,
        target_cpu = ctx.attr.arch,
        target_system_name = target,
        target_libc = "glibc_2." + ctx.attr.glibc_minor,
        compiler = "clang",
        abi_version = "unknown",
        abi_libc_version = "unknown",
        cxx_builtin_include_directories = ctx.attr.header_directories,
        tool_paths = [
            tool_path(name = name, path = path)
            for name, path in {
                "ar": "bin/ar",
                "cpp": "bin/clang",
                "gcc": "bin/clang",
                "gcov": "bin/missing",
                "ld": "bin/ld.lld",
                "nm": "bin/missing",
                "objcopy": "bin/objcopy",
                "objdump": "bin/missing",
                "strip": "bin/missing",
            }.items()
        ],
        features = modes + pic + [compile_flags, system_headers, link_flags, search] + sanitizers + [runtime],
    )

_zig_toolchain_config = rule(
    implementation = _config_impl,
    attrs = {
        "arch": attr.string(mandatory = True),
        "archives": attr.label_list(allow_files = True),
        "glibc_minor": attr.string(mandatory = True),
        "header_directories": attr.string_list(),
        "lld": attr.label(allow_single_file = True),
        "sanitizer_runtime": attr.label_list(allow_files = True),
        "start_file": attr.label(allow_single_file = True),
        "stubs": attr.label_list(allow_files = True),
    },
    provides = [CcToolchainConfigInfo],
)

def zig_toolchain(name, arch, zig, headers, header_directories, glibc_minor, archives, stubs, sanitizer_runtime):
    """Defines the cc_toolchain of a sysroot repository.

    Args:
        name: name of the cc_toolchain
        arch: target CPU
        zig: the zig binary
        headers: all headers of the sysroot
        header_directories: their directories, in search order
        glibc_minor: minor version of the target's glibc
        archives: static runtime libraries
        stubs: link-time stand-ins for glibc's shared libraries
        sanitizer_runtime: archives that a sanitized executable is linked with
    """
    _zig_toolchain_config(
        name = name + "_config",
        arch = arch,
        archives = archives,
        glibc_minor = glibc_minor,
        header_directories = header_directories,
        lld = "bin/ld.lld",
        sanitizer_runtime = [sanitizer_runtime],
        start_file = "lib/Scrt1.o",
        stubs = stubs,
    )
    native.filegroup(name = name + "_compiler", srcs = ["bin/clang", zig, headers])
    native.filegroup(name = name + "_archiver", srcs = ["bin/ar", zig])
    native.filegroup(name = name + "_objcopy", srcs = ["bin/objcopy", zig])
    native.filegroup(name = name + "_linker", srcs = ["bin/clang", "bin/ld.lld", "lib/Scrt1.o", zig] + archives + stubs + [sanitizer_runtime])
    native.filegroup(name = name + "_all", srcs = [name + suffix for suffix in ["_compiler", "_archiver", "_objcopy", "_linker"]])
    native.filegroup(name = name + "_none")
    native.cc_toolchain(
        name = name,
        all_files = name + "_all",
        ar_files = name + "_archiver",
        as_files = name + "_compiler",
        compiler_files = name + "_compiler",
        dwp_files = name + "_none",
        linker_files = name + "_linker",
        objcopy_files = name + "_objcopy",
        strip_files = name + "_objcopy",
        supports_param_files = True,
        toolchain_config = name + "_config",
        visibility = ["//visibility:public"],
    )
