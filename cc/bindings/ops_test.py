# cc/bindings/ops_test.py: the module without CANN: arguments, errors, and its stub.
import ast
import re
from pathlib import Path

import _ops
import pytest

HERE = Path(__file__).resolve().parent


def test_directory_has_to_be_absolute() -> None:
    with pytest.raises(ValueError, match="'kernels' is not an absolute path"):
        _ops.set_kernel_directory("kernels")


def test_missing_cann_is_one_sentence() -> None:
    with pytest.raises(RuntimeError, match=r"CANN is missing \(libascendcl.so: .*softnpu run"):
        _ops.copy_blocks(1, 1, 4, 64, True)


def test_wrong_arguments_are_a_type_error() -> None:
    with pytest.raises(TypeError, match="reshape_and_cache"):
        _ops.reshape_and_cache(1, 2)


NAMES = [name for name in dir(_ops) if not name.startswith("_") and name != "Launch"]


def test_the_stub_has_what_the_module_has() -> None:
    tree = ast.parse((HERE / "_ops.pyi").read_text())
    assert sorted(node.name for node in tree.body if isinstance(node, ast.FunctionDef)) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_stub_has_the_parameters_of_the_module(name: str) -> None:
    tree = ast.parse((HERE / "_ops.pyi").read_text())
    [stub] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    function = getattr(_ops, name)
    signature = function.__doc__.splitlines()[0] if "(" in function.__doc__ else ""
    real = re.findall(r"(\w+): ", signature)
    assert real == [argument.arg for argument in stub.args.args]
    assert len(function.__doc__.splitlines()) > 1
