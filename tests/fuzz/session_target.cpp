// A session file. Fuzzing SQLite's pages would mostly test SQLite, so the first byte of an input chooses what of the
// sample session is put out of place, and the rest is what stands there: kTexts and kChunks are decoded in memory,
// kPlaces are written into a copy of the file. 'F' takes the rest as the whole file.
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/check.h"
#include "sessions/chunk_codec.h"
#include "sessions/model_json.h"
#include "sessions/run_record.h"
#include "sessions/session_reader.h"
#include "sessions/sqlite.h"
#include "tests/fuzz/scratch_files.h"
#include "tests/fuzz/targets.h"

namespace orrery::testing {

namespace {

struct Place {
  char letter;
  std::string_view sql;  // ?1: the bytes; ?2: a number that the first of them gives; ?3, ?4: the next two as numbers
};
constexpr Place kPlaces[] = {
    {'p', "UPDATE chunk SET probe = CAST(?1 AS TEXT) WHERE rowid = 1 + ?2 % 32"},
    {'e', "UPDATE run SET edits = CAST(?1 AS TEXT)"},
    {'l', "UPDATE run SET level = CAST(?1 AS TEXT), outcome = CAST(?1 AS TEXT)"},
    {'t', "UPDATE token SET bytes = ?1, id = ?3, time_ns = ?4 WHERE step = ?2 % 24"},
    {'g', "UPDATE token SET segment = CAST(?1 AS TEXT) WHERE step = ?2 % 24"},
    {'v', "INSERT INTO event VALUES(1, ?3, CAST(?1 AS TEXT), ?4, CAST(?1 AS TEXT))"},
    {'a', "INSERT INTO gap VALUES(1, ?3, ?4, CAST(?1 AS TEXT))"},
    {'n', "INSERT INTO note VALUES(NULL, 1, ?3, CAST(?1 AS TEXT), CAST(?1 AS TEXT), ?4)"},
};

// Columns that hold JSON.
struct Text {
  char letter;
  void (*read)(std::string_view);
};
constexpr Text kTexts[] = {
    {'s', [](std::string_view text) { (void)settings_from_json(text); }},
    {'q', [](std::string_view text) { (void)prompt_from_json(text); }},
    {'m', [](std::string_view text) { (void)model_from_json(text, "[]"); }},
    {'y', [](std::string_view text) { (void)model_from_json("{\"n_layers\": 2}", text); }},
};

// 'd': other data of chunk b, b the first byte; 'c': another codec; 'r': other steps, two numbers of 8 bytes after b.
constexpr std::string_view kChunks = "dcr";

int64_t number_at(FileBytes bytes, size_t place) {
  int64_t number = 0;
  if (bytes.size() >= (place + 1) * sizeof number)
    std::memcpy(&number, bytes.data() + place * sizeof number, sizeof number);
  return number;
}

std::string sample_session() {
  std::ifstream in(std::filesystem::path(ORRERY_SOURCE_DIR) / "assets/sessions/schema2.orrery", std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The sample session with one thing put out of place; false where the database refused it.
bool put_out_of_place(const std::filesystem::path& path, const Place& place, FileBytes bytes) {
  auto db = Database::open(path.string(), Database::Mode::kWrite);
  if (!db) return false;
  auto statement = db->prepare(place.sql);
  if (!statement) return false;
  statement->bind(1, bytes.empty() ? FileBytes() : bytes.subspan(1));
  if (place.sql.find("?2") != std::string_view::npos) {
    statement->bind(2, bytes.empty() ? int64_t{0} : std::to_integer<int64_t>(bytes[0]));
  }
  if (place.sql.find("?3") != std::string_view::npos) {
    statement->bind(3, number_at(bytes, 0));
    statement->bind(4, number_at(bytes, 1));
  }
  return static_cast<bool>(statement->run());
}

// The chunks of the sample session, and the model that they are of.
struct Sample {
  struct Chunk {
    const Probe* probe;
    int32_t level;
    int64_t step_begin, step_end;
    std::string codec;
    std::vector<std::byte> data;
  };
  ModelConfig config;
  std::vector<Chunk> chunks;
};

Sample read_sample(const std::string& path) {
  Sample sample;
  auto reader = SessionReader::open(path);
  CHECK(reader);
  sample.config = (*reader)->run(0)->config;
  reader = Error{ErrorCode::kCancelled, ""};  // closed
  auto db = Database::open(path, Database::Mode::kRead);
  CHECK(db);
  auto rows = db->prepare("SELECT probe, level, step_begin, step_end, codec, data FROM chunk ORDER BY rowid");
  CHECK(rows);
  while (*rows->step()) {
    const auto data = rows->blob(5);
    sample.chunks.push_back({find_probe(rows->text(0)),
                             static_cast<int32_t>(rows->i64(1)),
                             rows->i64(2),
                             rows->i64(3),
                             std::string(rows->text(4)),
                             {data.begin(), data.end()}});
  }
  return sample;
}

void decode_damaged(Sample::Chunk chunk, const ModelConfig& config, char letter, FileBytes bytes) {
  if (letter == 'd') chunk.data.assign(bytes.begin(), bytes.end());
  if (letter == 'c') chunk.codec.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (letter == 'r') {
    chunk.step_begin = number_at(bytes, 0);
    chunk.step_end = number_at(bytes, 1);
  }
  auto decoded = ChunkDecoder().decode(*chunk.probe, config, chunk.level, chunk.step_begin, chunk.step_end, chunk.codec,
                                       chunk.data);
  if (!decoded) return;
  const auto whole = std::make_shared<const UnpackedChunk>(std::move(*decoded));
  (void)cut_chunk(whole, 1, whole->step_begin, whole->step_end);
}

void read_everything(const std::string& path) {
  const auto reader = SessionReader::open(path);
  if (!reader) return;
  (void)(*reader)->summary();
  const auto runs = (*reader)->runs();
  if (!runs) return;
  for (const RunRecord& run : *runs) {
    (void)(*reader)->tokens(run.run);
    (void)(*reader)->events(run.run);
    (void)(*reader)->gaps(run.run);
    (void)(*reader)->notes(run.run);
    for (const Probe* probe : all_probes()) {
      (void)(*reader)->frames(*probe, run.run, 0, kAllSteps);
      (void)(*reader)->recorded_steps(*probe, run.run);
    }
  }
}

}  // namespace

void fuzz_session(FileBytes file) {
  static const ScratchFolder folder;
  static const std::string sample = sample_session();
  if (file.empty()) return;
  const char letter = static_cast<char>(file[0]);
  const FileBytes rest = file.subspan(1);
  for (const Text& text : kTexts) {
    if (text.letter == letter) return text.read({reinterpret_cast<const char*>(rest.data()), rest.size()});
  }
  if (kChunks.find(letter) != std::string_view::npos) {
    static const Sample chunks = read_sample(folder.write("sample.orrery", std::as_bytes(std::span(sample))).string());
    if (rest.empty()) return;
    const Sample::Chunk& chunk = chunks.chunks[std::to_integer<size_t>(rest[0]) % chunks.chunks.size()];
    return decode_damaged(chunk, chunks.config, letter, rest.subspan(1));
  }
  for (const char* left_over : {"session.orrery-wal", "session.orrery-shm"}) {
    std::filesystem::remove(folder.path() / left_over);
  }
  if (letter == 'F') {
    read_everything(folder.write("session.orrery", rest).string());
    return;
  }
  for (const Place& place : kPlaces) {
    if (place.letter != letter) continue;
    const auto path = folder.write("session.orrery", std::as_bytes(std::span(sample)));
    if (put_out_of_place(path, place, rest)) read_everything(path.string());
  }
}

}  // namespace orrery::testing
