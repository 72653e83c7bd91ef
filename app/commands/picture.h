// A view's scene as a file: PNG through Qt, SVG, JSON, its tables as CSV or NPY; by the ending of its name.
#pragma once

#include <string>

#include "app/commands/desktop.h"
#include "app/commands/session_run.h"
#include "kernels/base/result.h"
#include "probes/frame_history.h"
#include "views/view.h"

namespace orrery {

struct PictureRequest {
  const View* view = nullptr;
  ViewState state;
  Size size{1280, 860};
  std::string out;
};

// kUnsupported for a PNG without Qt, kInvalidArgument for another ending, kIo.
Result<void> write_picture(const PictureRequest& request, const FrameHistory& history, const TokenTexts* texts,
                           const Desktop& desktop);

}  // namespace orrery
