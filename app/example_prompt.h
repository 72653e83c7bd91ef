// What a model is first asked, before the user has written anything.
#pragma once

#include <filesystem>
#include <string_view>

namespace orrery {

// Of the model at this path, or of this name.
std::string_view example_prompt(const std::filesystem::path& model);

}  // namespace orrery
