// Notes at a step with undo, with real keys: written, edited, marked, found again.
#include <QPushButton>
#include <QTreeWidget>
#include <QUndoStack>

#include "tests/app/window/frame_fixture.h"

namespace orrery {
namespace {

using testing::FrameTest;
using testing::Mode;
using testing::run_events_for;
using testing::wait_until;

class NotesTest : public FrameTest {};

TEST_F(NotesTest, NotesAreWrittenUndoneEditedMarkedAndFoundAgain) {
  open_model();
  finish_run(24);
  key(Qt::Key_Left);
  key(Qt::Key_Left);
  key(Qt::Key_Down);
  const int64_t noted = step();
  const int32_t layer = controller().view().selected.layer;
  write_note("a <b>word</b> comes back");
  ASSERT_EQ(notes().notes().size(), 1u);
  auto stored = stored_notes();
  ASSERT_EQ(stored.size(), 1u);
  EXPECT_EQ(stored[0].text, "a <b>word</b> comes back");
  EXPECT_EQ(stored[0].step, noted);
  EXPECT_EQ(find<QTreeWidget>("notes")->topLevelItemCount(), 1);

  key(Qt::Key_Z, Qt::ControlModifier);
  EXPECT_TRUE(stored_notes().empty()) << "undone, in the file too";
  EXPECT_EQ(find<QTreeWidget>("notes")->topLevelItemCount(), 0);
  key(Qt::Key_Z, Qt::ControlModifier | Qt::ShiftModifier);
  ASSERT_EQ(stored_notes().size(), 1u) << "redone";
  EXPECT_EQ(stored_notes()[0].id, stored[0].id) << "with its id";
  EXPECT_EQ(stored_notes()[0].created_ns, stored[0].created_ns);

  // Edited in the dock, and back.
  find<QDockWidget>("dock_notes")->raise();
  run_events_for(50);
  auto* tree = find<QTreeWidget>("notes");
  tree->setCurrentItem(tree->topLevelItem(0));
  when_dialog("note_dialog", [](QDialog* dialog) {
    auto* edit = dialog->findChild<QPlainTextEdit*>(QStringLiteral("note_text"));
    edit->selectAll();
    QTest::keyClicks(edit, "seen again");
    QTest::keyClick(edit, Qt::Key_Return, Qt::ControlModifier);
  });
  QTest::mouseClick(find<QPushButton>("note_edit"), Qt::LeftButton);
  EXPECT_EQ(stored_notes()[0].text, "seen again");
  key(Qt::Key_Z, Qt::ControlModifier);
  EXPECT_EQ(stored_notes()[0].text, "a <b>word</b> comes back");

  // A click on the timeline's mark looks again as then.
  controller().apply(Select{.step = 1, .layer = 0, .head = 0, .key = 0});
  ImGuiCanvas* timeline = window_->canvas("timeline");
  const auto mark = [&]() -> const HitRegion* {
    for (const HitRegion& region : timeline->scene().regions) {
      if (region.click && std::holds_alternative<RestoreView>(*region.click)) return &region;
    }
    return nullptr;
  };
  ASSERT_TRUE(wait_until([&] { return mark() != nullptr; }));
  const Point at = mark()->rect.centre();
  QTest::mouseClick(timeline, Qt::LeftButton, {}, QPoint(static_cast<int>(at.x), static_cast<int>(at.y)));
  EXPECT_EQ(step(), noted);
  EXPECT_EQ(controller().view().selected.layer, layer);

  // Removed with the key, brought back, and still there when the session is opened again.
  tree->setCurrentItem(tree->topLevelItem(0));
  QTest::keyClick(tree, Qt::Key_Delete);
  EXPECT_TRUE(stored_notes().empty());
  key(Qt::Key_Z, Qt::ControlModifier);
  EXPECT_EQ(stored_notes().size(), 1u);
  const std::string path = controller().session_path();
  window_.reset();
  open(path);
  ASSERT_TRUE(wait_until([this] { return controller().mode() == Mode::kStored; }));
  ASSERT_EQ(notes().notes().size(), 1u);
  EXPECT_FALSE(notes().undo_stack().canUndo()) << "undo is of this window";
  run_events_for(100);
  find<QDockWidget>("dock_notes")->raise();
  run_events_for(100);
  tree = find<QTreeWidget>("notes");
  QTest::mouseClick(tree->viewport(), Qt::LeftButton, {}, tree->visualItemRect(tree->topLevelItem(0)).center());
  EXPECT_EQ(step(), noted);
  EXPECT_EQ(window_->error_text(), "");
}

TEST_F(NotesTest, NotesGoIntoARunThatIsBeingRecorded) {
  open_model();
  generate(400, 20);
  ASSERT_TRUE(wait_until([this] { return controller().history().n_processed() > 12; }));
  write_note("while it writes");
  ASSERT_EQ(stored_notes().size(), 1u);
  EXPECT_TRUE(controller().running());
  controller().save_as(file("named.orrery"));
  controller().stop();
  ASSERT_TRUE(ended());
  ASSERT_TRUE(wait_until([this] { return controller().session_path() == file("named.orrery"); }));
  key(Qt::Key_Left);
  write_note("after it was named");
  EXPECT_EQ(stored_notes().size(), 2u);
  EXPECT_FALSE(std::filesystem::exists(file("named.orrery") + "-wal")) << "one file once closed";
}

TEST_F(NotesTest, SaysWhyANoteCannotBeWritten) {
  open_model();
  GenerateRequest request;
  request.text = "A";
  request.n_new_tokens = 5;
  request.record = false;
  controller().generate(std::move(request));
  ASSERT_TRUE(wait_until([this] { return controller().history().n_processed() > 2; }));
  ASSERT_TRUE(ended());
  key(Qt::Key_N);
  EXPECT_TRUE(window_->error_text().contains("not recorded")) << window_->error_text().toStdString();
}

}  // namespace
}  // namespace orrery
