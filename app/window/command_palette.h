// The command palette (Ctrl+K) and the list of keys (?).
#pragma once

#include <QList>
#include <QString>
#include <utility>

class QAction;
class QWidget;

namespace orrery {

// Lets the user type part of an action's name and triggers the one chosen. Disabled actions are left out.
void show_command_palette(QWidget* parent, const QList<QAction*>& actions);

// An action's property: keys that are not its shortcuts, as they are named ("← →").
inline constexpr const char* kKeysProperty = "keys";
QString keys_of(const QAction& action);  // all of them; empty where it has none

using KeyList = QList<std::pair<QString, QString>>;  // key, what it does
KeyList key_list(const QList<QAction*>& actions);    // of those that have keys
void show_shortcuts(QWidget* parent, const KeyList& keys);

}  // namespace orrery
