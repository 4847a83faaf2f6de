"""softnpu build and check of folders: what is found, what it is built with, and the verdicts in each form."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import softnpu
from softnpu import cases, check, cli, project

if zig := os.environ.get("ZIG"):
    os.environ["CXX"] = f"{Path(zig).resolve()} c++ -nostdlib++"
    os.environ.setdefault("ZIG_GLOBAL_CACHE_DIR", str(Path(os.environ.get("TEST_TMPDIR", "/tmp")) / "zig"))

ROOT = Path.cwd() if "BAZEL_TEST" in os.environ else Path(__file__).resolve().parents[2]

TILES = """\
#include "kernel_operator.h"
using namespace AscendC;

extern "C" __global__ __aicore__ void {name}(GM_ADDR x, GM_ADDR z, GM_ADDR workspace, GM_ADDR tiling) {{
  GET_TILING_DATA(sizes, tiling);
  const uint32_t count = sizes.totalLength / GetBlockNum();
  GlobalTensor<DTYPE_X> from;
  GlobalTensor<DTYPE_Z> to;
  from.SetGlobalBuffer((__gm__ DTYPE_X*)x + count * GetBlockIdx(), count);
  to.SetGlobalBuffer((__gm__ DTYPE_Z*)z + count * GetBlockIdx(), count);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, count * sizeof(DTYPE_X));
  LocalTensor<DTYPE_X> tile = buffer.Get<DTYPE_X>();
  DataCopy(tile, from, count);
  {order}
  Adds(tile, tile, static_cast<DTYPE_X>(sizes.step), count);
  SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
#if ORIG_DTYPE_X == DT_FLOAT16
  DataCopy(to, tile, count);
#endif
}}
"""
ORDER = "SetFlag<HardEvent::MTE2_V>(EVENT_ID0); WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);"
TILING = """\
#include "register/tilingdata_base.h"
namespace optiling {
BEGIN_TILING_DATA_DEF(AddsTilingData)
TILING_DATA_FIELD_DEF(uint32_t, totalLength);
TILING_DATA_FIELD_DEF(float, step);
END_TILING_DATA_DEF;
REGISTER_TILING_DATA_CLASS(Adds, AddsTilingData)
}
"""
DEFINITION = """\
#include "register/op_def_registry.h"
namespace ops {
class Adds : public OpDef {
 public:
  explicit Adds(const char* name) : OpDef(name) {
    this->Input("x").ParamType(REQUIRED).DataType({ge::DT_FLOAT16, ge::DT_FLOAT}).Format({ge::FORMAT_ND, ge::FORMAT_ND});
    this->Output("z").ParamType(REQUIRED).DataType({ge::DT_FLOAT16, ge::DT_FLOAT}).Format({ge::FORMAT_ND, ge::FORMAT_ND});
  }
};
}
"""
CASES = """\
[kernels.adds]
blocks = 4
arguments = [
  { array = "float16", shape = [4, 256], fill = "random" },
  { output = "float16", shape = [4, 256] },
  { workspace = 1024 },
  { tiling = { totalLength = 1024, step = 0.5 } },
]
"""
PLAIN = """\
#include "kernel_operator.h"
#include "sizes.h"
using namespace AscendC;
__global__ __aicore__ void store(GM_ADDR x, int32_t count) {
  GlobalTensor<int32_t> to;
  to.SetGlobalBuffer((__gm__ int32_t*)x, count);
  to.SetValue(0, count);
}
struct Unknown { int32_t a; };
__global__ __aicore__ void unknown(GM_ADDR x, Unknown by) {}
__global__ __aicore__ void sized(GM_ADDR x, const Sizes sizes) {
  GlobalTensor<int32_t> to;
  to.SetGlobalBuffer((__gm__ int32_t*)x, 1);
  to.SetValue(sizes.totalLength == 16384 && sizes.tile_num == 8 ? 0 : 1 << 28, 1);
}
__global__ __aicore__ void needs_more(GM_ADDR x) {
  GlobalTensor<int32_t> to;
  to.SetGlobalBuffer((__gm__ int32_t*)x);
  to.SetValue(1 << 28, 1);
}
__global__ __aicore__ void far(GM_ADDR x) {
  GlobalTensor<int32_t> from;
  from.SetGlobalBuffer((__gm__ int32_t*)16, 8);
  from.SetValue(0, 1);
}
"""
CORES = """\
#include "kernel_operator.h"
using namespace AscendC;
__global__ __aicore__ void two_cores(GM_ADDR x) {
  GlobalTensor<int32_t> to;
  to.SetGlobalBuffer((__gm__ int32_t*)x, 1);
  to.SetValue(0, GetBlockIdx());
}
"""
BROKEN = '#include "kernel_operator.h"\n__global__ __aicore__ void broken(GM_ADDR x) {\n  NoSuchName(x);\n}\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of an operator, a plain folder, what is no kernel, and what is not looked at; the current folder is above it."""
    files = {
        "adds/op_kernel/adds.cpp": TILES.format(name="adds", order=ORDER),
        "adds/op_host/adds.cpp": DEFINITION,
        "adds/op_host/adds_tiling.h": TILING,
        "adds/softnpu.toml": CASES,
        "plain/store.cpp": PLAIN,
        "plain/broken.asc": BROKEN,
        "plain/cores.cpp": CORES,
        "plain/sizes.h": "#pragma once\nstruct Sizes { uint32_t totalLength; int32_t tile_num; };\n",
        "plain/tool.cc": "int main() {}\n",
        "build/old.cpp": PLAIN,
        ".git/old.cpp": PLAIN,
    }
    for name, text in files.items():
        (tmp_path / "repository" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "repository" / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return Path("repository")


def _softnpu(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "softnpu", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_what_is_found(folder: Path) -> None:
    sources, others = project.find(folder)
    assert [(str(s.path), s.auto_sync) for s in sources] == [
        ("repository/adds/op_kernel/adds.cpp", True),
        ("repository/plain/broken.asc", True),
        ("repository/plain/cores.cpp", True),
        ("repository/plain/store.cpp", True),
    ]
    assert sources[0].tiling == (folder / "adds/op_host/adds_tiling.h").resolve()
    assert {"DTYPE_X=half", "ORIG_DTYPE_Z=DT_FLOAT16", "FORMAT_X=FORMAT_ND", "DT_FLOAT16=1"} <= set(sources[0].types)
    assert "DTYPE_X=float" in project.find(folder, column=1)[0][0].types
    assert [(str(o.path), o.reason) for o in others] == [
        ("repository/adds/op_host/adds.cpp", "host code of an operator"),
        ("repository/plain/tool.cc", "defines no kernel"),
    ]


@pytest.mark.parametrize(
    ("cmake", "ordered"),
    [
        ("ascendc_library(k SHARED store.cpp)", True),
        ("ascendc_library(k SHARED s)\nadd_compile_options(--cce-auto-sync=off)", False),
        ("", False),
    ],
)
def test_the_cmake_files_say_whether_the_compiler_orders(folder: Path, cmake: str, ordered: bool) -> None:
    (folder / "plain/CMakeLists.txt").write_text(cmake)
    assert [s.auto_sync for s in project.find(folder)[0]] == [True, ordered, ordered, ordered]


def test_build_of_a_folder(folder: Path) -> None:
    done = _softnpu("build", folder)
    assert done.returncode == 1
    lines = [re.split(r"  +", line) for line in done.stdout.splitlines()]
    assert lines[0] == ["repository/adds/op_kernel/adds.cpp", "built", "adds"]
    assert lines[1][1] == "not built"
    assert re.search(r"plain/broken\.asc:3: .*NoSuchName", lines[1][2])
    assert lines[3][2] == "store, unknown, sized, needs_more, far"
    assert lines[4][1:] == ["left out", "host code of an operator"]
    assert (folder / "softnpu-build/adds/op_kernel/adds.cpp.twin.so").is_file()
    again = json.loads(_softnpu("build", folder, "--json", "-o", folder / "softnpu-build").stdout)
    assert again["built"][0]["kernels"] == ["adds"]
    assert again["not_built"][0]["line"] == 3
    assert len(again["left_out"]) == 2, "twins and their folder are not looked at"


def test_a_source_of_an_operator_is_built_alone(folder: Path) -> None:
    twin = softnpu.load(softnpu.build(folder / "adds/op_kernel/adds.cpp", output=folder / "adds.so"))
    sizes = np.zeros(1, softnpu.tiling(folder / "adds/op_host/adds_tiling.h"))
    sizes["totalLength"], sizes["step"] = 64, 1.5
    x, z = np.arange(64, dtype=np.float16), np.zeros(64, np.float16)
    softnpu.launch(twin["adds"], x, softnpu.Output(z), None, sizes.view(np.uint8))
    assert (z == x + 1.5).all()
    # What the call says holds: with floats the kernel stores nothing.
    twin = softnpu.load(softnpu.build(folder / "adds/op_kernel/adds.cpp", output=folder / "b.so", options=("-DORIG_DTYPE_X=DT_FLOAT",)))
    with pytest.raises(softnpu.KernelError, match="not all written"):
        softnpu.launch(twin["adds"], x, softnpu.Output(z), None, sizes.view(np.uint8))


def test_each_tiling_key_is_launched(folder: Path) -> None:
    text = """
#include "kernel_operator.h"
__global__ __aicore__ void keyed(GM_ADDR x) {
  AscendC::GlobalTensor<int32_t> to;
  to.SetGlobalBuffer((__gm__ int32_t*)x);
  if (TILING_KEY_IS(10UL)) to.SetValue(0, 1);
  if (TILING_KEY_IS(20)) AscendC::PipeBarrier<PIPE_FIX>();
}
"""
    (folder / "keys").mkdir()
    (folder / "keys/keyed.cpp").write_text(text)
    (verdict,) = check.check(folder / "keys", check.Settings(folder / "out"))
    assert (verdict.verdict, verdict.line) == ("fault", 7)
    assert verdict.message.startswith("tiling key 20: ")
    (folder / "keys/softnpu.toml").write_text("[kernels.keyed]\ntiling_key = 10\narguments = [{ zeros = 64 }]\n")
    (verdict,) = check.check(folder / "keys", check.Settings(folder / "out"))
    assert verdict.verdict == "ok"


def test_verdicts(folder: Path) -> None:
    sarif = folder / "report.sarif"
    done = _softnpu("check", folder, "--json", "--sarif", sarif)
    assert done.returncode == 1
    found = {verdict["kernel"]: verdict for verdict in json.loads(done.stdout)}
    assert {name: verdict["verdict"] for name, verdict in found.items()} == {
        "adds": "ok",
        "": "not built",
        "store": "ok",
        "two_cores": "fault",
        "unknown": "not launched",
        "sized": "ok",
        "needs_more": "not launched",
        "far": "fault",
    }
    assert not found["adds"]["guessed"]
    assert found["adds"]["auto_sync"]
    assert found["adds"]["microseconds"] > 0
    assert found["store"]["guessed"]
    assert (found["two_cores"]["rule"], found["two_cores"]["file"], found["two_cores"]["line"]) == ("race", "repository/plain/cores.cpp", 6)
    assert "nobody says what a of its parameter by (Unknown) holds" in found["unknown"]["message"]
    assert "too small" in found["needs_more"]["message"]
    assert (found[""]["file"], found[""]["line"]) == ("repository/plain/broken.asc", 3)
    assert done.stderr.count("\n") == 4, "a line of progress for each source"

    report = json.loads(sarif.read_text())
    assert report["version"] == "2.1.0"
    results = report["runs"][0]["results"]
    assert sorted((r["ruleId"], r["level"]) for r in results) == [
        ("bounds", "error"),
        ("not-built", "error"),
        ("not-launched", "note"),
        ("not-launched", "note"),
        ("race", "error"),
    ]
    race = next(r for r in results if r["ruleId"] == "race")["locations"][0]["physicalLocation"]
    assert race == {"artifactLocation": {"uri": "repository/plain/cores.cpp"}, "region": {"startLine": 6}}
    assert {rule["id"] for rule in report["runs"][0]["tool"]["driver"]["rules"]} == {r["ruleId"] for r in results}


def test_a_clean_folder_and_its_fault(folder: Path) -> None:
    done = _softnpu("check", folder / "adds", "--schedules", 3)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(
        r"adds  ok  repository/adds/op_kernel/adds\.cpp  \d+\.\d us \(modelled\)\n"
        r"1 ok, 0 fault, 0 not built, 0 not launched; --cce-auto-sync on\n",
        done.stdout,
    )
    (folder / "adds/op_kernel/adds.cpp").write_text(TILES.format(name="adds", order=""))
    done = _softnpu("check", folder / "adds", "--lines")
    assert done.returncode == 1
    assert re.match(r"repository/adds/op_kernel/adds\.cpp:17:1: error: adds: race .*MTE2_V.* \[race\]\n$", done.stdout), done.stdout


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("{ tiling = { total = 1 } }", "the tiling has no field 'total'; it has totalLength, step"),
        ("{ tiling = { totalLength = -1 } }", "totalLength of the tiling is -1, it has to be an integer from 0 to 4294967295"),
        ("{ tiling = { totalLength = [1, 2] } }", "totalLength of the tiling is [1, 2]: "),
        ('{ tiling = { step = 1 }, header = "absent.h" }', "absent.h"),
        ('{ array = "float64", shape = [1099511627776, 1099511627776] }', "softnpu.toml: "),
        ('{ array = "int8", shape = [1099511627776, 4194304] }', "softnpu.toml: Unable to allocate"),
    ],
)
def test_arguments_that_cannot_be_made(folder: Path, case: str, message: str) -> None:
    (folder / "adds/softnpu.toml").write_text(f"[kernels.adds]\narguments = [{case}]\n")
    (verdict,) = check.check(folder / "adds", check.Settings(folder / "out"))
    assert verdict.verdict == "not launched"
    assert message in verdict.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[kernels.adds", "softnpu.toml: "),
        ("kernels = 3", "kernels is 3, it has to be a table"),
        ("[kernel.adds]\nblocks = 1", "the file has the unknown key 'kernel'; there are kernels"),
        ("[kernels]\nadds = 1", "kernels.adds is 1, it has to be a table"),
        ("[kernels.adds]\nblock = 1", "kernels.adds has the unknown key 'block'; there are blocks, tiling_key, arguments"),
        ("[kernels.adds]\nblocks = 65536", "kernels.adds.blocks is 65536, it has to be an integer from 1 to 65535"),
        ("[kernels.adds]\ntiling_key = -1", "kernels.adds.tiling_key is -1"),
        ("[kernels.adds]\narguments = 1", "kernels.adds.arguments is 1, it has to be a list of tables"),
        ("[kernels.adds]\narguments = [1]", "kernels.adds.arguments[0] is 1, it has to be a table"),
        ("[kernels.adds]\narguments = [{ null = true }, { zeros = -1 }]", "kernels.adds.arguments[1].zeros is -1"),
        *(
            (f"[kernels.adds]\narguments = [{given}]", message)
            for given, message in [
                ('{ array = "float16", shape = [4], fill = "zero" }', "fill is 'zero'; there are 'random', 'range' and numbers"),
                ('{ array = "float16", shape = [4], fil = 1 }', "has the unknown key 'fil'; there are array, shape, fill"),
                ('{ array = "float17" }', "array is 'float17'; there are bool, int8"),
                ('{ output = "int8", shape = [-1] }', "shape: a size is -1, it has to be an integer from 0 to 1099511627776"),
                ('{ output = "int8", shape = 4 }', "shape is 4, it has to be a list of integers"),
                ('{ array = "int8", fill = 128 }', "fill is 128, it has to be an integer from -128 to 127"),
                ("{ int32 = 1, float32 = 2 }", "it has to say one of array, output"),
                ("{ bfloat16 = 1 }", "it has to say one of array, output"),
                ("{ uint8 = 256 }", "uint8 is 256, it has to be an integer from 0 to 255"),
                ("{ int32 = 1.5 }", "int32 is 1.5, it has to be an integer from"),
                ("{ float16 = 1e6 }", "float16 is 1000000.0, the largest float16 is 65504.0"),
                ("{ bool = 2 }", "bool is 2, it has to be true or false"),
                ("{ workspace = 1e3 }", "workspace is 1000.0, it has to be an integer"),
                ("{ tiling = 1 }", "tiling is 1, it has to be a table"),
                ("{ value = { a = 1 }, header = 1 }", "header is 1, it has to be a string"),
                ("{ null = false }", "null is False, it has to be true"),
            ]
        ),
    ],
)
def test_a_file_that_is_not_understood(folder: Path, text: str, message: str) -> None:
    file = folder / "adds/softnpu.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)) as info:
        check.check(folder / "adds", check.Settings(folder / "out"))
    assert str(info.value).startswith(f"{file.absolute()}: ")


