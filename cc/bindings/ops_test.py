# cc/bindings/ops_test.py: the module without CANN: arguments, plans, errors, and its stub.
from __future__ import annotations

import ast
import os
from pathlib import Path

import _ops
import pytest

INT32, FLOAT16 = 3, 1
DEVICE = ("Ascend910B3", 2201, 40, 196608)


def counted() -> tuple[_ops.Tensor, _ops.Tensor]:
    return _ops.Tensor(INT32, [100]), _ops.Tensor(INT32, [256])


def test_directory_has_to_be_absolute() -> None:
    with pytest.raises(ValueError, match="'kernels' is not an absolute path"):
        _ops.set_kernel_directory("kernels")


def test_missing_cann_is_one_sentence() -> None:
    with pytest.raises(RuntimeError, match=r"CANN is missing \(libascendcl.so: .*softnpu run"):
        _ops.prepare("moe_compute_expert_tokens", counted(), ())


def test_every_operator_is_found() -> None:
    names = _ops.operators()
    assert names == sorted(names)
    assert {"moe_compute_expert_tokens", "rotary_embedding", "swap_blocks"} <= set(names)
    assert _ops.families() == ["cache", "lora", "moe", "rotary"]
    for name in names:
        operator = _ops.Operator(name)
        assert operator.name == name
        assert operator.tensors
        assert len(set(operator.tensors + operator.options)) == len(operator.tensors) + len(operator.options)
    with pytest.raises(ValueError, match=r"^there is no operator 'add'$"):
        _ops.Operator("add")


def test_a_plan_needs_no_device() -> None:
    kernel, cores, tiling = _ops.plan("moe_compute_expert_tokens", counted(), (), *DEVICE)
    assert (kernel, cores) == ("moe_compute_expert_tokens", 32)
    assert tiling == [100, 256, 8]
    with pytest.raises(ValueError, match="swap_blocks launches no kernel"):
        _ops.plan("swap_blocks", (counted()[0],) * 3, (), *DEVICE)


def test_strides_of_one_element_mean_nothing() -> None:
    table = _ops.Tensor(FLOAT16, [16, 64])
    for strides in ([1000, 128, 1], [7, 99, 1]):
        rows = _ops.Tensor(FLOAT16, [1, 1, 128], strides)
        tensors = (_ops.Tensor(INT32, [1]), rows, None, table, None, None, None, None)
        assert _ops.plan("rotary_embedding", tensors, (0, "neox", False, None, False), *DEVICE)[1] == 1


@pytest.mark.parametrize(
    ("tensors", "options", "error", "sentence"),
    [
        ((), (), TypeError, "moe_finalize_routing takes 8 tensors and 2 options, not 0 arguments"),
        ((1, *[None] * 7), (1, False), TypeError, "moe_finalize_routing: rows is of the type <class 'int'>; it must be a tensor or None"),
        ([None] * 8, (1.5, False), TypeError, "k is of the type <class 'float'>; it must be a whole number"),
        ([None] * 8, (1, 0), TypeError, "by_column is of the type <class 'int'>; it must be True or False"),
        ([None] * 8, (1, False), ValueError, "rows has 0 dimensions, not \\[rows, H\\]"),
        ([None] * 8, (2**63, False), OverflowError, "int too"),
    ],
)
def test_arguments_that_do_not_fit(tensors: tuple, options: tuple, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        _ops.plan("moe_finalize_routing", tuple(tensors), options, *DEVICE)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ((0, "gpt", False, None, False), ValueError, "rotary_embedding: style is 'gpt'; there are gptj, neox, pairs_to_halves"),
        ((0, 1, False, None, False), TypeError, "style is of the type <class 'int'>; it must be a name"),
        ((0, "neox", False, (1, 2), False), ValueError, "mrope_section has 2 numbers; it must have 3"),
        (
            (0, "neox", False, 1, False),
            TypeError,
            "mrope_section is of the type <class 'int'>; it must be a sequence of whole numbers or None",
        ),
    ],
)
def test_options_that_do_not_fit(options: tuple, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        _ops.plan("rotary_embedding", (None,) * 8, options, *DEVICE)


def test_a_tensor_has_a_stride_for_each_dimension() -> None:
    with pytest.raises(ValueError, match="at most 8 dimensions, and a stride for each"):
        _ops.Tensor(INT32, [2, 3], [1])
    with pytest.raises(ValueError, match="at most 8 dimensions"):
        _ops.Tensor(INT32, [1] * 9)


def test_calls_without_a_stream_or_a_device() -> None:
    with pytest.raises(ValueError, match="moe_compute_expert_tokens: no tensor is on an NPU"):
        _ops.Operator("moe_compute_expert_tokens")(*counted())
    with pytest.raises(TypeError, match="by position, not by name"):
        _ops.Operator("moe_compute_expert_tokens")(sorted_experts=None)
    with pytest.raises(TypeError, match="the object was not initialised"):
        _ops.Launch.__new__(_ops.Launch)(64, 64, 0)


def test_the_generated_stub_has_what_the_module_has() -> None:
    tree = ast.parse(Path(os.environ["STUB"]).read_text())
    names = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assert names == {name for name in dir(_ops) if not name.startswith("_")}
