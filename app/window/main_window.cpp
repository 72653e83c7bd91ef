#include "app/window/main_window.h"

#include <QApplication>
#include <QCloseEvent>
#include <QDockWidget>
#include <QDragEnterEvent>
#include <QFileInfo>
#include <QLabel>
#include <QMimeData>
#include <QMouseEvent>
#include <QProgressBar>
#include <QScreen>
#include <QSettings>
#include <QStackedWidget>
#include <QStatusBar>
#include <QStyle>
#include <QToolBar>
#include <QToolButton>
#include <QVBoxLayout>
#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "app/library/stage_folder.h"
#include "app/window/appearance.h"
#include "app/window/dock_grip.h"
#include "app/window/get_model_dialog.h"
#include "views/registry.h"

namespace orrery {
namespace {

constexpr std::chrono::milliseconds kFrame{16};  // 60 frames a second at most
constexpr int64_t kFrameBudgetNs = 2'500'000;    // of the UI thread, for making scenes
constexpr std::chrono::milliseconds kRest{100};  // between looks at the engine where nothing goes on
constexpr std::chrono::milliseconds kRestAfter{1000};
constexpr std::chrono::milliseconds kInspectorEvery{100};  // numbers cannot be read faster
constexpr std::chrono::milliseconds kStatusEvery{200};
// Views of what a token goes through, one below the other; all others stand beside them.
constexpr std::array<std::string_view, 4> kMixerViews{"attention", "state", "fast", "loop"};
// Views that stand as a tab behind another, which is in front at first.
constexpr std::array<std::pair<const char*, const char*>, 3> kTabs{
    {{"convolution", "state"}, {"mixing", "attention"}, {"lens", "output"}}};

// Not closed, nor a tab behind another.
bool is_in_sight(const QWidget& widget) { return widget.isVisible() && !widget.visibleRegion().isEmpty(); }

}  // namespace

MainWindow::MainWindow(const WindowOptions& options, QWidget* parent)
    : QMainWindow(parent),
      options_(options),
      controller_({.name = options.backend.value_or(BackendMenu::stored_choice()), .threads = options.threads},
                  options.backends) {
  setObjectName(QStringLiteral("main_window"));
  setWindowTitle(QStringLiteral("Orrery"));
  setDockOptions(QMainWindow::AllowNestedDocks | QMainWindow::AllowTabbedDocks);
  setCorner(Qt::BottomLeftCorner, Qt::LeftDockWidgetArea);
  setCorner(Qt::BottomRightCorner, Qt::RightDockWidgetArea);
  setAcceptDrops(true);
  setFocusPolicy(Qt::StrongFocus);
  build_central();
  build_docks();
  build_status_bar();
  build_actions();
  connect_controller();
  if (!options_.prompt.empty()) prompt_->set_text(QString::fromStdString(options_.prompt));

  connect_frame();
  QSettings settings;
  resize(screen()->availableGeometry().size().boundedTo(QSize(1600, 1000)));
  if (settings.contains(QStringLiteral("geometry"))) {
    restoreGeometry(settings.value(QStringLiteral("geometry")).toByteArray());
  }
  clock_.setTimerType(Qt::PreciseTimer);
  connect(&clock_, &QTimer::timeout, this, &MainWindow::tick);
  clock_.start(kFrame);
  refresh_page();
  refresh_status();
  if (!options_.file.empty()) open_path(QString::fromStdString(options_.file.string()));
  generate_when_loaded_ = options_.generate;
}

MainWindow::~MainWindow() { clock_.stop(); }

ImGuiCanvas* MainWindow::add_canvas(const View& view) {
  auto* canvas =
      new ImGuiCanvas(QString::fromUtf8(view.name().data(), static_cast<qsizetype>(view.name().size())), times_);
  canvas->set_scene_maker([this, &view](Size size, const TextMetrics& metrics) {
    return scene_of(view, metrics, QSize(static_cast<int>(size.width), static_cast<int>(size.height)));
  });
  canvas->on_command = [this, &view](const Command& command) {
    last_view_ = &view;
    controller_.apply(command);
  };
  canvas->setContextMenuPolicy(Qt::CustomContextMenu);
  connect(canvas, &QWidget::customContextMenuRequested, this,
          [this, canvas, &view](const QPoint& at) { show_view_menu(view, canvas->mapToGlobal(at)); });
  canvases_.push_back({&view, canvas, nullptr});
  return canvas;
}

QDockWidget* MainWindow::add_dock(const QString& name, const QString& title, QWidget* widget) {
  auto* dock = new QDockWidget(title, this);
  dock->setObjectName(name);
  dock->setWidget(widget);
  return dock;
}

void MainWindow::build_central() {
  prompt_ = new PromptPanel;
  connect(prompt_, &PromptPanel::generate, this, &MainWindow::start_generating);
  connect(prompt_, &PromptPanel::go_on, this, &MainWindow::go_on);
  connect(prompt_, &PromptPanel::stop, this, [this] { controller_.stop(); });
  connect(prompt_, &PromptPanel::read, this, &MainWindow::read_text);

  error_label_ = new QLabel;
  error_label_->setObjectName(QStringLiteral("error"));
  error_label_->setTextFormat(Qt::PlainText);
  error_label_->setWordWrap(true);
  error_label_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  auto* dismiss = new QToolButton;
  dismiss->setText(QStringLiteral("✕"));
  dismiss->setAutoRaise(true);
  dismiss->setToolTip(tr("Dismiss"));
  error_bar_ = new QWidget;
  error_bar_->setAutoFillBackground(true);
  auto* error_layout = new QHBoxLayout(error_bar_);
  error_layout->setContentsMargins(10, 4, 4, 4);
  error_layout->addWidget(error_label_, 1);
  error_layout->addWidget(dismiss);
  error_bar_->hide();
  connect(dismiss, &QToolButton::clicked, error_bar_, &QWidget::hide);

  start_page_ = new StartPage;
  connect(start_page_, &StartPage::open_dialog, this, &MainWindow::open_dialog);
  connect(start_page_, &StartPage::open, this, &MainWindow::open_path);
  connect(start_page_, &StartPage::get, this, &MainWindow::get_model);
  connect(start_page_, &StartPage::go_on, this, &MainWindow::go_on_fetching);
  pages_ = new QStackedWidget;
  pages_->addWidget(start_page_);
  pages_->addWidget(add_canvas(**find_view("text")));

  auto* central = new QWidget;
  auto* layout = new QVBoxLayout(central);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(error_bar_);
  layout->addWidget(prompt_);
  layout->addWidget(pages_, 1);
  setCentralWidget(central);
}

void MainWindow::build_docks() {
  library_ = new LibraryPanel;
  connect(library_, &LibraryPanel::open, this, &MainWindow::open_path);
  connect(library_, &LibraryPanel::get, this, &MainWindow::get_model);
  connect(library_, &LibraryPanel::go_on, this, &MainWindow::go_on_fetching);
  connect(library_, &LibraryPanel::cancel_fetch, this, [this] { fetch_.cancel(); });
  connect(library_, &LibraryPanel::removed, this, &MainWindow::refresh_library);
  connect(library_, &LibraryPanel::failed, this, &MainWindow::show_error);
  connect_fetch();
  inspector_ = new InspectorTable;

  addDockWidget(Qt::LeftDockWidgetArea, add_dock(QStringLiteral("dock_library"), tr("Library"), library_));
  build_frame_docks();
  inspector_dock_ = add_dock(QStringLiteral("dock_inspector"), tr("Inspector"), inspector_);
  addDockWidget(Qt::RightDockWidgetArea, inspector_dock_);
  const auto view_dock = [this](const View& view) {
    ImGuiCanvas* canvas = add_canvas(view);
    const QString title = QString::fromUtf8(view.title().data(), static_cast<qsizetype>(view.title().size()));
    QDockWidget* dock = add_dock(QStringLiteral("dock_") + canvas->objectName(), title, canvas);
    auto* grip = new DockGrip(title);  // the view names itself
    grip->on_double_click = [this, &view] { toggle_maximised(view); };
    dock->setTitleBarWidget(grip);
    canvases_.back().dock = dock;
    return dock;
  };
  // What a layer mixes with, and beside it what else goes on, the output first; the timeline below both.
  std::vector<QDockWidget*> mixers, others;
  for (const View* view : all_views()) {
    if (view->name() == "text" || view->name() == "window") continue;
    QDockWidget* const dock = view_dock(*view);
    if (std::ranges::any_of(kTabs, [view](const auto& tab) { return view->name() == tab.first; })) continue;
    const bool mixes = std::ranges::find(kMixerViews, view->name()) != kMixerViews.end();
    std::vector<QDockWidget*>& column = mixes ? mixers : others;
    column.insert(view->name() == "output" ? column.begin() : column.end(), dock);
  }
  QDockWidget* timeline = view_dock(timeline_view());
  addDockWidget(Qt::BottomDockWidgetArea, mixers.front());
  splitDockWidget(mixers.front(), timeline, Qt::Vertical);
  splitDockWidget(mixers.front(), others.front(), Qt::Horizontal);
  for (const std::vector<QDockWidget*>& column : {mixers, others}) {
    for (size_t i = 1; i < column.size(); ++i) splitDockWidget(column[i - 1], column[i], Qt::Vertical);
    run_docks_.insert(run_docks_.end(), column.begin(), column.end());
  }
  for (const auto& [behind, front] : kTabs) {
    tabifyDockWidget(dock_of(front), dock_of(behind));
    run_docks_.push_back(dock_of(behind));
  }
  run_docks_.insert(run_docks_.end(), {timeline, inspector_dock_});
  for (QDockWidget* dock : run_docks_) dock->hide();
}

QDockWidget* MainWindow::dock_of(const char* view) const {
  return findChild<QDockWidget*>(QStringLiteral("dock_") + QLatin1String(view));
}

// The first time a run is shown: sizes as in the picture, or as they were left.
void MainWindow::arrange_docks() {
  if (docks_arranged_) return;
  docks_arranged_ = true;
  for (QDockWidget* dock : run_docks_) dock->show();
  size_docks();
  for (const auto& [behind, front] : kTabs) dock_of(front)->raise();
  default_docks_ = saveState(kDockLayout);
  const QByteArray state = QSettings().value(QStringLiteral("docks")).toByteArray();
  has_own_sizes_ = !state.isEmpty() && restoreState(state, kDockLayout);
}

// As in the picture, for the window as large as it is.
void MainWindow::size_docks() {
  const int library_width = std::max(170, width() * 13 / 100);
  const int inspector_width = std::max(250, width() * 21 / 100);
  const int middle = width() - library_width - inspector_width;
  resizeDocks({dock_of("library"), inspector_dock_}, {library_width, inspector_width}, Qt::Horizontal);
  const int mixers = std::max(middle * 62 / 100, std::min(middle * 70 / 100, 540));  // with overviews beside maps
  // A few lines of text stay; without a model the views have the prompt's place as well.
  const int text = std::clamp(height() * 14 / 100, 100, 220);
  const int prompt = prompt_->isHidden() ? 0 : prompt_->sizeHint().height();
  const int bars = menuWidget()->height() + findChild<QToolBar*>()->height() + statusBar()->height();
  const int bottom = height() - bars - prompt - text;
  const int timeline = std::clamp(height() * 12 / 100, 84, 130);
  resizeDocks({dock_of("timeline")}, {timeline}, Qt::Vertical);
  share_height({"attention", "state", "fast", "loop"}, bottom - timeline);
  share_height({"output", "routing", "cache"}, bottom - timeline);
  resizeDocks({dock_of("attention"), dock_of("output")}, {mixers, middle - mixers}, Qt::Horizontal);
}

// Those of a column that are there, alike. Their edges and tabs take of the height, too.
void MainWindow::share_height(std::initializer_list<const char*> views, int height) {
  const int edge = style()->pixelMetric(QStyle::PM_DockWidgetSeparatorExtent, nullptr, this);
  const int tabs = fontMetrics().height() + 12;
  QList<QDockWidget*> docks;
  for (const char* view : views) {
    QDockWidget* const dock = dock_of(view);
    if (dock->isHidden()) continue;
    docks.append(dock);
    height -= edge;
    if (!tabifiedDockWidgets(dock).isEmpty()) height -= tabs;
  }
  if (docks.isEmpty()) return;
  resizeDocks(docks, QList<int>(docks.size(), std::max(height, 0) / static_cast<int>(docks.size())), Qt::Vertical);
}

void MainWindow::offer_views() {
  const RunInfo& info = controller_.history().info();
  bool changed = false;
  for (ViewCanvas& one : canvases_) {
    if (one.dock == nullptr) continue;
    const bool was_absent = one.absent;
    set_absent(one, one.view->unavailable(info));
    changed |= one.absent != was_absent;
  }
  // Once the layout knows of them: what a view leaves that goes would else be the text's.
  if (changed) QTimer::singleShot(0, this, &MainWindow::share_room);
  for (const auto& [action, probe] : scalar_actions_) action->setEnabled(is_offered(*probe, info.config));
  keep_maximised();
}

void MainWindow::set_absent(ViewCanvas& view, const std::optional<std::string>& why) {
  QAction* const toggle = view.dock->toggleViewAction();
  const QString title = view.dock->windowTitle();
  toggle->setText(why ? tr("%1: %2").arg(title, QString::fromStdString(*why)) : title);
  toggle->setEnabled(!why);
  if (view.export_action != nullptr) view.export_action->setEnabled(!why);
  if (why.has_value() == view.absent) return;
  view.absent = why.has_value();
  if (view.absent) view.was_visible = !view.dock->isHidden();
  view.dock->setVisible(!view.absent && view.was_visible);
  for (const auto& [behind, front] : kTabs) {
    const bool is_one = view.view->name() == front || view.view->name() == behind;
    if (is_one && !dock_of(front)->isHidden()) dock_of(front)->raise();
  }
}

void MainWindow::build_status_bar() {
  state_label_ = new QLabel;
  rate_label_ = new QLabel;
  for (QLabel* label : {state_label_, rate_label_}) label->setTextFormat(Qt::PlainText);
  progress_bar_ = new QProgressBar;
  progress_bar_->setObjectName(QStringLiteral("progress"));
  progress_bar_->setFixedWidth(260);
  progress_bar_->setRange(0, 1000);
  progress_cancel_ = new QToolButton;
  progress_cancel_->setObjectName(QStringLiteral("progress_cancel"));
  progress_cancel_->setText(tr("Cancel"));
  connect(progress_cancel_, &QToolButton::clicked, this,
          [this] { controller_.loading_model() ? controller_.cancel_load() : controller_.stop(); });
  statusBar()->addPermanentWidget(progress_bar_);
  statusBar()->addPermanentWidget(progress_cancel_);
  statusBar()->addPermanentWidget(rate_label_);
  statusBar()->addWidget(state_label_);
  progress_bar_->hide();
  progress_cancel_->hide();
}

void MainWindow::connect_controller() {
  connect(&controller_, &SessionController::status_changed, this, [this] {
    wake_clock();
    refresh_page();
    refresh_status();
  });
  connect(&controller_, &SessionController::view_changed, this, [this] {
    view_dirty_ = inspector_dirty_ = true;
    refresh_selection_actions();
    wake_clock();
  });
  connect(&controller_, &SessionController::run_opened, this, [this] {
    error_bar_->hide();
    view_dirty_ = inspector_dirty_ = true;
    if (controller_.mode() == SessionController::Mode::kLive) prompt_->run_began();
    const std::string& path = controller_.session_path();
    if (controller_.mode() == SessionController::Mode::kStored) remember_opened_file(QString::fromStdString(path));
    refresh_page();
    refresh_runs();
    if (!prompt_->isAncestorOf(QApplication::focusWidget())) setFocus();
  });
  connect(&controller_, &SessionController::run_went_on, this, [this] {
    error_bar_->hide();
    prompt_->run_began();
  });
  connect(&controller_, &SessionController::library_changed, library_, &LibraryPanel::refresh);
  connect(&controller_, &SessionController::failed, this, &MainWindow::show_error);
  connect(&controller_, &SessionController::noticed, this,
          [this](const QString& sentence) { statusBar()->showMessage(sentence, 8000); });
}

ImGuiCanvas* MainWindow::canvas(std::string_view view_name) const {
  for (const ViewCanvas& one : canvases_) {
    if (one.view->name() == view_name) return one.canvas;
  }
  return nullptr;
}

QString MainWindow::error_text() const { return error_bar_->isVisible() ? error_label_->text() : QString(); }

void MainWindow::open_path(const QString& path) {
  error_bar_->hide();
  const bool is_session = path.endsWith(QStringLiteral(".orrery"), Qt::CaseInsensitive);
  if (is_session) {
    controller_.open_session(path.toStdString());
  } else {
    controller_.open_model(path.toStdString());
  }
}

void MainWindow::start_generating() {
  error_bar_->hide();
  GenerateRequest request = prompt_->request();
  if (request.text.empty()) {
    prompt_->focus_text();
    return show_error(tr("The prompt is empty: write what the model shall go on from."));
  }
  request.record = record_action_ == nullptr || !record_action_->isChecked();
  const bool is_chat = request.kind == PromptKind::kChat;
  controller_.generate(std::move(request));
  // In a chat the next message comes next; else Space and the arrows are the views'.
  if (!is_chat) setFocus();
}

void MainWindow::go_on() {
  error_bar_->hide();
  controller_.generate(prompt_->go_on_request());
}

void MainWindow::connect_fetch() {
  connect(&fetch_, &ModelFetch::progressed, this,
          [this](const QString& detail, double share) { library_->show_fetch(fetched_, detail, share); });
  connect(&fetch_, &ModelFetch::planned, this, [this](const FetchPlan& plan) {
    if (!plan.installed && !plan.licence.must_be_accepted) return start_fetch(plan, false);
    library_->show_fetch({}, {}, 0);
    if (!plan.installed) get_model(QString::fromStdString(plan.request.what));
  });
  connect(&fetch_, &ModelFetch::finished, this, [this](const QString& path) {
    library_->show_fetch({}, {}, 0);
    refresh_library();
    statusBar()->showMessage(tr("%1 is installed").arg(fetched_), 15000);
    if (controller_.model() == nullptr && !controller_.loading_model()) open_path(path);
  });
  connect(&fetch_, &ModelFetch::failed, this, [this](const QString& sentence) {
    library_->show_fetch({}, {}, 0);
    refresh_library();
    if (!sentence.isEmpty()) return show_error(sentence);
    statusBar()->showMessage(tr("Stopped; the library offers to go on with %1").arg(fetched_), 15000);
  });
}

void MainWindow::refresh_library() {
  library_->refresh();
  refresh_page();
}

// Nothing of a model comes before the dialog has shown its licence.
void MainWindow::get_model(const QString& what) {
  auto* dialog = new GetModelDialog(this);
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  connect(dialog, &GetModelDialog::get, this, [this, dialog](const FetchPlan& plan, bool licence_accepted) {
    if (fetch_.running()) {
      return dialog->show_error(tr("%1 is being fetched; wait for it, or cancel it in the library.").arg(fetched_));
    }
    dialog->accept();
    start_fetch(plan, licence_accepted);
  });
  dialog->open();
  if (!what.isEmpty()) dialog->look_up(what);
}

// Its licence was shown when it began; terms that must be accepted are shown again.
void MainWindow::go_on_fetching(const QString& stage) {
  if (fetch_.running()) return show_error(tr("%1 is being fetched; wait for it, or cancel it.").arg(fetched_));
  error_bar_->hide();
  const std::filesystem::path path = stage.toStdString();
  for (const UnfinishedFetch& fetch : unfinished_fetches(path.parent_path())) {
    if (fetch.path != path) continue;
    fetched_ = QString::fromStdString(fetch.name);
    library_->show_fetch(fetched_, tr("connecting"), -1);
    fetch_.plan(fetch.request);
  }
}

void MainWindow::start_fetch(const FetchPlan& plan, bool licence_accepted) {
  error_bar_->hide();
  fetched_ = QString::fromStdString(plan.name);
  library_->show_fetch(fetched_, tr("connecting"), -1);
  fetch_.start(plan, licence_accepted);
  library_->refresh();
}

void MainWindow::set_theme(ThemeKind kind) {
  const Theme& theme = window_theme(kind);
  preferences_.theme = kind;
  controller_.apply(ChooseTheme{kind});
  apply_appearance(theme);
  QPalette warning = QApplication::palette();
  warning.setColor(QPalette::Window, to_qcolor(theme.colour(ColourRole::kWarning)));
  const QColor ground = warning.color(QPalette::Window);
  warning.setColor(QPalette::WindowText, ground.lightnessF() > 0.55 ? Qt::black : Qt::white);
  error_bar_->setPalette(warning);
  error_label_->setPalette(warning);
  for (const ViewCanvas& one : canvases_) one.canvas->set_theme(theme);
  refresh_icons();
  library_->refresh();
  refresh_page();
  QSettings().setValue(QStringLiteral("theme"), QString::fromStdString(std::string(theme_name(kind))));
}

void MainWindow::show_error(const QString& sentence) {
  error_label_->setText(sentence);
  error_bar_->show();
}

// --- the clock ---

void MainWindow::tick() {
  ++n_ticks_;
  times_.end_frame();  // what the last tick and the painting after it took
  {
    const FrameTimes::Scope time(times_);
    controller_.tick();
  }
  find_views_in_sight();
  const bool changed = view_dirty_ || controller_.history().version() != shown_version_;
  if (changed) mark_views_stale();
  draw_stale_views();
  const auto now = std::chrono::steady_clock::now();
  if (inspector_dirty_ && now - inspector_at_ >= kInspectorEvery) {
    inspector_at_ = now;
    inspector_dirty_ = false;
    const FrameTimes::Scope time(times_);
    refresh_inspector();
  }
  const bool busy = controller_.running() || controller_.waiting_for_run() || controller_.loading_model() ||
                    controller_.mode() == SessionController::Mode::kReplay;
  if (busy && now - status_at_ >= kStatusEvery) refresh_status();
  if (busy || changed || controller_.fetching() || controller_.opening_session()) {
    active_at_ = now;
  } else if (now - active_at_ > kRestAfter && clock_.intervalAsDuration() == kFrame) {
    clock_.setInterval(kRest);
  }
}

void MainWindow::wake_clock() {
  active_at_ = std::chrono::steady_clock::now();
  if (clock_.intervalAsDuration() != kFrame) clock_.setInterval(kFrame);
}

// What comes into sight, a tab that is brought to the front too, was neither fetched nor drawn behind.
void MainWindow::find_views_in_sight() {
  for (ViewCanvas& one : canvases_) {
    const bool before = std::exchange(one.in_sight, is_in_sight(*one.canvas));
    view_dirty_ |= one.in_sight && !before;
  }
}

void MainWindow::mark_views_stale() {
  const FrameTimes::Scope time(times_);
  shown_version_ = controller_.history().version();
  view_dirty_ = false;
  inspector_dirty_ = true;
  if (controller_.mode() == SessionController::Mode::kEmpty) return;
  for (ViewCanvas& one : canvases_) {
    one.stale = true;
    if (one.in_sight) controller_.want(*one.view);
  }
  controller_.want_inspector();
  controller_.fetch_wanted();
}

// Views are drawn in turn until a frame's share of time is used up; the others come in the next frames. So a frame
// stays short, and at 60 a second nobody sees that the views are not of one instant.
void MainWindow::draw_stale_views() {
  int64_t planned_ns = 0;
  const size_t n = canvases_.size();
  const size_t first = next_view_;
  for (size_t i = 0; i < n; ++i) {
    const size_t index = (first + i) % n;
    ViewCanvas& one = canvases_[index];
    if (!one.stale) continue;
    const bool visible = one.in_sight;
    if (visible && planned_ns > 0 && planned_ns + one.canvas->cost_ns() > kFrameBudgetNs) {
      next_view_ = index;
      return;
    }
    one.canvas->refresh();
    one.stale = false;
    if (visible) planned_ns += std::max<int64_t>(one.canvas->cost_ns(), 1);
  }
}

void MainWindow::refresh_inspector() {
  if (controller_.mode() == SessionController::Mode::kEmpty || !inspector_->isVisible()) return;
  inspector_->set_rows(inspector_rows(controller_.history(), controller_.view(), &controller_));
}

// --- events ---

void MainWindow::mousePressEvent(QMouseEvent* event) {
  setFocus();
  QMainWindow::mousePressEvent(event);
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
  if (event->mimeData()->hasUrls()) event->acceptProposedAction();
}

void MainWindow::dropEvent(QDropEvent* event) {
  const QList<QUrl> urls = event->mimeData()->urls();
  if (!urls.isEmpty() && urls.front().isLocalFile()) open_path(urls.front().toLocalFile());
}

// QMainWindow gives what a window grows by to the text in the middle: the docks have their share of it.
void MainWindow::resizeEvent(QResizeEvent* event) {
  QMainWindow::resizeEvent(event);
  share_room();
}

void MainWindow::share_room() {
  if (docks_arranged_ && !has_own_sizes_ && !is_maximised()) size_docks();
}

// Between the docks lies the window itself: who presses there sizes them.
bool MainWindow::event(QEvent* event) {
  if (event->type() == QEvent::MouseButtonPress && docks_arranged_) {
    const auto* const press = static_cast<QMouseEvent*>(event);
    if (childAt(press->position().toPoint()) == nullptr) has_own_sizes_ = true;
  }
  return QMainWindow::event(event);
}

// The run stops, its session is closed whole by the engine's destructor.
void MainWindow::closeEvent(QCloseEvent* event) {
  QSettings settings;
  settings.setValue(QStringLiteral("geometry"), saveGeometry());
  leave_maximised();
  if (docks_arranged_) settings.setValue(QStringLiteral("docks"), layout_state());
  fetch_.cancel();
  controller_.stop();
  event->accept();
}

}  // namespace orrery
