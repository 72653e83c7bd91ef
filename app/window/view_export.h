// Export what I see: one view's picture or numbers as a file, by the ending of its name.
#pragma once

#include <QString>
#include <QStringList>

#include "kernels/base/result.h"
#include "views/scene.h"
#include "views/text_metrics.h"

namespace orrery {

// For a file dialog: the kinds of files, each with what it has.
QString view_export_filters();

// .png, .svg, .json, .csv, .npy. The scene was laid out with `metrics`. Returns the files written: CSV and NPY take one
// per table. kInvalidArgument for another ending, kIo. UI thread.
Result<QStringList> export_scene(const Scene& scene, const Theme& theme, const TextMetrics& metrics,
                                 const QString& path);

}  // namespace orrery
