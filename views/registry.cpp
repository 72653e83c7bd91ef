#include "views/registry.h"

#include <array>
#include <string>

#include "views/views.h"

namespace orrery {
namespace {

// Named in the interface, built by later issues.
constexpr std::array<std::string_view, 3> kNotBuiltYet{"convolution", "lens", "mixing"};

}  // namespace

std::span<const View* const> all_views() {
  static const std::array<const View*, 9> kViews{
      &attention_view(), &state_view(),  &fast_view(), &routing_view(), &loop_view(),
      &cache_view(),     &output_view(), &text_view(), &window_view(),
  };
  return kViews;
}

Result<const View*> find_view(std::string_view name) {
  std::string names;
  for (const View* view : all_views()) {
    if (view->name() == name) return view;
    names += (names.empty() ? "" : ", ") + std::string(view->name());
  }
  for (const std::string_view later : kNotBuiltYet) {
    if (later == name) {
      return Error{ErrorCode::kUnsupported,
                   "The view \"" + std::string(name) + "\" is not built yet; there are " + names + "."};
    }
  }
  return Error{ErrorCode::kInvalidArgument,
               "There is no view of this name; there are " + names + ": " + std::string(name)};
}

}  // namespace orrery
