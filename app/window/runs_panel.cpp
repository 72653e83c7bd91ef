#include "app/window/runs_panel.h"

#include <QDateTime>
#include <QHeaderView>
#include <QLabel>
#include <QLocale>
#include <QTreeWidget>
#include <QVBoxLayout>
#include <map>

#include "sessions/session_reader.h"

namespace orrery {
namespace {

enum Column { kRun, kTokens, kPrompt, kModel, kStarted, kExit, kEnd, kColumns };
constexpr int kRunRole = Qt::UserRole;
constexpr int kMostPrompt = 80;  // characters

QString to_qstring(const std::string& text) { return QString::fromStdString(text); }

QString started_text(int64_t created_ns) {
  const QDateTime time = QDateTime::fromMSecsSinceEpoch(created_ns / 1'000'000);
  const bool today = time.date() == QDate::currentDate();
  return QLocale::c().toString(time, today ? QStringLiteral("HH:mm") : QStringLiteral("d MMM yyyy HH:mm"));
}

QString prompt_text(const PromptRecord& prompt) {
  const QString text = to_qstring(prompt.text).simplified();
  return text.size() > kMostPrompt ? text.left(kMostPrompt) + QStringLiteral("…") : text;
}

void fill(QTreeWidgetItem* item, const SessionRunRow& row) {
  const RunRecord& record = row.record;
  item->setText(kRun, QString::number(record.run));
  item->setText(kPrompt, prompt_text(record.prompt));
  item->setText(kTokens, QLocale().toString(static_cast<qlonglong>(row.n_tokens)));
  item->setText(kModel, to_qstring(record.model_name));
  item->setText(kStarted, started_text(record.created_ns));
  item->setText(kExit, exit_rule_text(record.settings.loop));
  item->setText(kEnd, to_qstring(std::string(run_end_name(record.end))));
  item->setTextAlignment(kTokens, Qt::AlignRight | Qt::AlignVCenter);
  item->setData(0, kRunRole, QVariant::fromValue<qlonglong>(record.run));
  const QString tip = QObject::tr("run %1: %2\n%3, %4\ntemperature %5, seed %6, level %7")
                          .arg(record.run)
                          .arg(item->text(kPrompt), item->text(kModel), to_qstring(record.settings.device))
                          .arg(record.settings.temperature)
                          .arg(record.settings.seed)
                          .arg(to_qstring(std::string(level_name(record.settings.schedule.level))));
  const QString escaped = tip.toHtmlEscaped().replace(QLatin1Char('\n'), QStringLiteral("<br>"));
  for (int column = 0; column < kColumns; ++column) {
    item->setToolTip(column, QStringLiteral("<p>%1</p>").arg(escaped));
  }
}

}  // namespace

Result<std::vector<SessionRunRow>> read_session_runs(const std::string& path) {
  ORRERY_ASSIGN_OR_RETURN(const std::unique_ptr<SessionReader> reader, SessionReader::open(path));
  ORRERY_ASSIGN_OR_RETURN(std::vector<RunRecord> records, reader->runs());
  std::vector<SessionRunRow> rows;
  for (RunRecord& record : records) {
    ORRERY_ASSIGN_OR_RETURN(const std::vector<Token> tokens, reader->tokens(record.run));
    rows.push_back({std::move(record), std::ssize(tokens)});
  }
  return rows;
}

QString exit_rule_text(const LoopConfig& loop) {
  if (!loop.any()) return {};
  const QString at_most = QObject::tr("at most %1 times").arg(loop.n_iterations);
  const QString threshold = QString::number(static_cast<double>(loop.threshold), 'g', 4);
  switch (loop.rule) {
    case ExitRule::kFixed:
      return QObject::tr("%1 times").arg(loop.n_iterations);
    case ExitRule::kGate:
      return QObject::tr("gate %1, %2").arg(threshold, at_most);
    case ExitRule::kStep:
      return QObject::tr("step %1, %2").arg(threshold, at_most);
    case ExitRule::kDivergence:
      return QObject::tr("KL %1, %2").arg(threshold, at_most);
  }
  return {};
}

RunsPanel::RunsPanel(QWidget* parent) : QWidget(parent) {
  tree_ = new QTreeWidget;
  tree_->setObjectName(QStringLiteral("runs"));
  tree_->setAccessibleName(tr("Runs of the session"));
  tree_->setColumnCount(kColumns);
  tree_->setHeaderLabels(
      {tr("run"), tr("tokens"), tr("prompt"), tr("model"), tr("started"), tr("loop's exit"), tr("end")});
  tree_->setFrameShape(QFrame::NoFrame);
  tree_->setUniformRowHeights(true);
  tree_->setIndentation(14);
  tree_->setItemsExpandable(false);
  tree_->setRootIsDecorated(false);
  connect(tree_, &QTreeWidget::itemClicked, this,
          [this](QTreeWidgetItem* item) { Q_EMIT open(item->data(0, kRunRole).toLongLong()); });
  connect(tree_, &QTreeWidget::itemActivated, this,
          [this](QTreeWidgetItem* item) { Q_EMIT open(item->data(0, kRunRole).toLongLong()); });
  none_ = new QLabel;
  none_->setObjectName(QStringLiteral("no_runs"));
  none_->setTextFormat(Qt::PlainText);
  none_->setWordWrap(true);
  none_->setAlignment(Qt::AlignCenter);
  none_->setForegroundRole(QPalette::PlaceholderText);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->addWidget(tree_, 1);
  layout->addWidget(none_, 1);
  show_sentence(tr("No session is open."));
}

void RunsPanel::show_sentence(const QString& sentence) {
  tree_->clear();
  tree_->hide();
  none_->setText(sentence);
  none_->show();
}

void RunsPanel::show_runs(const std::vector<SessionRunRow>& runs, int64_t shown) {
  none_->hide();
  tree_->show();
  tree_->clear();
  std::map<int64_t, QTreeWidgetItem*> items;
  bool loops = false;
  for (const SessionRunRow& row : runs) {
    // A run's parent came before it; one that is not there, or is the run itself, makes it a root.
    const auto parent = items.find(row.record.parent);
    auto* item = parent == items.end() ? new QTreeWidgetItem(tree_) : new QTreeWidgetItem(parent->second);
    fill(item, row);
    items[row.record.run] = item;
    loops = loops || row.record.settings.loop.any();
    if (row.record.run != shown) continue;
    tree_->setCurrentItem(item);
    QFont bold = tree_->font();
    bold.setBold(true);
    for (int column = 0; column < kColumns; ++column) item->setFont(column, bold);
  }
  tree_->expandAll();
  tree_->setColumnHidden(kExit, !loops);
  const int em = fontMetrics().averageCharWidth();
  for (int column = 0; column < kColumns; ++column) tree_->resizeColumnToContents(column);
  tree_->setColumnWidth(kPrompt, std::min(tree_->columnWidth(kPrompt), 30 * em));
}

}  // namespace orrery
