#include "app/window/view_export.h"

#include <QObject>

#include "app/output_file.h"
#include "app/scene_files.h"
#include "app/window/window.h"
#include "views/json_renderer.h"
#include "views/svg_renderer.h"

namespace orrery {
namespace {

Result<void> write_text(const std::string& path, const std::string& text) {
  ORRERY_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  ORRERY_RETURN_IF_ERROR(file.write(text));
  return file.close();
}

}  // namespace

QString view_export_filters() {
  return QObject::tr(
      "Picture (*.png);;Drawing, text stays text (*.svg);;Numbers, a table per map and chart (*.csv);;"
      "NumPy, an array per map and chart (*.npy);;All that is drawn (*.json)");
}

Result<QStringList> export_scene(const Scene& scene, const Theme& theme, const TextMetrics& metrics,
                                 const QString& path) {
  const std::string file = path.toStdString();
  if (file.ends_with(".csv") || file.ends_with(".npy")) {
    ORRERY_ASSIGN_OR_RETURN(const std::vector<std::string> files, write_scene_tables(scene, file));
    QStringList names;
    for (const std::string& one : files) names << QString::fromStdString(one);
    return names;
  }
  Result<void> written =
      Error{ErrorCode::kInvalidArgument, "a view is exported as .png, .svg, .csv, .npy or .json, not as: " + file};
  if (file.ends_with(".png")) written = render_png(scene, theme, file);
  if (file.ends_with(".svg")) {
    written = write_text(file, render_svg(scene, theme, metrics, {.font_family = scene_font_families()}));
  }
  if (file.ends_with(".json")) {
    written = write_text(file, render_json(scene).dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  }
  if (!written) return written.error();
  return QStringList{path};
}

}  // namespace orrery
