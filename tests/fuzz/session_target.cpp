// A session file. Fuzzing SQLite's pages would mostly test SQLite, so the first byte of an input chooses what of the
// sample session is put out of place, and the rest is what stands there: see kPlaces. 'F' takes the rest as the file.
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "sessions/replay.h"
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
    {'d', "UPDATE chunk SET data = ?1 WHERE rowid = 1 + ?2 % 32"},
    {'c', "UPDATE chunk SET codec = CAST(?1 AS TEXT) WHERE rowid = 1 + ?2 % 32"},
    {'p', "UPDATE chunk SET probe = CAST(?1 AS TEXT) WHERE rowid = 1 + ?2 % 32"},
    {'r', "UPDATE chunk SET step_begin = ?3, step_end = ?4 WHERE rowid = 1 + ?2 % 32"},
    {'s', "UPDATE run SET settings = CAST(?1 AS TEXT)"},
    {'q', "UPDATE run SET prompt = CAST(?1 AS TEXT)"},
    {'e', "UPDATE run SET edits = CAST(?1 AS TEXT)"},
    {'l', "UPDATE run SET level = CAST(?1 AS TEXT), outcome = CAST(?1 AS TEXT)"},
    {'m', "UPDATE model SET config = CAST(?1 AS TEXT)"},
    {'y', "UPDATE model SET layers = CAST(?1 AS TEXT)"},
    {'t', "UPDATE token SET bytes = ?1, id = ?3, time_ns = ?4 WHERE step = ?2 % 24"},
    {'g', "UPDATE token SET segment = CAST(?1 AS TEXT) WHERE step = ?2 % 24"},
    {'v', "INSERT INTO event VALUES(1, ?3, CAST(?1 AS TEXT), ?4, CAST(?1 AS TEXT))"},
    {'a', "INSERT INTO gap VALUES(1, ?3, ?4, CAST(?1 AS TEXT))"},
    {'n', "INSERT INTO note VALUES(NULL, 1, ?3, CAST(?1 AS TEXT), CAST(?1 AS TEXT), ?4)"},
};

int64_t number_at(FileBytes bytes, size_t place) {
  int64_t number = 0;
  if (bytes.size() >= (place + 1) * sizeof number)
    std::memcpy(&number, bytes.data() + place * sizeof number, sizeof number);
  return number;
}

std::string sample_session() {
  std::ifstream in(std::filesystem::path(ORRERY_SOURCE_DIR) / "assets/sessions/schema1.orrery", std::ios::binary);
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
