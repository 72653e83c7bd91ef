// MainWindow: the one window: menus, toolbar, docks with the live canvases, the library and the inspector. It draws
// nothing itself and knows nothing of engines or files: it asks the SessionController, and repaints when that changed.
#pragma once

#include <QMainWindow>
#include <QPointer>
#include <QTimer>
#include <chrono>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <vector>

#include "app/window/aside.h"
#include "app/window/backend_menu.h"
#include "app/window/canvas.h"
#include "app/window/frame_times.h"
#include "app/window/inspector_dock.h"
#include "app/window/library_panel.h"
#include "app/window/model_fetch.h"
#include "app/window/preferences.h"
#include "app/window/prompt_panel.h"
#include "app/window/session_controller.h"
#include "app/window/start_page.h"
#include "app/window/window.h"

class QComboBox;
class QLabel;
class QProgressBar;
class QStackedWidget;
class QToolButton;

namespace orrery {

class RunsPanel;
class TableWindow;

// Ready-made arrangements of the docks.
enum class LayoutPreset : uint8_t {
  kExplore,   // all views, library and inspector
  kTeaching,  // few large views in the projector theme
  kResearch,  // everything: runs and notes are open as well
};

class MainWindow final : public QMainWindow {
  Q_OBJECT
 public:
  explicit MainWindow(const WindowOptions& options, QWidget* parent = nullptr);
  ~MainWindow() override;

  // A session, a model (file or folder), or the name of an installed model.
  void open_path(const QString& path);
  void start_generating();
  void go_on();  // with the run on the screen, from its last token
  void set_theme(ThemeKind kind);
  // A window with the numbers that the view shows, which follow it.
  TableWindow* show_table(const View& view);
  // The view's picture or numbers, by the file's ending; an error is shown in the window.
  bool export_view_to(const View& view, const QString& path);
  void apply_preset(LayoutPreset preset);
  // One view alone in the window, and back.
  void toggle_maximised(const View& view);
  bool is_maximised() const { return !state_before_maximised_.isEmpty(); }

  // What tests ask.
  SessionController& controller() { return controller_; }
  ImGuiCanvas* canvas(std::string_view view_name) const;
  FrameTimes& frame_times() { return times_; }
  PromptPanel& prompt() { return *prompt_; }
  QString error_text() const;
  int64_t n_ticks() const { return n_ticks_; }

