"""Forms of kernels: entries as the compiler sees them, pointers to GM, a twin that is built anew."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import numpy as np
import pytest

import softnpu
from softnpu import entries, selections, tiling_structs, twin

SOURCE = Path(__file__).with_name("forms.cpp")
if zig := os.environ.get("ZIG"):
    os.environ["CXX"] = f"{Path(zig).resolve()} c++ -nostdlib++"
    os.environ.setdefault("ZIG_GLOBAL_CACHE_DIR", str(Path(os.environ.get("TEST_TMPDIR", "/tmp")) / "zig"))


class Shape(ctypes.Structure):
    _fields_ = [("count", ctypes.c_uint32), ("by", ctypes.c_float), ("sizes", ctypes.c_int64 * 4)]


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> softnpu.kernels.Twin:
    return softnpu.load(softnpu.build(SOURCE, output=tmp_path_factory.mktemp("forms") / "forms.so"))


def test_entries_are_those_that_the_compiler_sees(forms: softnpu.kernels.Twin) -> None:
    names = ["branches", "forms::twice", "by_macro", "exp", "abs", "max", "add_custom", "through_pointers"]
    assert list(forms) == [*names, "forms::repeated<float,3>", "forms::repeated<int32_t,2>"]


SELECTED = """\
#include "ascendc/host_api/tiling/template_argument.h"
#include "kernel_operator.h"
ASCENDC_TPL_ARGS_DECL(Add, ASCENDC_TPL_DATATYPE_DECL(T, C_DT_FLOAT, C_DT_INT32, ASCENDC_TPL_INPUT(0)),
    ASCENDC_TPL_UINT_DECL(TIMES, ASCENDC_TPL_8_BW, ASCENDC_TPL_UI_MIX, 1, 0, 3, 9), ASCENDC_TPL_BOOL_DECL(TWICE, 0, 1));
ASCENDC_TPL_SEL(
    ASCENDC_TPL_ARGS_SEL(ASCENDC_TPL_DATATYPE_SEL(T, C_DT_INT32), ASCENDC_TPL_UINT_SEL(TIMES, ASCENDC_TPL_UI_MIX, 1, 1, 2, 9),
        ASCENDC_TPL_BOOL_SEL(TWICE, 0, 1)),
    ASCENDC_TPL_ARGS_SEL(ASCENDC_TPL_DATATYPE_SEL(T, C_DT_FLOAT), ASCENDC_TPL_UINT_SEL(TIMES, ASCENDC_TPL_UI_LIST, 3),
        ASCENDC_TPL_BOOL_SEL(TWICE, 1)));
