// Files that are not what they should be: each gives one sentence, never a crash, and is never overwritten.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zstd.h>

#include <fstream>
#include <iterator>
#include <random>

#include "sessions/async_frame_source.h"
#include "sessions/schema.h"
#include "tests/sessions/make_session.h"

namespace orrery {
namespace {

using ::testing::HasSubstr;
using testing::TempFolder;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

void execute(const std::string& path, const std::string& sql) {
  auto db = Database::open(path, Database::Mode::kWrite);
  ASSERT_TRUE(db) << db.error().message;
  const auto done = db->execute(sql);
  ASSERT_TRUE(done) << done.error().message;
}

// Everything that a reader offers, errors collected: one sentence each.
std::vector<std::string> read_everything(const std::string& path) {
  std::vector<std::string> errors;
  const auto note = [&](const auto& result) {
    if (!result) errors.push_back(result.error().message);
  };
  auto reader = SessionReader::open(path);
  note(reader);
  if (!reader) return errors;
  note((*reader)->summary());
  const auto runs = (*reader)->runs();
  note(runs);
  note((*reader)->run(0));
  for (int64_t run = 1; run <= 2; ++run) {
    note((*reader)->tokens(run));
    note((*reader)->events(run));
    note((*reader)->gaps(run));
    note((*reader)->notes(run));
    for (const Probe* probe : all_probes()) {
      note((*reader)->frames(*probe, run, 0, kAllSteps));
      note((*reader)->recorded_steps(*probe, run));
    }
  }
  return errors;
}

void expect_refused(const std::string& path, const std::string& sentence) {
  const std::string before = std::filesystem::is_regular_file(path) ? read_file(path) : "";
  const auto reader = SessionReader::open(path);
  ASSERT_FALSE(reader);
  EXPECT_THAT(reader.error().message, HasSubstr(sentence));
  EXPECT_THAT(reader.error().message, HasSubstr(path));
  const auto store = SessionStore::create_or_open(path);
  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().message, HasSubstr(sentence));
  EXPECT_EQ(std::filesystem::is_regular_file(path) ? read_file(path) : "", before);
}

std::string small_session(const TempFolder& folder) {
  std::string path = folder.file("a.orrery");
  testing::record_run(path, testing::llama_like(2, 2), Level::kFull, 3, 12);
  return path;
}

TEST(DamagedSession, OtherFilesAreRefusedAndLeftAlone) {
  const TempFolder folder;
  const std::string text = folder.file("text.orrery");
  write_file(text, "Dear diary, this is not a session at all.");
  expect_refused(text, "is not a session");

  const std::string other = folder.file("other.orrery");
  write_file(other, "");
  execute(other, "CREATE TABLE precious(x); INSERT INTO precious VALUES(1)");
  expect_refused(other, "is an SQLite database of another program");

  const std::string subfolder = folder.file("folder.orrery");
  std::filesystem::create_directory(subfolder);
  expect_refused(subfolder, "is a folder, not a session");

  expect_refused("/dev/null", "is not a regular file");
}

TEST(DamagedSession, AMissingFileIsSaidToBeMissing) {
  const TempFolder folder;
  const auto reader = SessionReader::open(folder.file("none.orrery"));
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(folder.file("none.orrery")));
}

TEST(DamagedSession, APathThatCannotBeWrittenIsSaidSo) {
  const TempFolder folder;
  const auto nowhere = SessionStore::create_or_open(folder.file("no/such/folder/a.orrery"));
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, ErrorCode::kIo);
  EXPECT_THAT(nowhere.error().message, HasSubstr("cannot be created"));
  EXPECT_FALSE(SessionStore::create_or_open("/proc/version"));
}

