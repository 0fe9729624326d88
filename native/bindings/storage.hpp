// Weights as they are kept: planes made or used where they lie, checksums, files read ahead.
#pragma once

#include <nanobind/nanobind.h>

namespace lapwing {

void bind_storage(nanobind::module_& m);

}  // namespace lapwing