template <typename T, int TIMES, int TWICE>
__global__ __aicore__ void selected(GM_ADDR x) {
  AscendC::GlobalTensor<T> g;
  g.SetGlobalBuffer((__gm__ T*)x, 1);
  g.SetValue(0, g.GetValue(0) * TIMES * (TWICE ? 2 : 1));
}
"""


def test_arguments_of_a_template_are_selected(tmp_path: Path) -> None:
    (tmp_path / "selected.cpp").write_text(SELECTED)
    kernels = softnpu.load(softnpu.build(tmp_path / "selected.cpp"))
    integers = [f"selected<int32_t,{times},{twice}>" for times in (1, 2, 9) for twice in (0, 1)]
    assert list(kernels) == [*integers, "selected<float,3,1>"]
    x = np.array([5], np.int32)
    softnpu.launch(kernels["selected<int32_t,9,1>"], x)
    assert x[0] == 90
    (tmp_path / "selected.cpp").write_text(SELECTED.replace("UI_LIST, 3", "UI_RANGE, 1, 0, 300"))
    with pytest.raises(softnpu.BuildError, match="selects more than 256 kernels"):
        softnpu.build(tmp_path / "selected.cpp")
    (tmp_path / "selected.cpp").write_text(SELECTED.replace("ASCENDC_TPL_UI_LIST, 3", "ASCENDC_TPL_UI_RANGE, 2, 0, 3"))
    with pytest.raises(softnpu.BuildError, match="says 2 ranges, but has 2 bounds"):
        softnpu.build(tmp_path / "selected.cpp")


@pytest.mark.parametrize(
    ("selected", "message"),
    [
        ("ASCENDC_TPL_UINT_SEL(A, ASCENDC_TPL_UI_RANGE, 1, 0, 4000000000)", "the range of 0 to 4000000000 in ASCENDC_TPL_SEL selects"),
        (", ".join(f"ASCENDC_TPL_UINT_SEL(A{i}, ASCENDC_TPL_UI_RANGE, 1, 1, 200)" for i in range(9)), "selects more than 256 kernels"),
    ],
)
def test_too_many_arguments_are_refused_before_they_are_made(selected: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        selections.selections(entries.tokens(f"ASCENDC_TPL_ARGS_SEL({selected})"))


def test_the_same_argument_is_selected_once() -> None:
    text = "ASCENDC_TPL_ARGS_SEL(ASCENDC_TPL_UINT_SEL(A, ASCENDC_TPL_UI_LIST, 1, 1, 2), ASCENDC_TPL_DATATYPE_SEL(T, C_DT_BF16))"
    assert selections.selections(entries.tokens(text)) == ["<1,bfloat16_t>", "<2,bfloat16_t>"]


SIGNATURE = """\
#include "kernel_operator.h"
extern "C" __global__ __aicore__ void k(__gm__ half* x, const __gm__ float* y) {}
extern "C" __global__ __aicore__ void by_double(__gm__ float* x, double by) {
  AscendC::GlobalTensor<float> g;
  g.SetGlobalBuffer(x, 1);
  g.SetValue(0, by == 0.1 ? 1.0f : 2.0f);
}
"""


def test_pointers_and_a_double_in_a_signature(tmp_path: Path) -> None:
    source = tmp_path / "signature.cpp"
    source.write_text(SIGNATURE)
    found: list[entries.Entry] = []
    kernels = softnpu.load(softnpu.build(source, found=found))
    assert [entry.parameters for entry in found] == ["__gm__ half*x,const __gm__ float*y", "__gm__ float*x,double by"]
    softnpu.launch(kernels["k"], np.zeros(1, np.float16), np.zeros(1, np.float32))
    x = np.zeros(1, np.float32)
    softnpu.launch(kernels["by_double"], x, np.float64(0.1))
    assert x[0] == 1


def test_words_in_macros_of_tilings_stay_apart(tmp_path: Path) -> None:
    header = tmp_path / "t.h"
    header.write_text("BEGIN_TILING_DATA_DEF(T)\nTILING_DATA_FIELD_DEF_STRUCT(struct _Part, part);\nEND_TILING_DATA_DEF;\n")
    assert "  struct _Part part;\n" in tiling_structs.cpp(header)


@pytest.mark.parametrize("name", ["branches", "forms::twice", "by_macro", "abs", "max", "forms::repeated<int32_t,2>"])
def test_each_runs(forms: softnpu.kernels.Twin, name: str) -> None:
    x = np.array([5], np.int32)
    softnpu.launch(forms[name], x)
    assert x[0] == (20 if "repeated" in name else 10)


def test_floats(forms: softnpu.kernels.Twin) -> None:
    x = np.array([1.5], np.float32)
    softnpu.launch(forms["exp"], x)
    assert x[0] == 3
    softnpu.launch(forms["forms::repeated<float,3>"], x)
    assert x[0] == 24


def test_the_first_kernel_of_the_official_samples(forms: softnpu.kernels.Twin) -> None:
    x, y = (np.random.default_rng(seed).standard_normal(2048).astype(np.float16) for seed in (1, 2))
    z = np.zeros(2048, np.float16)
    report = softnpu.launch(forms["add_custom"], x, y, softnpu.Output(z), blocks=8)
    assert (z == x + y).all()
    assert not report.warnings


def _scale(forms: softnpu.kernels.Twin, sizes: list[int], arrays: list[object]) -> None:
    shape = np.frombuffer(bytes(Shape(len(sizes), 0.5, (ctypes.c_int64 * 4)(*sizes))), np.uint8).copy()
    softnpu.launch(forms["through_pointers"], softnpu.Addresses(arrays), shape)


def test_pointers_reach_gm(forms: softnpu.kernels.Twin) -> None:
    x, y = np.arange(8, dtype=np.float32), np.arange(100, dtype=np.float32)
    _scale(forms, [8, 100], [x, y])
    assert (x == np.arange(8) / 2).all()
    assert (y == np.arange(100) / 2).all()


def test_pointers_are_checked(forms: softnpu.kernels.Twin) -> None:
    x = np.ones(8, np.float32)
    with pytest.raises(softnpu.KernelError, match="reads bytes behind the end of an allocation of 32 bytes, which hold no value") as info:
        _scale(forms, [4000], [x])
    assert info.value.instruction == "__gm__ pointer"
    with pytest.raises(softnpu.KernelError, match=r"reads GM at 0x40, where nothing is allocated|dereferences 0x40"):
        _scale(forms, [8], [0x40])


def test_what_is_stored_again_is_read_first(forms: softnpu.kernels.Twin) -> None:
    x = np.ones(8, np.float32)
    with pytest.raises(softnpu.KernelError, match="hold no value") as info:
        _scale(forms, [9], [x])
    assert (x == 0.5).all()
    assert (info.value.begin, info.value.end) == (32, 36)


def test_pointers_read_values(forms: softnpu.kernels.Twin) -> None:
    shape = np.zeros(40, np.uint8)
    with pytest.raises(softnpu.KernelError, match="reads bytes of GM that were never written") as info:
        softnpu.launch(forms["through_pointers"], softnpu.Addresses([1]), softnpu.Output(shape))
    assert info.value.instruction == "__gm__ pointer"


def test_a_twin_that_is_built_anew_is_the_one_that_runs(tmp_path: Path) -> None:
    source, twin = tmp_path / "k.cpp", tmp_path / "k.so"
    for value in (3, 4):
        source.write_text(
            '#include "kernel_operator.h"\n__global__ void k(GM_ADDR x) {\n'
            f"  AscendC::GlobalTensor<int32_t> g; g.SetGlobalBuffer((__gm__ int32_t*)x); g.SetValue(0, {value}); }}\n"
        )
        x = np.zeros(1, np.int32)
        softnpu.launch(softnpu.load(softnpu.build(source, output=twin))["k"], x)
        assert x[0] == value


def test_a_template_without_arguments_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "k.cpp"
    source.write_text('#include "kernel_operator.h"\ntemplate <typename T> __global__ void k(GM_ADDR x) {}\n')
    with pytest.raises(softnpu.BuildError, match=r"the kernel k is a template without arguments; instantiate it"):
        softnpu.build(source)


def test_unknown_names_are_said(tmp_path: Path) -> None:
    source = tmp_path / "k.cpp"
    source.write_text(
        '#include "kernel_operator.h"\nextern "C" __global__ __aicore__ void k(GM_ADDR x) {\n'
        "  AscendC::NoSuchCall(x);\n  AscendC::LocalTensor<float> a;\n  a.NoSuchMember(3);\n}\n"
    )
    with pytest.raises(softnpu.BuildError, match=r"SoftNPU knows no NoSuchCall, NoSuchMember of AscendC; docs/ascendc\.md"):
        softnpu.build(source)


def test_a_source_for_clang_alone_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "k.cpp"
    source.write_text('#include "kernel_operator.h"\n__global__ void k(GM_ADDR x) {}\n')
    own = twin.compiler()
    first = tmp_path / "old-g++"
    first.write_text("#!/bin/sh\necho 'k.cpp:2: error: explicit specialization in non-namespace scope' >&2\nexit 1\n")
    first.chmod(0o755)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(twin.shutil, "which", lambda name: str(first) if name == "c++" else None)
    monkeypatch.setattr(twin, "_clang", lambda: own)
    assert list(softnpu.load(softnpu.build(source))) == ["k"]
    monkeypatch.setattr(twin, "_clang", lambda: None)
    with pytest.raises(softnpu.BuildError, match="set CXX=clang"):
        softnpu.build(source)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('extern "C" { __global__ void a(int x) { if (x) {} } }\n__global__ void b() {}', ["a", "b"]),
        ("namespace n::m { inline namespace v { __global__ void a() {} } }", ["n::m::v::a"]),
        ("__global__ __aicore__ void declared();\nvoid other() {}", []),
        ('const char* s = R"(__global__ void z() {})"; // __global__ void y() {}', []),
        ("__attribute__((noinline)) __global__ [[gnu::used]] void a(void (*f)(int)) {}", ["a"]),
        ("template <typename T, int N = (2 > 1)> __global__ void k() {}\nvoid host() { k<half, 3><<<1, 0, s>>>(); }", ["k<half,3>"]),
        ("struct S { int a = 3; }; int b[] = {1, 2}; __global__ void a() {}", ["a"]),
    ],
)
def test_declarations(text: str, names: list[str]) -> None:
    assert [entry.name for entry in entries.entries(text)] == names


def test_checks_are_switched_one_by_one(tmp_path: Path) -> None:
    source = tmp_path / "k.cpp"
    source.write_text("""\
