#include "app/library/unzip.h"

#include <algorithm>
#include <vector>

#include "app/library/sha256.h"
#include "tests/app/library/library_fixture.h"

namespace orrery {
namespace {

class Unzip : public LibraryTest {
 protected:
  Result<void> unzip(const std::string& member, uint64_t n_bytes) const {
    return unzip_member(archive(), member, n_bytes, target());
  }
  std::filesystem::path archive() const { return folder() / "archive.zip"; }
  std::filesystem::path target() const { return folder() / "out"; }
};

TEST_F(Unzip, WritesTheOneMember) {
  const std::string text(3'000'000, 'x');
  write_zip(archive(), {{"a/model", text}, {"a/other", "other"}});
  std::vector<uint64_t> seen;
  const auto done =
      unzip_member(archive(), "a/model", text.size(), target(), [&](uint64_t bytes) { seen.push_back(bytes); });
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(read_text(target()), text);
  EXPECT_GT(seen.size(), 1U);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), text.size());
}

TEST_F(Unzip, NeverUsesAPathOfTheArchive) {
  write_zip(archive(), {{"../escaped", "bad"}});
  ASSERT_TRUE(unzip("../escaped", 3));
  EXPECT_EQ(read_text(target()), "bad");
  EXPECT_FALSE(std::filesystem::exists(folder().parent_path() / "escaped"));
}

TEST_F(Unzip, RefusesAMissingMember) {
  write_zip(archive(), {{"a/model", "text"}});
  const auto done = unzip("a/MODEL", 4);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kInvalidFile);
  EXPECT_FALSE(std::filesystem::exists(target()));
}

TEST_F(Unzip, RefusesAnotherSizeBeforeWriting) {
  write_zip(archive(), {{"a/model", std::string(1'000'000, '\0')}});
  const auto done = unzip("a/model", 10);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kInvalidFile);
  EXPECT_NE(done.error().message.find("1000000"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(target()));
}

TEST_F(Unzip, WritesNoByteMoreThanStated) {
  // The archive is made to state 10 bytes, in both its headers, where 1,000 come out.
  write_zip(archive(), {{"m", std::string(1000, 'x')}});
  std::string bytes = read_text(archive());
  const std::string stated("\xe8\x03\x00\x00", 4);
  const std::string lie("\x0a\x00\x00\x00", 4);
  int n_replaced = 0;
  for (size_t at = 0; (at = bytes.find(stated, at)) != std::string::npos; ++n_replaced) bytes.replace(at, 4, lie);
  ASSERT_GE(n_replaced, 1);
  write_text(archive(), bytes);
  ASSERT_FALSE(unzip("m", 10));
  EXPECT_LE(read_text(target()).size(), 10U);
}

TEST_F(Unzip, RefusesDamage) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += static_cast<char>(i * 7919 >> 3);
  write_zip(archive(), {{"model", text}});
  std::string bytes = read_text(archive());
  for (size_t at = 100; at < 140; ++at) bytes[at] = static_cast<char>(~bytes[at]);
  write_text(archive(), bytes);
  const auto done = unzip("model", text.size());
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kInvalidFile);
}

TEST_F(Unzip, RefusesEveryTruncation) {
  write_zip(archive(), {{"model", std::string(500, 'x') + std::string(500, 'y')}});
  const std::string bytes = read_text(archive());
  for (size_t n_bytes = 0; n_bytes < bytes.size(); n_bytes += 7) {
    write_text(archive(), bytes.substr(0, n_bytes));
    std::filesystem::remove(target());
    EXPECT_FALSE(unzip("model", 1000)) << n_bytes;
  }
}

TEST_F(Unzip, NeverReplacesAFile) {
  write_zip(archive(), {{"model", "text"}});
  write_text(target(), "precious");
  const auto done = unzip("model", 4);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kIo);
  EXPECT_EQ(read_text(target()), "precious");
}

TEST_F(Unzip, CanBeCancelled) {
  write_zip(archive(), {{"model", "text"}});
  const std::atomic<bool> cancel = true;
  const auto done = unzip_member(archive(), "model", 4, target(), {}, &cancel);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kCancelled);
}

using Sha256 = LibraryTest;

TEST_F(Sha256, AgreesWithThePublishedVectors) {
  const auto path = folder() / "file";
  write_text(path, "");
  EXPECT_EQ(sha256_of_file(path).value(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  write_text(path, "abc");
  EXPECT_EQ(sha256_of_file(path).value(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  write_text(path, std::string(1'000'000, 'a'));
  EXPECT_EQ(sha256_of_file(path).value(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_F(Sha256, NamesAFileThatIsNotThere) {
  const auto sum = sha256_of_file(folder() / "none");
  ASSERT_FALSE(sum);
  EXPECT_EQ(sum.error().code, ErrorCode::kNotFound);
  EXPECT_NE(sum.error().message.find("none"), std::string::npos);
}

}  // namespace
}  // namespace orrery
