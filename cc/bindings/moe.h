// cc/bindings/moe.h: the operators of mixtures of experts for the Python module.
#pragma once

#include <nanobind/nanobind.h>

void BindMoe(nanobind::module_& m);
