#include "app/window/layouts.h"

#include <QSettings>

namespace orrery {
namespace {

// One map under one key: a name may hold what a key may not.
const char* const kKey = "layouts";

QVariantMap stored() { return QSettings().value(QLatin1String(kKey)).toMap(); }

}  // namespace

QStringList layout_names() { return stored().keys(); }

QByteArray stored_layout(const QString& name) { return stored().value(name).toByteArray(); }

void store_layout(const QString& name, const QByteArray& state) {
  QVariantMap layouts = stored();
  layouts[name] = state;
  QSettings().setValue(QLatin1String(kKey), layouts);
}

void remove_layout(const QString& name) {
  QVariantMap layouts = stored();
  layouts.remove(name);
  QSettings().setValue(QLatin1String(kKey), layouts);
}

}  // namespace orrery
