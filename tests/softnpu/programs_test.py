"""Programs of host code and kernels, as CANN's samples have them: softnpu build --program, softnpu run; the programs compare results."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import softnpu
from softnpu import entries, profiles, program, project, twin

PROGRAMS = Path(__file__).resolve().with_name("programs")
if zig := os.environ.get("ZIG"):
    os.environ["CXX"] = f"{Path(zig).resolve()} c++ -nostdlib++ -fno-exceptions -fno-rtti"
    os.environ.setdefault("ZIG_GLOBAL_CACHE_DIR", str(Path(os.environ.get("TEST_TMPDIR", "/tmp")) / "zig"))


def _softnpu(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "softnpu", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def _run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return _softnpu("run", "--memory", "128MiB", "--", path, *arguments)


@pytest.mark.parametrize("options", [(), ("-DWITH_LAUNCH_HEADER",)], ids=["chevrons", "header"])
def test_a_sample_of_two_files(tmp_path: Path, options: tuple[str, ...]) -> None:
    app = softnpu.build_program(PROGRAMS / "add_main.cpp", PROGRAMS / "add.cpp", output=tmp_path / "app", options=options)
    done = _run(app)
    assert (done.returncode, done.stdout) == (0, "0 of 16384 are wrong\n"), done.stderr
    failed = _run(app, "with a size that does not fit")
    assert failed.returncode == 1
    line = 1 + [text.strip() for text in (PROGRAMS / "add.cpp").read_text().splitlines()].index("AscendC::DataCopy(x, x_[at], kTile);")
    assert "aclrtSynchronizeStream(stream) gave 507035" in failed.stderr
    assert "DataCopy" in failed.stderr
    assert f"{PROGRAMS}/add.cpp:{line}" in failed.stderr


def test_a_sample_on_host_memory(tmp_path: Path) -> None:
    app = softnpu.build_program(PROGRAMS / "cpu_main.cpp", PROGRAMS / "cpu_kernel.cpp", output=tmp_path / "app")
    done = _run(app)
    assert (done.returncode, done.stdout) == (0, "0 of 2048 are wrong\n"), done.stderr
    failed = _run(app, "with a size that does not fit")
    assert failed.returncode == 1
    assert re.search(r"SoftNPU: scale: 507035: .*cpu_kernel\.cpp:16", failed.stderr), failed.stderr


def test_without_softnpu_run_the_libraries_are_missing(tmp_path: Path) -> None:
    app = softnpu.build_program(PROGRAMS / "add_main.cpp", PROGRAMS / "add.cpp", output=tmp_path / "app")
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    done = subprocess.run([app], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode != 0
    # Some compilers make a program that finds the libraries itself.
    assert "libascendcl.so" in done.stderr or "start the program with `softnpu run -- COMMAND`" in done.stderr


def test_a_twin_can_be_linked_by_the_builder_of_a_program(tmp_path: Path) -> None:
    built = softnpu.build(PROGRAMS / "add.cpp", output=tmp_path / "libadd.so", launch_headers=tmp_path / "headers")
    command = [*twin.compiler(), *softnpu.cflags(), "-DWITH_LAUNCH_HEADER", f"-I{tmp_path}/headers"]
    subprocess.run([*command, PROGRAMS / "add_main.cpp", built, *program.ldflags(), "-o", tmp_path / "app"], check=True)
    done = _run(tmp_path / "app")
    assert (done.returncode, done.stdout) == (0, "0 of 16384 are wrong\n"), done.stderr


def test_a_product_whose_tiling_comes_through_a_pointer(tmp_path: Path) -> None:
    app = softnpu.build_program(PROGRAMS / "product_main.cpp", PROGRAMS / "product.cpp", output=tmp_path / "app")
    done = _run(app)
    assert (done.returncode, done.stdout) == (0, "2 cores, 128 x 128 each\n0 of 32768 are wrong\n"), done.stderr


def test_one_file_with_kernels_and_main(tmp_path: Path) -> None:
    built = _softnpu("build", "--program", PROGRAMS / "one_file.asc", "-o", tmp_path / "app")
    assert (built.returncode, built.stdout) == (0, f"{tmp_path}/app\n"), built.stderr
    done = _run(tmp_path / "app")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "[AIV block 0] scaled by 0.500000",
        "[AIV block 0] scaled by 3.000000",
        "done: 2 and 2 cores for each cube core",
    ]
    refused = _run(tmp_path / "app", "no blocks")
    assert refused.returncode == 1
    # Some compilers write a kernel's name without its template arguments.
    assert re.search(r"SoftNPU: (launch: )+kernel kernels::scale(<int>)?: 0 blocks asked for, the limits are 1 and 65535\n", refused.stderr)


def test_a_program_whose_kernels_are_built_for_each_kind_of_core(tmp_path: Path) -> None:
    """The kind of the core is a template argument, the launch is in a header, and of the kernel's name there are two."""
    app = softnpu.build_program(PROGRAMS / "two_kinds.cpp", output=tmp_path / "app")
    done = _run(app)
    # Two cube cores, then the four vector cores.
    assert (done.returncode, done.stdout) == (0, "5 5 -5 -5 -5 -5 \n7 7 -7 -7 -7 -7 \n5 5 -5 -5 -5 -5 \n"), done.stderr


