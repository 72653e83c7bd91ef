// Layouts: arrangements of the docks that the user named; kept in QSettings.
#pragma once

#include <QByteArray>
#include <QString>
#include <QStringList>

namespace orrery {

QStringList layout_names();  // sorted
// QMainWindow::saveState; empty where there is none of this name.
QByteArray stored_layout(const QString& name);
void store_layout(const QString& name, const QByteArray& state);
void remove_layout(const QString& name);

}  // namespace orrery