def test_a_bad_file_ends_the_command(folder: Path) -> None:
    (folder / "adds/softnpu.toml").write_bytes(b"# caf\xe9\n")
    done = _softnpu("check", folder / "adds")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"softnpu: {(folder / 'adds/softnpu.toml').absolute()}: 'utf-8' codec"), done.stderr


def test_a_case_without_a_kernel_is_said(folder: Path) -> None:
    (folder / "adds/softnpu.toml").write_text(CASES + "[kernels.add]\nblocks = 1\n")
    kernel, case = check.check(folder / "adds", check.Settings(folder / "out"))
    assert (kernel.verdict, case.verdict, case.kernel) == ("ok", "not launched", "add")
    assert (case.file, case.message) == ("repository/adds/softnpu.toml", "softnpu.toml has a case of add, which no source defines")


TYPED = """\
#include "kernel_operator.h"
extern "C" __global__ __aicore__ void brain(GM_ADDR x, const bfloat16_t by, unsigned long long count) {
  AscendC::GlobalTensor<int32_t> to;
  to.SetGlobalBuffer((__gm__ int32_t*)x, 1);
  to.SetValue(AscendC::ToFloat(by) == 1.0f && count == 1024 ? 0 : 1 << 28, 1);
}
template <typename T>
__global__ __aicore__ void typed(GM_ADDR x, T by) {
  AscendC::GlobalTensor<T> to;
  to.SetGlobalBuffer((__gm__ T*)x, 1);
  to.SetValue(0, by);
}
template __global__ __aicore__ void typed<float>(GM_ADDR x, float by);
"""