def test_kernels_of_one_name_get_two() -> None:
    text = "template <class T> __global__ void k(T a) {}\ntemplate <class T> __global__ void k(T a, int b) {}\n"
    made = program.with_calls(text + "void run() { n::k<int, 3><<<1, 0, s>>>(f(1, 2)); k<int><<<1, 0, s>>>(1, g<1, 2>(0)); }\n")
    assert "void k_of_1(T a)" in made
    assert "void k_of_2(T a, int b)" in made
    assert "Launch<&n::k_of_1<int, 3>, -1>(1, 0, s)(f(1, 2))" in made
    assert "Launch<&k_of_2<int>, -1>(1, 0, s)(1, g<1, 2>(0))" in made


def test_what_the_compiler_refuses_is_said(tmp_path: Path) -> None:
    source = tmp_path / "bad.cpp"
    source.write_text(
        '#include "kernel_operator.h"\n__global__ __aicore__ void k(GM_ADDR x) {}\nint main() { k<<<1, 0, nullptr>>>(3.5f); }\n'
    )
    with pytest.raises(softnpu.BuildError, match=r"bad\.cpp:3"):
        softnpu.build_program(source)
    with pytest.raises(softnpu.BuildError, match=r"absent\.cpp does not exist"):
        softnpu.build_program(tmp_path / "absent.cpp")


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("", []),
        ("void", []),
        ("uint8_t*x,uint32_t n", ["uint8_t*", "uint32_t"]),
        ("__gm__ half*__restrict__ x,const Tiling tiling", ["half*", "const Tiling"]),
        ("uint8_t* __restrict x,uint8_t* const y,const half*const restrict", ["uint8_t*", "uint8_t*", "const half*"]),
        ("Tiling const tiling,int volatile n", ["Tiling", "int"]),
        ("unsigned n,unsigned long long,a::b,A<int,2>c", ["unsigned", "unsigned long long", "a::b", "A<int,2>"]),
        ("int n[4]", None),
        ("void(*f)(int)", None),
    ],
)
def test_types_of_parameters(text: str, types: list[str] | None) -> None:
    assert entries.split_parameters(text) == types


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("unsigned long long", True),
        ("const unsigned long int", True),
        ("long long int", True),
        ("long unsigned int", True),
        ("unsigned short", True),
        ("std::uint32_t", True),
        ("long Tiling", False),
        ("unsignedTiling", False),
        ("half", False),
        ("int*", False),
    ],
)
def test_numbers(kind: str, number: bool) -> None:
    assert entries.is_number(kind) == number


@pytest.mark.parametrize(
    ("text", "defines"),
    [
        ('extern "C" __global__ __aicore__ void k(GM_ADDR x);\nint main() {}', False),
        ("// __global__ void k() {}\nint main() {}", False),
        ("void f() { (k)<<<1, nullptr, 0>>>(); } __global__ void k(int n); struct S {};", False),
        ("__global__ void k(int n) /* a remark */ {\n}", True),
        ("__global__ void k(int n) noexcept {\n}", True),
        ('#define KERNEL(name) \\\n  extern "C" __global__ void name() \\\n  {', True),
        ('#define KERNEL \\\n  extern "C" __global__ void\nint n;\nKERNEL k() {}', True),
        ("template <typename T> __global__ void k(T n);\ntemplate __global__ void k<int>(int);", True),
    ],
)
def test_files_that_define_kernels(text: str, defines: bool) -> None:
    assert entries.defines_kernels(text) == defines


DECLARED = """\
#ifdef ASCENDC_CPU_DEBUG
extern "C" __global__ __aicore__ void add(GM_ADDR x, GM_ADDR y, GM_ADDR z, uint32_t total);
#endif
"""


def test_a_main_that_declares_the_kernel_may_come_first(tmp_path: Path) -> None:
    main = tmp_path / "main.cpp"
    main.write_text(DECLARED + (PROGRAMS / "add_main.cpp").read_text())
    app = softnpu.build_program(main, PROGRAMS / "add.cpp", output=tmp_path / "app", options=("-DWITH_LAUNCH_HEADER",))
    done = _run(app)
    assert (done.returncode, done.stdout) == (0, "0 of 16384 are wrong\n"), done.stderr
    sources, others = project.find(tmp_path)
    assert (sources, others) == ([], [project.LeftOut(main, "defines no kernel")])


