#include "app/window/preferences.h"

#include <QSettings>
#include <algorithm>

#include "app/window/backend_menu.h"

namespace orrery {
namespace {

int stored(const QSettings& settings, const char* key, int fallback, int low, int high) {
  bool is_number = false;
  const int value = settings.value(QLatin1String(key), fallback).toInt(&is_number);
  return is_number ? std::clamp(value, low, high) : fallback;
}

}  // namespace

Preferences Preferences::load() {
  const QSettings settings;
  Preferences stored_ones;
  const std::string theme = settings.value(QStringLiteral("theme")).toString().toStdString();
  stored_ones.theme = parse_theme(theme).value_or(stored_ones.theme);
  stored_ones.type_percent = stored(settings, "type_percent", stored_ones.type_percent, 75, 200);
  const std::string level = settings.value(QStringLiteral("level")).toString().toStdString();
  for (const Level one : {Level::kLight, Level::kStandard, Level::kFull}) {
    if (level == level_name(one)) stored_ones.level = one;
  }
  stored_ones.record = settings.value(QStringLiteral("record"), stored_ones.record).toBool();
  stored_ones.history_mib = stored(settings, "history_mib", stored_ones.history_mib, 64, 65536);
  stored_ones.sessions_gib = stored(settings, "sessions_gib", stored_ones.sessions_gib, 1, 4096);
  stored_ones.backend = BackendMenu::stored_choice();
  return stored_ones;
}

void Preferences::save() const {
  QSettings settings;
  const auto text = [](std::string_view name) { return QString::fromStdString(std::string(name)); };
  settings.setValue(QStringLiteral("theme"), text(theme_name(theme)));
  settings.setValue(QStringLiteral("type_percent"), type_percent);
  settings.setValue(QStringLiteral("level"), text(level_name(level)));
  settings.setValue(QStringLiteral("record"), record);
  settings.setValue(QStringLiteral("history_mib"), history_mib);
  settings.setValue(QStringLiteral("sessions_gib"), sessions_gib);
  settings.setValue(QStringLiteral("backend"), text(backend));
}

}  // namespace orrery
