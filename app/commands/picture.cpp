#include "app/commands/picture.h"

#include <nlohmann/json.hpp>

#include "app/commands/console.h"
#include "app/output_file.h"
#include "app/scene_files.h"
#include "views/json_renderer.h"
#include "views/svg_renderer.h"

namespace orrery {
namespace {

Scene make_scene(const PictureRequest& request, const FrameHistory& history, const TokenTexts* texts,
                 const TextMetrics& metrics) {
  return request.view->scene(
      {.history = history,
       .state = request.state,
       .size = request.size,
       .metrics = metrics,
       .texts = texts,
       .no_exact_row = "The exact row was not recorded: shot --model and export --recompute compute it."});
}

Result<void> write_text(const std::string& out, const std::string& text) {
  ORRERY_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(out));
  ORRERY_RETURN_IF_ERROR(file.write(text));
  return file.close();
}

}  // namespace

Result<void> write_picture(const PictureRequest& request, const FrameHistory& history, const TokenTexts* texts,
                           const Desktop& desktop) {
  const Theme& theme = theme_of(request.state.theme);
  if (request.out.ends_with(".png")) {
    if (!desktop.available()) return no_desktop(request.out);
    const std::unique_ptr<TextMetrics> metrics = desktop.text_metrics(theme);
    return desktop.render_png(make_scene(request, history, texts, *metrics), theme, request.out);
  }
  const FixedWidthMetrics metrics(theme);
  if (request.out.ends_with(".svg")) {
    return write_text(request.out, render_svg(make_scene(request, history, texts, metrics), theme, metrics));
  }
  if (request.out.ends_with(".json")) {
    const nlohmann::json json = render_json(make_scene(request, history, texts, metrics));
    return write_text(request.out, json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  }
  if (request.out.ends_with(".csv") || request.out.ends_with(".npy")) {
    ORRERY_ASSIGN_OR_RETURN(const std::vector<std::string> files,
                            write_scene_tables(make_scene(request, history, texts, metrics), request.out));
    for (const std::string& file : files) say("wrote " + file);
    return {};
  }
  return Error{ErrorCode::kInvalidArgument,
               "--out takes a file that ends in .png, .svg, .json, .csv or .npy, not: " + request.out};
}

}  // namespace orrery