def test_pointers_and_numbers_of_launch_functions(tmp_path: Path) -> None:
    source = tmp_path / "k.cpp"
    source.write_text(
        '#include "kernel_operator.h"\nextern "C" __global__ __aicore__ void k(uint8_t* __restrict x, __gm__ half* const y, '
        "unsigned long long n, const __gm__ float* z) {}\n"
    )
    softnpu.build(source, launch_headers=tmp_path)
    assert "(uint32_t blocks, aclrtStream stream, void* a0, void* a1, unsigned long long a2, void* a3);" in (
        (tmp_path / "aclrtlaunch_k.h").read_text()
    )


def test_the_number_of_cores_is_that_of_vector_cores(tmp_path: Path) -> None:
    source = tmp_path / "cores.cpp"
    source.write_text("""\
#include "tiling/platform/platform_ascendc.h"
int main() {
  auto* const chip = platform_ascendc::PlatformAscendCManager::GetInstance();
  printf("%u of %u and %u\\n", chip->GetCoreNum(), chip->GetCoreNumAic(), chip->GetCoreNumAiv());
}
""")
    app = softnpu.build_program(source)
    assert _run(app).stdout == "40 of 20 and 40\n"
    coupled = profiles.load(profiles.find("ascend310p3")).cube_cores
    done = _softnpu("run", "--memory", "128MiB", "--profile", "ascend310p3", "--", app)
    assert done.stdout == f"{coupled} of {coupled} and {coupled}\n", done.stderr


def test_text_in_other_encodings_stays_as_it_is(tmp_path: Path) -> None:
    source = tmp_path / "latin.asc"
    source.write_bytes(
        b'#include <stdio.h>\n#include "kernel_operator.h"\n// caf\xe9\n__global__ __aicore__ void k(GM_ADDR x) {}\n'
        b'int main(int n, char**) { puts("caf\xe9"); if (n > 1) k<<<1, nullptr, nullptr>>>(nullptr); }\n'
    )
    app = softnpu.build_program(source)
    command = [sys.executable, "-m", "softnpu", "run", "--memory", "128MiB", "--", str(app)]
    assert subprocess.run(command, capture_output=True, check=True, timeout=300).stdout == b"caf\xe9\n"
    assert list(softnpu.load(softnpu.build(source))) == ["k"]
    source.write_bytes(source.read_bytes() + b"\xe9;\n")
    with pytest.raises(softnpu.BuildError, match=r"latin\.asc:6"):
        softnpu.build(source)


def test_the_compiler_of_a_package_is_not_looked_for_in_the_current_folder(tmp_path: Path) -> None:
    for folder, said in (("packages", "ours"), ("current", "not ours")):
        (tmp_path / folder / "ziglang").mkdir(parents=True)
        (tmp_path / folder / "ziglang/__init__.py").touch()
        (tmp_path / folder / "ziglang/__main__.py").write_text(f"print({said!r})")
    environment = {name: value for name, value in os.environ.items() if name != "CXX"}
    environment |= {"PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(tmp_path / "packages"), *sys.path[1:]])}
    command = [sys.executable, "-c", "from softnpu import twin; print(twin.run(twin.compiler(), []))"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path / "current", env=environment)
    assert done.stdout.strip() == "ours", done.stderr


def test_kernels_of_own_headers_are_found_and_no_others_are_looked_for() -> None:
    lines = ['# 1 "k.cpp"', '# 1 "/headers/kernel_operator.h" 1', "__global__ void ours() {}", '# 2 "k.cpp" 2', '# 1 "/usr/x.h" 1 3']
    lines += [
        "__global__ void systems() {}",
        '# 3 "k.cpp" 2',
        '# 1 "own.h" 1',
        "",
        "__global__ void own(int a) {}",
        '# 4 "k.cpp" 2',
        "__global__ void last() {}",
    ]
    found = entries.entries(entries.without_headers("\n".join(lines), "/headers"))
    assert [(entry.name, entry.file, entry.line) for entry in found] == [("own", "own.h", 2), ("last", "k.cpp", 4)]


def test_launches_become_calls_on_their_lines() -> None:
    text = "__global__ __cube__ void k(int n) {}\nvoid f() {\n  a::k<T, (1 < 2)><<<n,\n nullptr, s[0]>>>(1);\n  std::cout << 1 << 2;\n}\n"
    called = program.with_calls(text)
    assert called.count("\n") == text.count("\n")
    assert "::softnpu::twin::Launch<&a::k<T, (1 < 2)>, 1>(n,\n nullptr, s[0])(1);" in called
    assert "std::cout << 1 << 2;" in called