#include "kernel_operator.h"
using namespace AscendC;
extern "C" __global__ __aicore__ void unordered(GM_ADDR x) {
  GlobalTensor<float> g;
  g.SetGlobalBuffer((__gm__ float*)x, 8);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 64);
  DataCopy(buffer.Get<float>(), g, 8);
  DataCopy(g, buffer.Get<float>(), 8);
}
extern "C" __global__ __aicore__ void unwritten(GM_ADDR x) {
  GlobalTensor<float> g;
  g.SetGlobalBuffer((__gm__ float*)x, 8);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 64);
  DataCopy(g, buffer.Get<float>(), 8);
}
extern "C" __global__ __aicore__ void freed_before(GM_ADDR x) {
  TPipe pipe;
  TQue<TPosition::VECIN, 1> queue;
  pipe.InitBuffer(queue, 1, 64);
  LocalTensor<float> a = queue.AllocTensor<float>();
  queue.FreeTensor(a);
  Duplicate(a, 1.0f, 8);
}
extern "C" __global__ __aicore__ void no_size(GM_ADDR x) {
  GlobalTensor<float> g;
  g.SetGlobalBuffer((__gm__ float*)x);
  ASSERT(g.GetSize() == 0);
}
extern "C" __global__ __aicore__ void not_aligned(GM_ADDR x) {
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 64);
  Duplicate(buffer.Get<float>()[1], 1.0f, 8);
}
""")
    twin = softnpu.load(softnpu.build(source))
    kernels = {"races": "unordered", "init": "unwritten", "queues": "freed_before", "bounds": "no_size", "alignment": "not_aligned"}
    for check, name in kernels.items():
        x = np.ones(8, np.float32)
        softnpu.launch(twin[name], x, checks={check: False})
        softnpu.launch(twin[name], x, checks="off")
        for others in ("strict", {other: False for other in kernels if other != check}):
            with pytest.raises(softnpu.KernelError):
                softnpu.launch(twin[name], x, checks=others)
    with pytest.raises(ValueError, match="no check is called speed; there are races, init"):
        softnpu.launch(twin["no_size"], np.ones(8, np.float32), checks={"speed": False})


def test_a_declared_size_gives_a_warning(tmp_path: Path) -> None:
    source = tmp_path / "k.cpp"
    source.write_text(
        '#include "kernel_operator.h"\n__global__ void k(GM_ADDR x) {\n'
        "  AscendC::GlobalTensor<int32_t> g; g.SetGlobalBuffer((__gm__ int32_t*)x, 4);\n  g.SetValue(6, 1); }\n"
    )
    twin = softnpu.load(softnpu.build(source, auto_sync=True))
    report = softnpu.launch(twin["k"], np.zeros(8, np.int32))
    assert report.auto_sync
    (warning,) = report.warnings
    assert "k.cpp:4: SetValue: writes bytes [24, 28) of a tensor that SetGlobalBuffer gave 16 bytes" in warning


def test_the_systems_workspace_comes_first(tmp_path: Path) -> None:
    source = tmp_path / "k.cpp"
    source.write_text(
        '#include "kernel_operator.h"\n__global__ void k(GM_ADDR w) {\n  AscendC::GlobalTensor<int32_t> g;\n'
        "  g.SetGlobalBuffer((__gm__ int32_t*)AscendC::GetUserWorkspace(w)); g.SetValue(7, 1); }\n"
    )
    twin = softnpu.load(softnpu.build(source))
    softnpu.launch(twin["k"], softnpu.Workspace(32))
    with pytest.raises(softnpu.KernelError, match="behind the 16 MiB of the system"):
        softnpu.launch(twin["k"], np.zeros(8, np.int32))


TILING = """\
#include "register/tilingdata_base.h"
namespace optiling {
BEGIN_TILING_DATA_DEF(Part)
  TILING_DATA_FIELD_DEF(uint8_t, flag);
  TILING_DATA_FIELD_DEF(float, by);
END_TILING_DATA_DEF;
REGISTER_TILING_DATA_CLASS(PartOp, Part)
BEGIN_TILING_DATA_DEF(Whole)
  TILING_DATA_FIELD_DEF(uint32_t, count);
  TILING_DATA_FIELD_DEF(uint64_t, stride);
  TILING_DATA_FIELD_DEF_ARR(int16_t, 3, steps);
  TILING_DATA_FIELD_DEF_STRUCT(Part, part);
END_TILING_DATA_DEF;
REGISTER_TILING_DATA_CLASS(WholeOp, Whole)
}
"""


def test_host_headers_give_structs(tmp_path: Path) -> None:
    (tmp_path / "op_tiling.h").write_text(TILING)
    kind = softnpu.tiling(tmp_path / "op_tiling.h", "Whole")
    assert kind == softnpu.tiling(tmp_path / "op_tiling.h")
    assert {name: field[1] for name, field in kind.fields.items()} == {"count": 0, "stride": 8, "steps": 16, "part": 24}
    source = tmp_path / "k.cpp"
    source.write_text("""\
