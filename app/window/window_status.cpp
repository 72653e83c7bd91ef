// What the main window says about what is going on: the page in the middle, the toolbar's labels, the status bar.
#include <QApplication>
#include <QFileInfo>
#include <QLabel>
#include <QProgressBar>
#include <QStackedWidget>
#include <QToolButton>

#include "app/example_prompt.h"
#include "app/window/appearance.h"
#include "app/window/main_window.h"

namespace orrery {
namespace {

// What the user knows the model by: its title where it is a known one, else the name it gives itself.
QString model_title(const OpenModel& model) {
  const QString file = QFileInfo(QString::fromStdString(model.file->path())).fileName();
  for (const KnownModel& known : known_models()) {
    // A title may go on after a colon; the name before it is enough.
    if (file == QString::fromStdString(known.file_name)) return QString::fromStdString(known.title).section(':', 0, 0);
  }
  return QString::fromStdString(model.file->name());
}

QString fixed(double value, int decimals) { return QString::number(value, 'f', decimals); }

QString state_text(const SessionController& c) {
  using Mode = SessionController::Mode;
  if (c.waiting_for_run() || (c.running() && c.progress().prefill)) return QObject::tr("reading the prompt");
  if (c.running()) return c.paused() ? QObject::tr("paused") : QObject::tr("generating");
  if (c.opening_session()) return QObject::tr("opening the session");
  switch (c.mode()) {
    case Mode::kReplay:
      if (c.replay_ended()) return QObject::tr("replay ended");
      return c.replay_playing() ? QObject::tr("replaying") : QObject::tr("replay paused");
    case Mode::kStored:
      return QObject::tr("recorded run: %1").arg(QFileInfo(QString::fromStdString(c.session_path())).fileName());
    case Mode::kLive:
      return QObject::tr("run ended");
    case Mode::kEmpty:
      return {};
  }
  return {};
}

QString rate_text(const SessionController& c) {
  if (c.mode() == SessionController::Mode::kEmpty) return {};
  QString text = QObject::tr("%1 tokens").arg(c.history().n_steps());
  const RunProgress& progress = c.progress();
  if (c.running() && !progress.prefill && progress.tokens_per_s > 0) {
    text += QObject::tr(" · %1 tokens/s").arg(fixed(progress.tokens_per_s, 1));
  }
  if (c.n_dropped() > 0) text += QObject::tr(" · %1 steps not shown live").arg(c.n_dropped());
  return text;
}

}  // namespace

// In the box until the user writes something there: another model may be asked another thing.
void MainWindow::offer_example(const OpenModel& model) {
  if (!prompt_->text().isEmpty() && prompt_->text() != offered_example_) return;
  const std::string_view example = example_prompt(model.file->path());
  offered_example_ = QString::fromUtf8(example.data(), static_cast<qsizetype>(example.size()));
  prompt_->set_text(offered_example_);
}

void MainWindow::refresh_page() {
  const bool has_run = controller_.mode() != SessionController::Mode::kEmpty;
  const OpenModel* model = controller_.model();
  const QString name = model ? model_title(*model) : QString();
  const bool had_prompt = !prompt_->isHidden();
  prompt_->setVisible(model != nullptr);
  if (had_prompt != (model != nullptr)) QTimer::singleShot(0, this, &MainWindow::share_room);
  if (model) {
    if (model->fingerprint != prompt_model_) {
      prompt_model_ = model->fingerprint;
      const auto text = [](const std::string& utf8) { return QString::fromStdString(utf8); };
      prompt_->set_model({.has_tokenizer = model->tokenizer != nullptr,
                          .has_chat = controller_.has_chat(),
                          .no_chat = text(controller_.no_chat()),
                          .no_system = text(controller_.no_system()),
                          .default_system = text(controller_.default_system())});
      offer_example(*model);
    }
    prompt_->set_state({.has_model = !controller_.loading_model(),
                        .running = controller_.running() || controller_.waiting_for_run(),
                        .cannot_go_on = QString::fromStdString(controller_.cannot_go_on()),
                        .no_next_turn = QString::fromStdString(controller_.no_next_turn())});
    if (generate_when_loaded_ && !controller_.loading_model()) {
      generate_when_loaded_ = false;
      QTimer::singleShot(0, this, &MainWindow::start_generating);
    }
  }
  const bool had_run = pages_->currentIndex() == 1;
  if (has_run && !had_run) {
    start_page_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Ignored);  // the text may be lower than that page
    pages_->setCurrentIndex(1);
    arrange_docks();
    view_dirty_ = true;
  }
  if (has_run) offer_views();
  if (!has_run) start_page_->refresh(name, controller_.loading_model());
}

