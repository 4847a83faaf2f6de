"""clang-tidy on the C++ of a target, with the options that the compiler gets:  tools/bazel build --config=tidy //cc/softnpu/base/...

An action for each source file, so Bazel runs it again only for files that have changed, or whose headers have. The checks are those of .clang-tidy.
"""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "ACTION_NAMES")
load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain", "use_cpp_toolchain")

_SUFFIXES = ["cc", "cpp"]

def _sources(ctx):
    """Our own source files among the attributes of a rule; not generated ones."""
    files = [file for target in getattr(ctx.rule.attr, "srcs", []) for file in target.files.to_list()]
    return [file for file in files if file.is_source and file.extension in _SUFFIXES and not file.path.startswith("external/")]

def _contexts(ctx, target):
    """Where the headers of the rule are."""
    found = [dep[CcInfo].compilation_context for name in ["deps", "implementation_deps"] for dep in getattr(ctx.rule.attr, name, []) if CcInfo in dep]
    if CcInfo in target:
        found.append(target[CcInfo].compilation_context)
    return cc_common.merge_compilation_contexts(compilation_contexts = found)

def _tidy_impl(target, ctx):
    if not ctx.rule.kind.startswith("cc_"):
        return []
    sources = _sources(ctx)
    if not sources:
        return []
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    context = _contexts(ctx, target)
    copts = [ctx.expand_make_variables("copts", option, {}) for option in getattr(ctx.rule.attr, "copts", [])]
    variables = cc_common.create_compile_variables(
        cc_toolchain = toolchain,
        feature_configuration = features,
        include_directories = context.includes,
        preprocessor_defines = depset(getattr(ctx.rule.attr, "local_defines", []), transitive = [context.defines]),
        quote_include_directories = context.quote_includes,
        system_include_directories = context.system_includes,
        user_compile_flags = copts + ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts,
    )
    options = cc_common.get_memory_inefficient_command_line(
        action_name = ACTION_NAMES.cpp_compile,
        feature_configuration = features,
        variables = variables,
    )
    outputs = []
    for source in sources:
        output = ctx.actions.declare_file("{}.{}.tidy".format(ctx.label.name, source.basename))
        outputs.append(output)

        # clang-tidy ends with 0 whatever it finds, unless findings are errors.
        ctx.actions.run_shell(
            inputs = depset([source, ctx.file._config], transitive = [context.headers, toolchain.all_files]),
            outputs = [output],
            tools = [ctx.executable._clang_tidy],
            command = '"$1" --quiet --config-file="$2" "$3" -- "${@:5}" >"$4.log" 2>&1 && mv "$4.log" "$4" || { cat "$4.log"; exit 1; }',
            arguments = [ctx.executable._clang_tidy.path, ctx.file._config.path, source.path, output.path] + options,
            mnemonic = "ClangTidy",
            progress_message = "clang-tidy " + source.short_path,
        )
    return [OutputGroupInfo(tidy = depset(outputs))]

tidy = aspect(
    implementation = _tidy_impl,
    attrs = {
        "_cc_toolchain": attr.label(default = Label("@bazel_tools//tools/cpp:current_cc_toolchain")),
        "_clang_tidy": attr.label(default = Label("@clang_tidy"), executable = True, cfg = "exec", allow_single_file = True),
        "_config": attr.label(default = Label("//:.clang-tidy"), allow_single_file = True),
    },
    fragments = ["cpp"],
    toolchains = use_cpp_toolchain(),
)