TEST(DamagedSession, AnEmptyFileMayBecomeASession) {
  const TempFolder folder;
  const std::string path = folder.file("empty.orrery");
  write_file(path, "");
  const auto reader = SessionReader::open(path);
  ASSERT_FALSE(reader);
  EXPECT_THAT(reader.error().message, HasSubstr("is an empty file"));
  EXPECT_EQ(testing::record_run(path, testing::llama_like(1, 1), Level::kLight, 1, 3), 1);
}

TEST(DamagedSession, ANewerSchemaIsRefusedNamingBothVersions) {
  const TempFolder folder;
  const std::string path = small_session(folder);
  execute(path, "PRAGMA user_version = 7");
  expect_refused(path, "knows session schemas up to 2, the file has schema 7");
}

TEST(DamagedSession, MissingTablesAndColumnsAndViewsInTheirPlaceAreRefused) {
  const TempFolder folder;
  const std::string path = small_session(folder);
  const std::string whole = read_file(path);
  execute(path, "ALTER TABLE token RENAME COLUMN segment TO part");
  expect_refused(path, "its table token has no column segment");
  write_file(path, whole);
  execute(path, "ALTER TABLE gap RENAME TO gap2");
  expect_refused(path, "it has no table gap");
  execute(path, "CREATE VIEW gap AS SELECT * FROM gap2");
  expect_refused(path, "it has no table gap");
  write_file(path, whole);
  execute(path, "ALTER TABLE token ADD COLUMN later TEXT; CREATE TABLE later(x)");
  EXPECT_TRUE(read_everything(path).empty());  // more may follow
}

TEST(DamagedSession, TriggersOfAStrangerDoNotFire) {
  const TempFolder folder;
  const std::string path = small_session(folder);
  execute(path, "CREATE TRIGGER evil AFTER INSERT ON run BEGIN DELETE FROM token; END");
  EXPECT_EQ(testing::record_run(path, testing::llama_like(2, 2), Level::kLight, 2, 4), 2);
  auto reader = SessionReader::open(path);
  ASSERT_TRUE(reader);
  EXPECT_EQ((*reader)->tokens(1)->size(), 12u);
}

TEST(DamagedSession, FlippedBytesAndCutsGiveASentenceOrTheTruth) {
  const TempFolder folder;
  const std::string path = small_session(folder);
  const std::string whole = read_file(path);
  const std::string copy = folder.file("copy.orrery");
  std::mt19937 random(11);
  const auto pick = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  int n_refused = 0;
  for (int i = 0; i < 300; ++i) {
    std::string bytes = whole;
    if (i % 3 == 0) {
      bytes.resize(pick(whole.size()));
    } else {
      // The first page holds the schema: hit it more often than its size would.
      for (int n = i % 3 == 1 ? 1 : 40; n > 0; --n) {
        const size_t at = n % 2 == 0 ? pick(std::min<size_t>(whole.size(), 16384)) : pick(whole.size());
        bytes[at] = static_cast<char>(random());
      }
    }
    write_file(copy, bytes);
    std::filesystem::remove(copy + "-wal");
    for (const std::string& error : read_everything(copy)) {
      EXPECT_THAT(error, HasSubstr(copy));
      EXPECT_EQ(error.find('\n'), std::string::npos);
      ++n_refused;
    }
    if (i % 10 == 0) (void)SessionStore::create_or_open(copy);
  }
  EXPECT_GT(n_refused, 100);
}

// A chunk made by hand: header, values, codec.
struct HandMade {
  std::vector<uint32_t> header;
  size_t n_value_bytes = 0;
  std::string codec = "shuffle4+zstd";

  std::string data() const {
    std::string plain(reinterpret_cast<const char*>(header.data()), header.size() * 4);
    plain.append(n_value_bytes, '\0');
    std::string packed(ZSTD_compressBound(plain.size()), '\0');
    packed.resize(ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 1));
    return packed;
  }
};

