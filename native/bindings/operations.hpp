#pragma once

#include <nanobind/nanobind.h>

namespace lapwing {

void bind_operations(nanobind::module_& m);

}  // namespace lapwing
