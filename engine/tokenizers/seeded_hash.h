// Hashes whose seed is drawn when the program starts, so that no file can be made to have all its keys in one place.
#pragma once

#include <cstdint>
#include <string_view>

namespace orrery {

uint64_t seeded_hash(std::string_view text);
uint64_t seeded_hash(uint64_t number);

}  // namespace orrery