// What reading `probe` says after its chunks were replaced by this one.
std::string complaint(const std::string& path, const std::string& name, int64_t begin, int64_t end,
                      const HandMade& chunk) {
  {
    auto db = Database::open(path, Database::Mode::kWrite);
    EXPECT_TRUE(db);
    EXPECT_TRUE(db->execute("DELETE FROM chunk"));
    auto insert = db->prepare(
        "INSERT INTO chunk(run, probe, level, step_begin, step_end, codec, data) "
        "VALUES(1, ?1, 0, ?2, ?3, ?4, ?5)");
    EXPECT_TRUE(insert);
    const std::string data = chunk.data();
    insert->bind(1, name).bind(2, begin).bind(3, end).bind(4, chunk.codec);
    EXPECT_TRUE(insert->bind(5, std::as_bytes(std::span(data))).run());
  }
  auto reader = SessionReader::open(path);
  EXPECT_TRUE(reader) << reader.error().message;
  const auto frames = (*reader)->frames(*find_probe(name), 1, 0, kAllSteps);
  return frames ? "" : frames.error().message;
}

TEST(DamagedSession, ChunksThatLieAboutTheirShapeAreRefused) {
  const TempFolder folder;
  const std::string path = small_session(folder);  // 2 layers of 2 heads
  const HandMade good{{1, 2, 0, 1, 0, 1, 2}, 4 * 2 * 2 * 4};
  EXPECT_EQ(complaint(path, "attention.entropy", 0, 4, good), "");
  // More, or fewer, steps than values.
  EXPECT_THAT(complaint(path, "attention.entropy", 0, 5, good), HasSubstr("does not fit its steps"));
  EXPECT_THAT(complaint(path, "attention.entropy", 0, 3, good), HasSubstr("chunk"));
  EXPECT_THAT(complaint(path, "attention.entropy", 0, 1 << 30, good), HasSubstr("impossible steps"));
  // Layers and heads that the model has not, axes of another size.
  EXPECT_THAT(complaint(path, "attention.entropy", 0, 4, {{1, 2, 0, 7, 0, 1, 2}, 64}), HasSubstr("layers"));
  EXPECT_THAT(complaint(path, "attention.entropy", 0, 4, {{1, 2, 1, 0, 0, 1, 2}, 64}), HasSubstr("layers"));
  EXPECT_THAT(complaint(path, "attention.entropy", 0, 4, {{1, 2, 0, 1, 0, 1, 3}, 64}), HasSubstr("wrong size"));
  EXPECT_THAT(complaint(path, "attention.entropy", 0, 4, {{1, 2, 0, 1, 0, 2, 2, 1}, 64}), HasSubstr("number of axes"));
  EXPECT_THAT(complaint(path, "attention.row", 0, 1, {{1, 1, 0, 1, 9, 2, 1, 0}, 4}), HasSubstr("heads"));
  EXPECT_THAT(complaint(path, "residual.norm", 0, 4, {{1, 1, 0, 1, 0, 0}, 16}), HasSubstr("heads"));
  // Counts that run out of the data, other layouts and codecs.
  EXPECT_THAT(complaint(path, "attention.entropy", 0, 4, {{1, 0xffffffff}, 0}), HasSubstr("within its header"));
  EXPECT_THAT(complaint(path, "attention.entropy", 0, 4, {{1, 2, 0}, 0}), HasSubstr("within its header"));
  EXPECT_THAT(complaint(path, "attention.entropy", 0, 4, {{9, 2, 0, 1, 0, 1, 2}, 64}), HasSubstr("unknown layout"));
  EXPECT_THAT(complaint(path, "attention.entropy", 0, 4, {good.header, 64, "lz4"}), HasSubstr("unknown codec"));
  EXPECT_THAT(complaint(path, "attention.entropy", 0, 4, {good.header, 64, "shuffle0+zstd"}), HasSubstr("codec"));
  EXPECT_THAT(complaint(path, "attention.entropy", 0, 4, {good.header, 64, "shuffle99999999999999+zstd"}),
              HasSubstr("codec"));
}

