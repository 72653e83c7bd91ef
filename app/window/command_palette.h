// The command palette (Ctrl+K) and the list of keys (?).
#pragma once

#include <QList>
#include <utility>

class QAction;
class QWidget;

namespace orrery {

// Lets the user type part of an action's name and triggers the one chosen. Disabled actions are left out.
void show_command_palette(QWidget* parent, const QList<QAction*>& actions);

using KeyList = QList<std::pair<QString, QString>>;  // key, what it does
void show_shortcuts(QWidget* parent, const KeyList& keys);

}  // namespace orrery
