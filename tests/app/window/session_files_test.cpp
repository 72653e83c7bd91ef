// Unnamed recordings: their names, their order, clearing them away, giving them a name.
#include "app/window/session_files.h"

#include <sys/stat.h>

#include <fstream>

#include "app/library/folders.h"
#include "sessions/writer_lock.h"
#include "tests/app/window/window_fixture.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;

class SessionFilesTest : public testing::WindowTest {
 protected:
  // An unnamed session of n bytes, `age_s` seconds old.
  fs::path make(const std::string& name, size_t n_bytes, int age_s) {
    const auto folder = sessions_folder();
    EXPECT_TRUE(folder);
    const fs::path path = *folder / name;
    std::ofstream(path) << std::string(n_bytes, 'x');
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::seconds(age_s));
    return path;
  }
};

TEST_F(SessionFilesTest, NamesRunsByTimeAndModelWithoutWhatMeansSomethingInPaths) {
  const auto path = new_session_path("../../etc/évil: model\n\x01 7B");
  ASSERT_TRUE(path);
  const std::string name = path->filename().string();
  EXPECT_EQ(path->parent_path(), *sessions_folder());
  EXPECT_EQ(name.find('/'), std::string::npos);
  EXPECT_NE(name.find("vil model 7B.orrery"), std::string::npos) << name;
}

TEST_F(SessionFilesTest, TwoRunsInOneSecondHaveTwoNames) {
  const auto first = new_session_path("m");
  ASSERT_TRUE(first);
  std::ofstream(*first) << "x";
  const auto second = new_session_path("m");
  ASSERT_TRUE(second);
  EXPECT_NE(*first, *second);
}

TEST_F(SessionFilesTest, ListsTheNewestFirstAndNothingElse) {
  make("old.orrery", 10, 100);
  make("new.orrery", 10, 1);
  make("notes.txt", 10, 1);
  const auto sessions = recorded_sessions();
  ASSERT_EQ(sessions.size(), 2u);
  EXPECT_EQ(sessions[0].path.filename(), "new.orrery");
  EXPECT_EQ(sessions[1].n_bytes, 10u);
}

TEST_F(SessionFilesTest, PurgesTheOldestUntilTheRestFits) {
  make("a.orrery", 100, 30);
  make("b.orrery", 100, 20);
  make("c.orrery", 100, 10);
  EXPECT_EQ(purge_sessions(250, {}), 1);
  const auto left = recorded_sessions();
  ASSERT_EQ(left.size(), 2u);
  EXPECT_EQ(left[1].path.filename(), "b.orrery");
}

TEST_F(SessionFilesTest, PurgesNeitherWhatIsShownNorWhatIsBeingRecorded) {
  const fs::path shown = make("shown.orrery", 100, 30);
  const fs::path recorded = make("recorded.orrery", 100, 20);
  make("other.orrery", 100, 10);
  const auto lock = WriterLock::take(recorded.string());
  ASSERT_TRUE(lock);
  EXPECT_EQ(purge_sessions(0, shown), 1);
  EXPECT_EQ(recorded_sessions().size(), 2u);
}

TEST_F(SessionFilesTest, SavingMovesAnUnnamedRunAndCopiesANamedOne) {
  const fs::path unnamed = make("a.orrery", 100, 1);
  const fs::path named = file("named.orrery");
  ASSERT_TRUE(save_session_as(unnamed, named));
  EXPECT_FALSE(fs::exists(unnamed));
  EXPECT_EQ(fs::file_size(named), 100u);
  const fs::path copy = file("copy.orrery");
  ASSERT_TRUE(save_session_as(named, copy));
  EXPECT_TRUE(fs::exists(named));
  EXPECT_EQ(fs::file_size(copy), 100u);
}

TEST_F(SessionFilesTest, SavingWhereNothingCanBeWrittenKeepsTheRun) {
  const fs::path unnamed = make("a.orrery", 100, 1);
  const auto saved = save_session_as(unnamed, file("no such folder/x.orrery"));
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error().code, ErrorCode::kIo);
  EXPECT_TRUE(fs::exists(unnamed));
}

}  // namespace
}  // namespace orrery
