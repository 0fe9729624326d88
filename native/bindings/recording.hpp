// Operations that Python calls: run at once, and, while the calling thread records a pass, written
// down to be run again.
#pragma once

#include <vector>

#include "bindings/arguments.hpp"
#include "program.hpp"

namespace lapwing {

// Lets go of Python's lock and takes the context's. `rows`: of the first input, or T.
void execute(Context& context, const Program::Step& step, size_t rows,
             std::span<KVCache* const> caches, NewMatrix out, Kept kept, Operation operation);

void bind_recording(nb::module_& m);

}  // namespace lapwing