#include "kernel_operator.h"
extern "C" __global__ __aicore__ void k(GM_ADDR y, GM_ADDR tiling) {
  GET_TILING_DATA(data, tiling);
  GET_TILING_DATA_WITH_STRUCT(Whole, again, tiling);
  AscendC::GlobalTensor<float> g;
  g.SetGlobalBuffer((__gm__ float*)y, 4);
  g.SetValue(0, data.count);
  g.SetValue(1, data.stride + again.steps[2]);
  g.SetValue(2, data.part.by + data.part.flag);
  g.SetValue(3, sizeof(Whole) + __CCE_AICORE__);
}
""")
    data = np.zeros(1, kind)
    data["count"], data["stride"], data["steps"], data["part"] = 5, 2**33, [1, 2, 3], (1, 0.5)
    y = np.zeros(4, np.float32)
    softnpu.launch(softnpu.load(softnpu.build(source, tiling=tmp_path / "op_tiling.h"))["k"], y, data.view(np.uint8))
    assert y.tolist() == [5, np.float32(2**33 + 3), 1.5, kind.itemsize + 220]
    with pytest.raises(ValueError, match=r"defines no tiling struct 'Other'; it has Part, Whole"):
        softnpu.tiling(tmp_path / "op_tiling.h", "Other")


def test_kernels_may_include_host_headers(tmp_path: Path) -> None:
    (tmp_path / "op_tiling.h").write_text(TILING)
    source = tmp_path / "k.cpp"
    source.write_text(
        '#include "kernel_operator.h"\n#include "op_tiling.h"\n__global__ void k(GM_ADDR y, GM_ADDR tiling) {\n'
        "  GET_TILING_DATA_WITH_STRUCT(optiling::Whole, data, tiling);\n  AscendC::GlobalTensor<float> g;\n"
        "  g.SetGlobalBuffer((__gm__ float*)y, 1); g.SetValue(0, data.get_count() + data.part.by); }\n"
    )
    data = np.zeros(1, softnpu.tiling(tmp_path / "op_tiling.h"))
    data["count"], data["part"]["by"] = 7, 0.5
    y = np.zeros(1, np.float32)
    softnpu.launch(softnpu.load(softnpu.build(source))["k"], y, data.view(np.uint8))
    assert y[0] == 7.5


def test_plain_structs_give_dtypes(tmp_path: Path) -> None:
    header = tmp_path / "plain.h"
    header.write_text(
        "struct A { int32_t n = 3; bool on; double x[2]; int32_t Twice() const { return 2 * n; } };\nstruct B { A a; int64_t m; };\n"
    )
    kind = softnpu.tiling(header, "B")
    assert (kind.itemsize, kind["a"].itemsize, kind["a"].names) == (32, 24, ("n", "on", "x"))


def test_chips_have_their_macros() -> None:
    assert "-D__CCE_AICORE__=220" in softnpu.cflags()
    assert "-D__NPU_ARCH__=2002" in softnpu.cflags("ascend310p3")
    assert (softnpu.include_dir() / "kernel_operator.h").is_file()


def test_host_code_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "add.asc"
    source.write_text("""\
