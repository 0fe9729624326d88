// Which kernels this processor can run, and which were asked for.
#pragma once

#include <string>
#include <vector>

namespace lapwing {

struct Kernels;

// Names of the instruction sets compiled in and supported here, best first; "generic" is the last.
std::vector<std::string> available_isas();

// "auto" takes the best; a name that is not available here throws std::invalid_argument.
const Kernels& kernels_for(const std::string& isa);

}  // namespace lapwing
