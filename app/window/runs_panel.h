// RunsPanel: the runs of the open session as a tree, each below the run it branched from; a click opens one.
#pragma once

#include <QWidget>
#include <string>
#include <vector>

#include "kernels/base/result.h"
#include "sessions/run_record.h"

class QLabel;
class QTreeWidget;
class QTreeWidgetItem;

namespace orrery {

struct SessionRunRow {
  RunRecord record;
  int64_t n_tokens = 0;
};
// By id. Reads the file: not on the UI thread.
Result<std::vector<SessionRunRow>> read_session_runs(const std::string& path);

// "all 4 times", "gate: 0.7": how a loop's tokens leave it; empty where there is no loop.
QString exit_rule_text(const LoopConfig& loop);

class RunsPanel final : public QWidget {
  Q_OBJECT
 public:
  explicit RunsPanel(QWidget* parent = nullptr);
  // `shown`: the run that is on the screen.
  void show_runs(const std::vector<SessionRunRow>& runs, int64_t shown);
  void show_sentence(const QString& sentence);  // in place of runs

 Q_SIGNALS:
  void open(qint64 run);

 private:
  QTreeWidget* tree_;
  QLabel* none_;
};

}  // namespace orrery
