#include "app/library/folders.h"

#include <sys/stat.h>

#include "tests/app/library/library_fixture.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;

class Folders : public LibraryTest {
 protected:
  void SetUp() override {
    LibraryTest::SetUp();
    for (const char* name : {"XDG_DATA_HOME", "XDG_STATE_HOME", "ORRERY_MODELS_DIR"}) set_variable(name, nullptr);
    set_variable("HOME", folder().c_str());
  }

  static mode_t mode_of(const fs::path& path) {
    struct stat status {};
    return stat(path.c_str(), &status) == 0 ? status.st_mode & 07777U : 0;
  }
};

TEST_F(Folders, LieBelowHomeByDefault) {
  EXPECT_EQ(data_folder().value(), folder() / ".local/share/orrery");
  EXPECT_EQ(models_folder().value(), folder() / ".local/share/orrery/models");
  EXPECT_EQ(state_folder().value(), folder() / ".local/state/orrery");
}

TEST_F(Folders, FollowTheXdgVariables) {
  set_variable("XDG_DATA_HOME", "/somewhere/data");
  set_variable("XDG_STATE_HOME", "/somewhere/state");
  EXPECT_EQ(data_folder().value(), "/somewhere/data/orrery");
  EXPECT_EQ(models_folder().value(), "/somewhere/data/orrery/models");
  EXPECT_EQ(state_folder().value(), "/somewhere/state/orrery");
}

TEST_F(Folders, IgnoreVariablesThatAreEmptyOrRelative) {
  set_variable("XDG_DATA_HOME", "");
  set_variable("XDG_STATE_HOME", "relative/folder");
  EXPECT_EQ(data_folder().value(), folder() / ".local/share/orrery");
  EXPECT_EQ(state_folder().value(), folder() / ".local/state/orrery");
}

TEST_F(Folders, ModelsMayLieElsewhere) {
  set_variable("ORRERY_MODELS_DIR", "/somewhere/models");
  EXPECT_EQ(models_folder().value(), "/somewhere/models");
}

TEST_F(Folders, WithoutHomeComeFromTheUserDatabase) {
  set_variable("HOME", nullptr);
  const auto data = data_folder();
  if (data) {
    EXPECT_TRUE(data->is_absolute());
    EXPECT_EQ(data->filename(), "orrery");
  } else {
    EXPECT_EQ(data.error().code, ErrorCode::kNotFound);
  }
}

TEST_F(Folders, SessionsArePrivate) {
  const auto sessions = sessions_folder();
  ASSERT_TRUE(sessions) << sessions.error().message;
  EXPECT_EQ(*sessions, folder() / ".local/state/orrery/sessions");
  EXPECT_EQ(mode_of(*sessions), 0700U);
}

TEST_F(Folders, SessionsAreMadePrivateAgain) {
  const fs::path sessions = sessions_folder().value();
  ASSERT_EQ(chmod(sessions.c_str(), 0755), 0);
  ASSERT_TRUE(sessions_folder());
  EXPECT_EQ(mode_of(sessions), 0700U);
}

TEST_F(Folders, SessionsInThePlaceOfAFileAreRefused) {
  fs::create_directories(folder() / ".local/state/orrery");
  write_text(folder() / ".local/state/orrery/sessions", "a file");
  const auto sessions = sessions_folder();
  ASSERT_FALSE(sessions);
  EXPECT_EQ(sessions.error().code, ErrorCode::kIo);
  EXPECT_NE(sessions.error().message.find("sessions"), std::string::npos);
}

}  // namespace
}  // namespace orrery