TEST(DamagedSession, ABombIsNotUnpacked) {
  const TempFolder folder;
  const std::string path = small_session(folder);
  // 200 MiB of zeros in a few KiB, for one step of a probe that has 16 bytes.
  EXPECT_THAT(complaint(path, "attention.entropy", 0, 1, {{1, 2, 0, 1, 0, 1, 2}, size_t{200} << 20}),
              HasSubstr("unpacks to more"));
  // Steps that would make it right are more than a chunk may hold.
  EXPECT_THAT(complaint(path, "attention.entropy", 0, 4'000'000, {{1, 2, 0, 1, 0, 1, 2}, size_t{64'000'000}}),
              HasSubstr("unpacks to more"));
}

TEST(DamagedSession, RowsThatCannotBeAreRefused) {
  const TempFolder folder;
  const std::string path = small_session(folder);
  const std::string whole = read_file(path);
  const std::pair<const char*, const char*> damages[] = {
      {"UPDATE token SET step = -5 WHERE step = 3", "has a token that cannot be"},
      {"UPDATE token SET step = 9223372036854775806 WHERE step = 3", "has a token that cannot be"},
      {"UPDATE token SET id = 99999999999 WHERE step = 3", "has a token that cannot be"},
      {"UPDATE token SET id = -1 WHERE step = 3", "has a token that cannot be"},
      {"UPDATE token SET segment = 'nobody' WHERE step = 3", "has a token that cannot be"},
      {"UPDATE token SET bytes = zeroblob(100000) WHERE step = 3", "has a token that cannot be"},
      {"INSERT INTO gap VALUES(1, 9, 3, 'backwards')", "has a gap that cannot be"},
      {"INSERT INTO event VALUES(1, 2, 'x', 99999999999, '{}')", "has an event that cannot be"},
      {"UPDATE chunk SET step_begin = -9, step_end = -2", "impossible steps"},
      {"UPDATE chunk SET step_end = step_begin", "impossible steps"},
      {"UPDATE run SET settings = '{'", "run.settings is not the JSON"},
      {"UPDATE run SET settings = '{\"threads\": \"many\"}'", "\"threads\""},
      {"UPDATE run SET settings = '{\"spans\": [{\"begin\": -1}]}'", "\"spans\""},
      {"UPDATE run SET prompt = '[]'", "run.prompt is not the JSON"},
      {"UPDATE run SET model = 99", "has no model"},
      {"UPDATE model SET layers = '[{\"attention\": {\"n_heads\": 99999999999}}]'", "\"n_heads\""},
      {"UPDATE model SET layers = '[1]'", "\"layer\""},
      {"UPDATE model SET config = '{\"ropes\": 3}'", "\"ropes\""},
      {"UPDATE model SET layers = replace(hex(zeroblob(50000)), '00', '[')", "is not the JSON"},
  };
  for (const auto& [sql, sentence] : damages) {
    write_file(path, whole);
    execute(path, sql);
    const std::vector<std::string> errors = read_everything(path);
    ASSERT_FALSE(errors.empty()) << sql;
    EXPECT_THAT(errors, ::testing::Contains(HasSubstr(sentence))) << sql;
  }
}

TEST(DamagedSession, AFailedRequestIsAnsweredWithoutFrames) {
  const TempFolder folder;
  const std::string path = small_session(folder);
  execute(path, "UPDATE chunk SET data = zeroblob(20)");
  auto source = AsyncFrameSource::open(path);
  ASSERT_TRUE(source);
  (*source)->request({.tag = 1, .run = 1, .probe = find_probe("residual.norm"), .step_begin = 0, .step_end = 9});
  FrameReply reply;
  while (!(*source)->poll(reply)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(reply.frames.empty());
  EXPECT_TRUE(reply.complete);
  EXPECT_THAT((*source)->last_error(), HasSubstr("a chunk"));
}

}  // namespace
}  // namespace orrery