def test_guesses_of_bfloat16_and_of_templates(folder: Path) -> None:
    (folder / "typed").mkdir()
    (folder / "typed/typed.cpp").write_text(TYPED)
    brain, typed = check.check(folder / "typed", check.Settings(folder / "out"))
    assert (brain.verdict, brain.guessed) == ("ok", True), brain.message
    assert (typed.kernel, typed.verdict) == ("typed<float>", "not launched")
    assert typed.message == 'the parameters of a template are not guessed; give [kernels."typed<float>"] in softnpu.toml'
    (folder / "typed/softnpu.toml").write_text('[kernels."typed<float>"]\narguments = [{ output = "float32" }, { float32 = 2.5 }]\n')
    _, typed = check.check(folder / "typed", check.Settings(folder / "out", blocks=1))
    assert typed.verdict == "ok", typed.message


def test_a_file_of_the_current_folder_is_no_module(folder: Path) -> None:
    for name in ("json", "numpy", "softnpu"):
        Path(f"{name}.py").write_text("raise SystemExit('a file of the current folder')")
    (verdict,) = check.check(folder / "adds", check.Settings(folder / "out"))
    assert verdict.verdict == "ok", verdict.message


def test_places_in_sarif_are_uris() -> None:
    report = json.loads(check.as_sarif([check.Verdict("fault", "a b#/k%.cpp", "k", "x", file="a b#/k%.cpp", line=3)], "0"))
    place = report["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%20b%23/k%25.cpp"


def test_a_kernel_that_does_not_end_is_stopped(folder: Path) -> None:
    (folder / "plain/store.cpp").write_text(
        '#include "kernel_operator.h"\n__global__ __aicore__ void k(int n) { for (volatile int i = 0; i < 2; i = 0) {} }\n'
    )
    (folder / "plain/broken.asc").unlink()
    (folder / "plain/cores.cpp").unlink()
    (verdict,) = check.check(folder / "plain", check.Settings(folder / "out", timeout_s=3))
    assert (verdict.verdict, verdict.rule) == ("fault", "time-out")


def test_the_page_and_the_workflow_are_understood(folder: Path) -> None:
    page = (ROOT / "docs/other-kernels.md").read_text()
    workflow = (ROOT / "examples/github-actions.yml").read_text()
    commands = [line.strip() for line in page.splitlines() if line.startswith("    softnpu ")]
    commands += re.findall(r"run: (softnpu .*)", workflow)
    assert len(commands) >= 6
    for command in commands:
        words = shlex.split(command)[1:]
        parsed = cli._parser().parse_args(words[: words.index("--")] if "--" in words else words)
        assert parsed.command == words[0]
    (folder / "softnpu.toml").write_text(re.findall(r"```toml\n(.*?)```", page, re.S)[0])
    (kernels,) = cases.read([folder / "add_custom.cpp"]).values()
    (case,) = kernels.values()
    (folder / "tiling.h").write_text(TILING.replace("float, step", "uint32_t, tileNum"))
    (folder / "add_custom_tiling.h").write_text("struct AddCustomTilingData { uint32_t totalLength; uint32_t tileNum; };")
    arguments = cases.arguments(case["arguments"], (folder / "tiling.h").absolute(), folder)
    assert [getattr(a, "nbytes", None) for a in arguments] == [32768, 32768, None, None, 8, None, 4]
    assert arguments[5] == arguments[4].tobytes()
    assert arguments[4].view(np.uint32).tolist() == [16384, 8]


def test_bad_calls(folder: Path) -> None:
    done = _softnpu("check", folder / "absent")
    assert (done.returncode, done.stderr) == (2, "softnpu: repository/absent is no folder\n")
    (folder / "empty").mkdir()
    done = _softnpu("build", folder / "empty")
    assert (done.returncode, done.stderr) == (2, "softnpu: repository/empty has no source that defines a kernel\n")
    assert _softnpu("check", folder, "--blocks", 0).returncode == 2


# A host header as operators have them: constants, structs of the host alone, of another header, of the library.
RICH_TILING = """\
#include "register/tilingdata_base.h"
#include "parts.h"
namespace optiling {
#define PAIRS 2
constexpr uint32_t MOST = PAIRS * 2 + 1;
struct CompileInfo { gert::Shape shape; std::string name; };
BEGIN_TILING_DATA_DEF(Inner)
TILING_DATA_FIELD_DEF_ARR(uint32_t, MOST, sizes);
END_TILING_DATA_DEF;
BEGIN_TILING_DATA_DEF(RichTilingData)
TILING_DATA_FIELD_DEF(uint8_t, kind);
TILING_DATA_FIELD_DEF_STRUCT(Inner, inner);
TILING_DATA_FIELD_DEF_STRUCT(Part, part);
TILING_DATA_FIELD_DEF_STRUCT(TCubeTiling, product);
TILING_DATA_FIELD_DEF_STRUCT(SoftMaxTiling, softmax);
END_TILING_DATA_DEF;
REGISTER_TILING_DATA_CLASS(Rich, RichTilingData)
REGISTER_TILING_DATA_CLASS(Rich_1000, Inner)
}
"""
PARTS = "BEGIN_TILING_DATA_DEF(Part)\nTILING_DATA_FIELD_DEF(int64_t, n);\nEND_TILING_DATA_DEF;\n"
OTHER = "BEGIN_TILING_DATA_DEF(SmallTilingData)\nTILING_DATA_FIELD_DEF(int32_t, n);\nEND_TILING_DATA_DEF;\n"
RICH = """\
#include "kernel_operator.h"
extern "C" __global__ __aicore__ void rich(GM_ADDR x, GM_ADDR workspace, GM_ADDR tiling) {
  GET_TILING_DATA(sizes, tiling);
  SmallTilingData small{7};
  AscendC::GlobalTensor<int32_t> to;
  to.SetGlobalBuffer((__gm__ int32_t*)x, 8);
  to.SetValue(0, sizes.inner.sizes[4]);
  to.SetValue(1, sizes.part.n);
  to.SetValue(2, sizes.product.singleCoreK);
  to.SetValue(3, sizes.softmax.srcK);
  to.SetValue(4, small.n);
}
"""


def test_tilings_of_hosts_are_read_with_what_they_name(tmp_path: Path) -> None:
    host, kernels = tmp_path / "rich/op_host", tmp_path / "rich/op_kernel"
    for name, text in {
        host / "rich_tiling.h": RICH_TILING,
        host / "parts.h": PARTS,
        host / "other.h": OTHER,
        kernels / "rich.cpp": RICH,
    }.items():
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_text(text)
    sources, _ = project.find(tmp_path)
    assert [header.name for header in sources[0].headers() or ()] == ["rich_tiling.h", "other.h"]
    kind = softnpu.tiling(host / "rich_tiling.h")
    # Like C++: the library's structs at their sizes, int64_t at a multiple of 8.
    assert (kind["product"].itemsize, kind["softmax"].itemsize, kind["inner"].shape, kind.fields["part"][1]) == (200, 64, (), 24)
    sizes = np.zeros(1, kind)
    sizes["inner"]["sizes"][0, 4], sizes["part"]["n"], sizes["product"]["singleCoreK"], sizes["softmax"]["srcK"] = 11, 12, 13, 14
    x = np.zeros(8, np.int32)
    kernel = softnpu.load(softnpu.build(kernels / "rich.cpp", output=tmp_path / "rich.so"))["rich"]
    softnpu.launch(kernel, x, softnpu.Workspace(64), sizes)
    assert x.tolist() == [11, 12, 13, 14, 7, 0, 0, 0]
    (host / "rich_tiling.h").write_text(RICH_TILING.replace("PAIRS * 2 + 1", "Unknown()"))
    with pytest.raises(ValueError, match="the number of elements 'MOST' is not an integer literal or a constant"):
        softnpu.tiling(host / "rich_tiling.h")


def test_headers_of_the_project_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {
        "CMakeLists.txt": "project(kernels)\n",
        "common/inc/shared/sizes.h": "constexpr int32_t kAnswer = 42;\n",
        "ops/near/op_kernel/shared/sizes.h": "#error another operator's\n",
        "ops/op_kernel/answer.cpp": (
            '#include "shared/sizes.h"\n#include "kernel_operator.h"\n'
            "__global__ __aicore__ void answer(GM_ADDR x) { *(__gm__ int32_t*)x = kAnswer; }\n"
            "template <typename T> __global__ __aicore__ void nobody(GM_ADDR x) {}\n"
        ),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    twin = softnpu.load(softnpu.build(tmp_path / "ops/op_kernel/answer.cpp", output=tmp_path / "answer.so"))
    said = capsys.readouterr().err
    assert f"shared/sizes.h is taken from {tmp_path / 'common/inc'}" in said
    assert "left out, as nobody gives the template arguments: nobody" in said
    x = np.zeros(1, np.int32)
    softnpu.launch(twin["answer"], x)
    assert x[0] == 42
    (tmp_path / "common/inc/shared/sizes.h").unlink()
    with pytest.raises(softnpu.BuildError, match=r"sizes\.h"):
        softnpu.build(tmp_path / "ops/op_kernel/answer.cpp", output=tmp_path / "answer.so")


def test_sources_of_another_chip_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "registers.cpp").write_text(
        '#include "kernel_operator.h"\n__global__ __aicore__ void registers(GM_ADDR x) {\n  AscendC::MicroAPI::RegTensor<float> a;\n}\n'
    )
    (tmp_path / "both.cpp").write_text(
        '#include "kernel_operator.h"\n#if __NPU_ARCH__ == 3510\nvoid f() { AscendC::MicroAPI::RegTensor<float> a; }\n#endif\n'
        "__global__ __aicore__ void both(GM_ADDR x) { *(__gm__ int32_t*)x = 1; }\n"
    )
    assert cli.main(["build", str(tmp_path), "--json", "-o", str(tmp_path / "out")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [built["kernels"] for built in told["built"]] == [["both"]]
    assert told["not_built"] == []
    assert told["left_out"] == [{"file": str(tmp_path / "registers.cpp"), "reason": "it is for Ascend 950, as MicroAPI says"}]
    verdicts = {verdict.source: verdict for verdict in check.check(tmp_path, check.Settings(output=tmp_path / "checked"))}
    assert [verdict.verdict for name, verdict in verdicts.items() if "registers" in name] == ["left out"]


SMALL_FLOATS = """\
#include "kernel_operator.h"
extern "C" __global__ __aicore__ void small_floats(GM_ADDR x, GM_ADDR workspace, GM_ADDR tiling) {
  AscendC::GlobalTensor<DTYPE_X> from;
  from.SetGlobalBuffer((__gm__ DTYPE_X*)x);
}
"""


def test_types_of_another_chip_leave_an_operator_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {
        "op_kernel/small_floats.cpp": SMALL_FLOATS,
        "op_host/small_floats_def.cpp": 'class F : public OpDef { F() { this->Input("x").DataType({ge::DT_FLOAT8_E4M3FN}); } };\n',
        "op_kernel/folder.cpp": '#include "arch35/folder.h"\n' + SMALL_FLOATS.replace("small_floats", "folder"),
        "op_kernel/arch35/folder.h": '#include "only_there/registers.h"\n',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cli.main(["build", str(tmp_path), "--json", "-o", str(tmp_path / "out")]) == 0
    told = json.loads(capsys.readouterr().out)
    reasons = {Path(left["file"]).name: left["reason"] for left in told["left_out"]}
    assert told["built"] == told["not_built"] == []
    assert reasons["small_floats.cpp"] == "it is for Ascend 950, as fp8_e4m3fn_t says"
    assert reasons["folder.cpp"] == "it is for Ascend 950, as arch35 says"


LISTED = """\
#define __aicore__ [aicore]
#include "toolchain/slog.h"
#include "kernel_operator.h"
#include "../op_host/listed_tiling.h"
using namespace AscendC;
extern "C" __global__ __aicore__ void listed(GM_ADDR x, GM_ADDR workspace, GM_ADDR tiling) {
  GET_TILING_DATA_WITH_STRUCT(optiling::ListedTilingData, data, tiling);
  GlobalTensor<DTYPE_X> to;
  to.SetGlobalBuffer((__gm__ DTYPE_X*)x, data.length);
  LocalTensor<uint8_t> ub;
  ub.InitBuffer(64, 256);
  ub.address_.logicPos = static_cast<uint8_t>(TPosition::VECIN);
  LocalTensor<DTYPE_X> all = ub.ReinterpretCast<DTYPE_X>(), same;
  same.address_.logicPos = static_cast<uint8_t>(TPosition::VECIN);
  same.address_.bufferAddr = 64;
  same.address_.dataLen = data.length * sizeof(DTYPE_X);
  Duplicate(all, static_cast<DTYPE_X>(all.GetSize()), 64);
  PipeBarrier<PIPE_ALL>();
  DataCopy(to, same, same.GetSize());
}
"""
LISTED_TILING = """\
#include "register/op_impl_registry.h"
#include "register/tilingdata_base.h"
namespace optiling {
BEGIN_TILING_DATA_DEF(ListedTilingData)
TILING_DATA_FIELD_DEF(uint32_t, length);
END_TILING_DATA_DEF;
REGISTER_TILING_DATA_CLASS(Listed, ListedTilingData)
int Fill(gert::TilingContext* context);
}
"""


def test_what_kernels_take_from_hosts_and_from_tensors_inside(tmp_path: Path) -> None:
    files = {
        "op_kernel/listed.cpp": LISTED,
        "op_host/listed_tiling.h": LISTED_TILING,
        "op_host/listed_def.cpp": (
            'class L : public OpDef { L() { this->Input("x").DataTypeList({ge::DT_INT32, ge::DT_FLOAT}).FormatList({ge::FORMAT_ND}); } };\n'
        ),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    twin = softnpu.load(softnpu.build(tmp_path / "op_kernel/listed.cpp", output=tmp_path / "listed.so"))
    x = np.zeros(64, np.int32)
    softnpu.launch(twin["listed"], softnpu.Output(x), softnpu.Workspace(16), np.array([64], np.uint32))
    assert (x == 64).all()
