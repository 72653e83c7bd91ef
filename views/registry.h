// The list of views.
#pragma once

#include <span>
#include <string_view>

#include "kernels/base/result.h"
#include "views/view.h"

namespace orrery {

// In the order in which they are offered; valid for the program's lifetime.
std::span<const View* const> all_views();

// Refuses, in a sentence, names that are not views.
Result<const View*> find_view(std::string_view name);

// Strips of scalars over the whole run with the cursor: the window's scrubber. Not among all_views.
const View& timeline_view();

}  // namespace orrery
