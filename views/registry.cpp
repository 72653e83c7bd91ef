#include "views/registry.h"

#include <array>
#include <string>

#include "views/views.h"

namespace orrery {
std::span<const View* const> all_views() {
  static const std::array<const View*, 12> kViews{
      &attention_view(), &state_view(), &convolution_view(), &fast_view(),   &mixing_view(), &routing_view(),
      &loop_view(),      &cache_view(), &lens_view(),        &output_view(), &text_view(),   &window_view(),
  };
  return kViews;
}

Result<const View*> find_view(std::string_view name) {
  std::string names;
  for (const View* view : all_views()) {
    if (view->name() == name) return view;
    names += (names.empty() ? "" : ", ") + std::string(view->name());
  }
  return Error{ErrorCode::kInvalidArgument,
               "There is no view of this name; there are " + names + ": " + std::string(name)};
}

}  // namespace orrery