 protected:
  void keyPressEvent(QKeyEvent* event) override;
  void closeEvent(QCloseEvent* event) override;
  void dragEnterEvent(QDragEnterEvent* event) override;
  void dropEvent(QDropEvent* event) override;
  void changeEvent(QEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  bool event(QEvent* event) override;

 private:
  static constexpr int kDockLayout = 4;  // counts up where docks come or go: a layout stored before is not taken up
  struct ViewCanvas {
    const View* view = nullptr;
    ImGuiCanvas* canvas = nullptr;
    QDockWidget* dock = nullptr;  // null for the text, which is in the middle
    QAction* export_action = nullptr;
    bool stale = false;        // waits for its turn to be drawn
    bool absent = false;       // the model has nothing to show in it: the dock is hidden, whatever the user chose
    bool was_visible = false;  // what the user chose, while absent
    bool in_sight = false;     // neither closed nor a tab behind another, at the last tick
  };

  // main_window.cpp: construction and behaviour; window_status.cpp: refresh_page, refresh_status and what they call
  ImGuiCanvas* add_canvas(const View& view);
  QDockWidget* add_dock(const QString& name, const QString& title, QWidget* widget);
  void build_central();
  void build_docks();
  QDockWidget* dock_of(const char* view) const;
  void arrange_docks();
  void size_docks();
  void share_room();  // size_docks, where neither the user nor a preset has sized them
  void share_height(std::initializer_list<const char*> views, int height);
  void offer_views();  // only those that the model of the run has; the others say why
  void set_absent(ViewCanvas& view, const std::optional<std::string>& why);
  void build_status_bar();
  void connect_controller();
  void tick();
  void wake_clock();
  void find_views_in_sight();
  void mark_views_stale();
  void draw_stale_views();
  void refresh_status();
  void refresh_page();
  void offer_example(const OpenModel& model);
  void refresh_progress();
  void refresh_record_state();
  void refresh_overlay();
  void refresh_inspector();
  void show_error(const QString& sentence);
  void connect_fetch();
  void refresh_library();
  void get_model(const QString& what);        // empty: the user says what
  void go_on_fetching(const QString& stage);  // what was broken off there
  void start_fetch(const FetchPlan& plan, bool licence_accepted);

  // window_actions.cpp: menus, toolbar, keys, what they trigger
  void build_actions();
  void build_file_menu();
  void build_run_menu();
  void build_view_menu();
  void build_edit_menu();
  void build_layout_menu(QMenu* view);
  void build_selection_menu(QMenu* view);
  void build_help_menu();
  void add_loop_actions(QMenu* view);
  void build_toolbar();
  // The action is triggered by the key too, which is no shortcut: where text is typed it stays text.
  void bind(int key, const QString& shown, QAction* action);
  void bind(int key, const QString& shown, QAction* action, std::function<void(bool shift)> act);
  QAction* add_action(QMenu* menu, const QString& text, const QKeySequence& shortcut, std::function<void()> act);
  void refresh_speed_choices();
  void refresh_selection_actions();
  void open_dialog();
  void save_dialog();
  void export_view(const View& view);
  void purge();
  void show_keys();
  void toggle_pinned_head();
  void refresh_icons();

  // window_frame.cpp: what frames the views: tables, exports, notes, runs, reading, preferences
  void build_frame_docks();  // runs and notes, beside the library
  void connect_frame();
  Scene scene_of(const View& view, const TextMetrics& metrics);  // as it is shown
  Scene scene_of(const View& view, const TextMetrics& metrics, const QSize& size);
  const View& current_view() const;  // under the pointer, else the last that was
  void show_view_menu(const View& view, const QPoint& at);
  void add_note();
  void look_again(uint64_t note);
  void read_text();
  void refresh_runs();
  void open_run(int64_t run);
  void show_preferences();
  void apply_preferences(const Preferences& wanted);

  // window_layout.cpp: arrangements of the docks
  QByteArray layout_state();
  void restore_layout(const QByteArray& state);
  void hide_absent();
  void teach();
  void show_view(std::string_view name, bool shown);
  void leave_maximised();
  void keep_maximised();  // also while another model's views come and go
  void save_layout_dialog();
  void refresh_layout_menus();
  bool has_layout();  // a run was shown; else says why not

  WindowOptions options_;
  FrameTimes times_;
  SessionController controller_;
  ModelFetch fetch_;
  QString fetched_;  // name of the model that fetch_ is at
  std::vector<ViewCanvas> canvases_;

  PromptPanel* prompt_ = nullptr;
  StartPage* start_page_ = nullptr;
  LibraryPanel* library_ = nullptr;
  InspectorTable* inspector_ = nullptr;
  QStackedWidget* pages_ = nullptr;
  QWidget* error_bar_ = nullptr;
  QLabel* error_label_ = nullptr;
  std::vector<QDockWidget*> run_docks_;  // only shown with a run
  QDockWidget* inspector_dock_ = nullptr;
  std::vector<QAction*> loop_actions_;                             // for models with a loop
  std::vector<std::pair<QAction*, const Probe*>> scalar_actions_;  // colour by what the probe measures

  QLabel* model_label_ = nullptr;
  QLabel* record_label_ = nullptr;
  QLabel* state_label_ = nullptr;
  QLabel* rate_label_ = nullptr;
  QProgressBar* progress_bar_ = nullptr;
  QToolButton* progress_cancel_ = nullptr;
  QComboBox* speed_ = nullptr;
  bool speed_is_replay_ = false;

  std::vector<QAction*> actions_;
  QAction* run_action_ = nullptr;
  QAction* step_action_ = nullptr;
  QAction* stop_action_ = nullptr;
  QAction* generate_action_ = nullptr;
  QAction* go_on_action_ = nullptr;
  QAction* run_model_action_ = nullptr;
  QAction* save_action_ = nullptr;
  QAction* follow_action_ = nullptr;
  QAction* back_action_ = nullptr;
  QAction* forward_action_ = nullptr;
  QAction* open_action_ = nullptr;
  QAction* record_action_ = nullptr;
  QAction* overlay_action_ = nullptr;
  QAction* full_screen_action_ = nullptr;
  QMenu* recent_menu_ = nullptr;
  QMenu* saved_layouts_menu_ = nullptr;
  QMenu* removed_layouts_menu_ = nullptr;
  struct KeyBinding {
    int key = 0;
    std::function<void(bool shift)> act;
  };
  std::vector<KeyBinding> keys_;

  Preferences preferences_;
  RunsPanel* runs_ = nullptr;
  const View* last_view_ = nullptr;  // that the pointer was over
  uint64_t runs_tag_ = 0;            // of the newest look at the session's runs
  QByteArray default_docks_;
  QByteArray state_before_maximised_;  // empty: no view is maximised
  const View* maximised_ = nullptr;
  std::optional<ThemeKind> theme_before_teaching_;
  BackendMenu* backend_menu_ = nullptr;

  QTimer clock_;
  int64_t n_ticks_ = 0;
  size_t next_view_ = 0;  // whose turn it is
  uint64_t shown_version_ = 0;
  bool view_dirty_ = true;
  bool inspector_dirty_ = true;
  std::string prompt_model_;  // fingerprint of the model that the prompt is set up for
  QString offered_example_;   // of it; empty: none yet
  bool generate_when_loaded_ = false;
  bool docks_arranged_ = false;
  bool has_own_sizes_ = false;  // the docks are as the user or a preset has put them: they keep their sizes
  std::chrono::steady_clock::time_point inspector_at_{};
  std::chrono::steady_clock::time_point status_at_{};
  std::chrono::steady_clock::time_point active_at_{};
  Aside aside_;  // last: what it does needs the rest
};

}  // namespace orrery