#include "acl/acl.h"
#include "kernel_operator.h"
template <typename T>
__global__ __vector__ void add_one(GM_ADDR x, uint32_t n) {
  AscendC::GlobalTensor<T> g;
  g.SetGlobalBuffer((__gm__ T*)x, n);
  for (uint32_t i = 0; i < n; ++i) {
    g.SetValue(i, g.GetValue(i) + 1);
  }
  ASSERT(n < 5);
}
int32_t Run(void* x, aclrtStream stream) {
  add_one<int32_t><<<8, nullptr, stream>>>((GM_ADDR)x, 4);
  return aclrtSynchronizeStream(stream);
}
int main() {
  aclInit(nullptr);
  return 0;
}
""")
    twin = softnpu.load(softnpu.build(source))
    assert list(twin) == ["add_one<int32_t>"]
    assert "host code is left out: Run, main" in capsys.readouterr().err
    x = np.zeros(8, np.int32)
    softnpu.launch(twin["add_one<int32_t>"], x, 4)
    assert x.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    with pytest.raises(softnpu.KernelError) as info:
        softnpu.launch(twin["add_one<int32_t>"], x, 5)
    assert (Path(info.value.file).name, info.value.line) == ("add.asc", 10)


def test_a_constant_branch_on_the_kind_of_the_core(tmp_path: Path) -> None:
    source = tmp_path / "k.cpp"
    source.write_text(
        '#include "kernel_operator.h"\nstruct Tiling { int32_t by; };\n'
        "template <int32_t kBy> __aicore__ inline void Write(GM_ADDR y, int32_t by) {\n"
        "  AscendC::GlobalTensor<int32_t> out;\n  out.SetGlobalBuffer((__gm__ int32_t*)y);\n"
        "  if constexpr ((AscendC::g_coreType == AscendC::AIC) && (kBy > 0)) {\n    out.SetValue(16, by * kBy);\n    return;\n  }\n"
        "  if constexpr (g_coreType == AscendC::AIV) out.SetValue(0, by + kBy);\n  else out.SetValue(0, -1);\n}\n"
        'extern "C" __global__ __aicore__ void k(GM_ADDR y, int32_t by) {\n'
        '  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_1);\n  assert(by < 9, "%d", by);\n  Write<3>(y, by);\n}\n'
    )
    injected = tmp_path / "tiling.h"
    injected.write_text("BEGIN_TILING_DATA_DEF(T)\nTILING_DATA_FIELD_DEF(uint32_t, n);\nEND_TILING_DATA_DEF;\n")
    kernel = softnpu.load(softnpu.build(source, tiling=injected))["k"]
    y = np.zeros(32, np.int32)
    softnpu.launch(kernel, y, 5)
    assert (y[0], y[16]) == (8, 15)
    with pytest.raises(softnpu.KernelError, match=r"by < 9.*k\.cpp:15"):
        softnpu.launch(kernel, y, 9)


def test_alignments_of_tilings(tmp_path: Path) -> None:
    header = tmp_path / "aligned_tiling.h"
    header.write_text(
        "constexpr uint32_t kWide = 16;\n"
        "struct alignas(8) Pair { uint32_t a; uint32_t b; uint32_t c; };\n"
        "struct [[maybe_unused]] alignas(kWide) Wide { Pair pair; float by; };\n"
    )
    pair, wide = softnpu.tiling(header, "Pair"), softnpu.tiling(header, "Wide")
    assert (pair.itemsize, wide.itemsize, wide.fields["by"][1]) == (16, 32, 16)
    (tmp_path / "sizes.cpp").write_text(
        '#include "kernel_operator.h"\n'
        + tiling_structs.cpp(header)
        + "static_assert(sizeof(Pair) == 16 && sizeof(Wide) == 32 && alignof(Wide) == 16);\n"
        + 'extern "C" __global__ __aicore__ void sizes(GM_ADDR x) {}\n'
    )
    assert list(softnpu.load(softnpu.build(tmp_path / "sizes.cpp"))) == ["sizes"]


LATE = """\
#include "impl/dav_c220/kernel_operator_vec_unary_impl.h"
#include "kernel_operator.h"
using namespace AscendC;
OWN
extern "C" __global__ __aicore__ void scaled(GM_ADDR x) {
  GlobalTensor<float> g;
  g.SetGlobalBuffer((__gm__ float*)x, 1);
  g.SetValue(0, g.GetValue(0) * PI + ONE_REPEAT_FLOAT_SIZE);
}
"""


@pytest.mark.parametrize(
    ("own", "want"),
    [
        ("", np.float32(2) * np.float32(np.pi) + 64),
        ("constexpr float PI = 3.0f;", np.float32(2 * 3 + 64)),
        ("constexpr float PI = 3.0f, ONE_REPEAT_FLOAT_SIZE = 1.0f;", np.float32(2 * 3 + 1)),
    ],
)
def test_names_of_newer_versions_and_a_kernel_s_own(tmp_path: Path, own: str, want: np.float32) -> None:
    (tmp_path / "late.cpp").write_text(LATE.replace("OWN", own))
    x = np.array([2], np.float32)
    softnpu.launch(softnpu.load(softnpu.build(tmp_path / "late.cpp"))["scaled"], x)
    assert x[0] == want


def test_a_header_that_is_no_part_of_cann_is_missing(tmp_path: Path) -> None:
    (tmp_path / "late.cpp").write_text(LATE.replace("impl/dav_c220/kernel_operator_vec_unary_impl.h", "kernel_of_our_own.h"))
    with pytest.raises(softnpu.BuildError, match=r"kernel_of_our_own\.h"):
        softnpu.build(tmp_path / "late.cpp")
