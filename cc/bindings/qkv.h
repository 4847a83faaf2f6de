// cc/bindings/qkv.h: the operators that take qkv apart, for the Python module.
#pragma once

#include <nanobind/nanobind.h>

void BindQkv(nanobind::module_& m);
