// cc/bindings/cache.h: the operators on paged caches for the Python module.
#pragma once

#include <nanobind/nanobind.h>

void BindCache(nanobind::module_& m);