void MainWindow::refresh_status() {
  status_at_ = std::chrono::steady_clock::now();
  size_t texture_bytes = 0;
  for (const ViewCanvas& one : canvases_) texture_bytes += one.canvas->texture_bytes();
  controller_.set_texture_bytes(texture_bytes);
  const SessionController& c = controller_;
  const OpenModel* model = c.model();
  model_label_->setText(c.loading_model() ? tr("loading…") : model ? model_title(*model) : tr("no model"));
  const bool live = c.running();
  const bool playing = live ? !c.paused() : c.replay_playing();
  run_action_->setIcon(make_icon(playing ? IconKind::kPause : IconKind::kPlay, theme_of(c.view().theme)));
  run_action_->setText(playing ? tr("Pause") : live ? tr("Resume") : tr("Replay"));
  run_action_->setEnabled(live || c.can_replay());
  step_action_->setEnabled(c.mode() != SessionController::Mode::kEmpty);
  const bool is_replay = c.mode() == SessionController::Mode::kReplay;
  stop_action_->setEnabled(live || c.waiting_for_run() || is_replay || c.feeding_again());
  go_on_action_->setEnabled(model != nullptr && c.cannot_go_on().empty());
  generate_action_->setEnabled(model != nullptr && !c.loading_model());
  run_model_action_->setEnabled(c.can_open_run_model() && !c.loading_model());
  save_action_->setEnabled(!c.session_path().empty());
  refresh_selection_actions();
  refresh_speed_choices();
  refresh_progress();
  refresh_record_state();
  backend_menu_->refresh();
  state_label_->setText(state_text(c));
  rate_label_->setText(rate_text(c));
  const QString file = QFileInfo(QString::fromStdString(c.session_path())).completeBaseName();
  setWindowTitle(file.isEmpty() ? QStringLiteral("Orrery") : QStringLiteral("%1 – Orrery").arg(file));
  refresh_overlay();
}

// Loading, reading a prompt, feeding a recorded run again: how far, how fast, and a way out.
void MainWindow::refresh_progress() {
  const SessionController& c = controller_;
  const bool prefilling = c.running() && c.progress().prefill;
  const auto [n_fed, n_to_feed] = c.feeding_again().value_or(std::pair<int64_t, int64_t>{0, 0});
  const bool shown = c.loading_model() || prefilling || n_to_feed > 0;
  progress_bar_->setVisible(shown);
  progress_cancel_->setVisible(shown);
  if (c.loading_model()) {
    progress_bar_->setFormat(tr("loading %p%"));
    progress_bar_->setValue(static_cast<int>(c.load_share() * 1000));
  } else if (prefilling) {
    const RunProgress& p = c.progress();
    progress_bar_->setFormat(
        tr("prompt %1/%2, %3 tokens/s").arg(p.n_done).arg(p.n_total).arg(fixed(p.tokens_per_s, 0)));
    progress_bar_->setValue(p.n_total > 0 ? static_cast<int>(p.n_done * 1000 / p.n_total) : 0);
  } else if (n_to_feed > 0) {
    progress_bar_->setFormat(tr("fed again %1/%2").arg(n_fed).arg(n_to_feed));
    progress_bar_->setValue(static_cast<int>(n_fed * 1000 / n_to_feed));
  }
}

void MainWindow::refresh_record_state() {
  const SessionController& c = controller_;
  const std::optional<RecorderStatus> recording = c.recording();
  QPalette palette = QApplication::palette();
  record_label_->setToolTip(QString());
  if (recording && recording->failure) {
    record_label_->setText(tr("○ recording stopped"));
    record_label_->setToolTip(QString::fromStdString(recording->failure->message).toHtmlEscaped());
  } else if (recording) {
    const double megabytes = static_cast<double>(recording->n_bytes) * 1e-6;
    record_label_->setText(tr("● recording %1 s  %2 MB").arg(fixed(c.recorded_seconds(), 1), fixed(megabytes, 1)));
    const QColor warning = to_qcolor(theme_of(c.view().theme).colour(ColourRole::kWarning));
    for (const QPalette::ColorRole role : {QPalette::WindowText, QPalette::ButtonText}) palette.setColor(role, warning);
  } else {
    record_label_->setText(c.running() ? tr("○ not recorded") : QString());
  }
  record_label_->setPalette(palette);
}

void MainWindow::refresh_overlay() {
  if (!overlay_action_->isChecked()) return canvases_.front().canvas->set_overlay({});
  const QString text = QStringLiteral(
                           "UI CPU per frame, GL excluded: median %1 ms, p95 %2 ms, %3 frames\nheld %4 MiB, "
                           "%5 steps dropped")
                           .arg(fixed(times_.quantile_ms(0.5), 2), fixed(times_.quantile_ms(0.95), 2))
                           .arg(times_.n_frames())
                           .arg(controller_.history().used_bytes() >> 20)
                           .arg(controller_.n_dropped());
  canvases_.front().canvas->set_overlay(text.toStdString());
}

}  // namespace orrery
