// What the CPU backend runs on: recorded in sessions, since bits may differ from one instruction set to another.
#pragma once

#include <string_view>

namespace orrery {

// Highway's name of the instruction set that the kernels dispatch to, e.g. "AVX3_DL", "AVX2".
std::string_view instruction_set();

// Cores that this process may run on (its affinity mask), at least 1.
int usable_cores();

}  // namespace orrery
