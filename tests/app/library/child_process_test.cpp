#include "app/library/child_process.h"

#include <chrono>
#include <thread>

#include "tests/app/library/library_fixture.h"

namespace orrery {
namespace {

class RunChild : public LibraryTest {
 protected:
  ChildProcess child(std::vector<std::string> arguments) const {
    return {.arguments = std::move(arguments), .environment = {}, .output = folder() / "output"};
  }
};

TEST_F(RunChild, GivesBackTheExitStatus) {
  EXPECT_EQ(run_child(child({"true"})).value(), 0);
  EXPECT_EQ(run_child(child({"sh", "-c", "exit 7"})).value(), 7);
  EXPECT_EQ(run_child(child({"sh", "-c", "kill -9 $$"})).value(), 128 + 9);
}

TEST_F(RunChild, PassesArgumentsAsTheyAre) {
  ASSERT_EQ(run_child(child({"printf", "[%s]", "a b", "$(id)", "; rm -rf x", "'\"*"})).value(), 0);
  EXPECT_EQ(read_text(folder() / "output"), "[a b][$(id)][; rm -rf x]['\"*]");
}

TEST_F(RunChild, SetsVariablesBesideThoseItHas) {
  set_variable("ORRERY_TEST_KEPT", "kept");
  set_variable("ORRERY_TEST_CHANGED", "before");
  ChildProcess sh = child({"sh", "-c", "echo $ORRERY_TEST_KEPT $ORRERY_TEST_CHANGED $ORRERY_TEST_NEW"});
  sh.environment = {{"ORRERY_TEST_CHANGED", "after"}, {"ORRERY_TEST_NEW", "new"}};
  ASSERT_EQ(run_child(sh).value(), 0);
  EXPECT_EQ(read_text(folder() / "output"), "kept after new\n");
}

TEST_F(RunChild, KeepsErrorsBesideOutputAndGivesNoInput) {
  ASSERT_EQ(run_child(child({"sh", "-c", "echo out; echo err >&2; cat"})).value(), 0);
  EXPECT_EQ(read_text(folder() / "output"), "out\nerr\n");
}

TEST_F(RunChild, NamesAProgramThatIsNotThere) {
  const auto status = run_child(child({"orrery-no-such-program"}));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kNotFound);
  EXPECT_NE(status.error().message.find("orrery-no-such-program"), std::string::npos);
}

TEST_F(RunChild, EndsTheChildWhenCancelled) {
  std::atomic<bool> cancel = false;
  const auto before = std::chrono::steady_clock::now();
  const auto status = run_child(
      child({"sleep", "60"}), [&] { cancel = true; }, &cancel);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(20));
}

TEST_F(RunChild, KillsAChildThatWillNotEnd) {
  std::atomic<bool> cancel = false;
  const auto before = std::chrono::steady_clock::now();
  const auto ready = folder() / "ready";
  const auto status = run_child(
      child({"sh", "-c", "trap '' TERM; touch " + ready.string() + "; while :; do sleep 1; done"}),
      [&] { cancel = std::filesystem::exists(ready); }, &cancel);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(20));
}

}  // namespace
}  // namespace orrery
