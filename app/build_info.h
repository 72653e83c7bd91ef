// Which program this is. Recorded in sessions: bits can be compared only between runs of one build.
#pragma once

#include <string>

namespace orrery {

std::string version();   // "0.1.0"
std::string build_id();  // "0.1.0 (3f2a91c, GNU 12.2.0, Release)": version, commit, compiler, build type

}  // namespace orrery
