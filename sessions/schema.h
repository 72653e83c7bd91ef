// The session file, schema 2: what `*.orrery` holds, byte by byte.
//
// One SQLite database. application_id 0x4F525259 ("ORRY"), user_version the schema number, pages of 8 KiB, mode 0600.
// While it is recorded it is in WAL mode (FILE-wal and FILE-shm beside it); closed, it is one file with a rollback
// journal. Text is UTF-8; columns called JSON hold JSON text. More columns and tables may follow in any schema.
//
//   model  one row per model, told apart by its fingerprint
//     id            integer key
//     name          text, "SmolLM2-135M-Instruct"
//     architecture  text, "llama"
//     fingerprint   text, unique
//     config        JSON object, the sizes that no single layer has       } model_json.h
//     layers        JSON array, one object per layer                      }
//   run    one row per run
//     id            integer key, from 1
//     parent        run.id it branched from, or NULL
//     model         model.id
//     created_ns    nanoseconds since 1970-01-01 UTC
//     prompt        JSON object {"kind": "prompt" | "chat" | "tokens", "text"}, of a chat also "system" and "turns"
//     settings      JSON object: model path, threads, kv, instruction set, sampler, seed, batches, turns, level,
//                   spans: run_record.h
//     edits         JSON array
//     backend       text, "cpu"
//     build         text
//     level         text, "light", "standard" or "full": kept for every step
//     outcome       text, how it ended (run_record.h); NULL while it is recorded, or where its program was killed and
//                   the file has not been opened since
//     ended_ns      nanoseconds since 1970-01-01 UTC, or NULL
//   token  key (run, step)
//     step          position in the run, prompt included, from 0 without holes (but for gaps)
//     id            in the model's vocabulary
//     bytes         blob: what it adds to the text; may be a part of a UTF-8 character
//     time_ns       nanoseconds since the run began
//     segment       text: system, user, assistant, forced, generated
//   event  (run, step, kind, layer or NULL, detail JSON)   in the order of writing
//   gap    (run, step_begin, step_end, reason)             half-open: steps whose frames, perhaps tokens, were lost
//   note   (id, run, step, view_state JSON, text, created_ns)
//   chunk  the bulk: one probe over the steps [step_begin, step_end) and all its layers
//     run, probe    the probe's name, as in the README
//     level         0: every step. 1 to 7: the means over cells of 8, 32, 128, 512, 2048, 8192, 32768 steps; 17 to 23:
//                   the greatest values over the same
//     step_begin, step_end   of a coarse level: multiples of its cells
//     codec         text, "shuffle<N>+zstd", from schema 2 on "fixed20+shuffle4+zstd", "ranked20+shuffle8+zstd" too
//     data          blob
//   Chunks of a probe and level do not overlap. Steps in no chunk were not recorded.
//   Coarse levels, from schema 2 on: of probes whose numbers belong to a step, layer, head, iteration or tap (not of
//   lists, nor of rows over keys), and of sums over blocks of keys the levels 18 to 23 alone; float32, of the measured
//   steps of a cell, NaN where none was. Readers find levels by their rows: a file may lack any. A cell is written when
//   its last step is: what is left at a run's end is read from finer levels.
//   checkpoint  what the run's cache held, so that a re-run of later steps can begin there; the table is there once a
//               run has one (app/checkpoint_taker.h says which)
//     run
//     step          tokens processed: what was held after step - 1
//     keys_begin    the first token whose keys and values are in `keys`, the last being step - 1; those before it are
//                   in the checkpoints before
//     codec         text, "shuffle4+zstd": as of a chunk, with zstd's checksum
//     states        blob, constant in the length: recurrent and convolution states, token shifts, fast weights, and the
//                   keys and values that windows still see
//     keys          blob, of the layers that keep all; empty where there are none
//     (both in the order and form of engine/cache.h, of this model in this cache type)
//
// chunk.data is one zstd frame with its content size. Inside, little endian:
//     u32 version = 1
//     u32 n_layers, i32 layers[n_layers]     ascending; none where the probe belongs to no layer
//     u32 n_heads,  i32 heads[n_heads]       attention.row of pinned heads: which; else none, meaning all
//     u32 n_inner,  u32 inner[n_inner]       sizes of the axes after [t, layer]; 0 for an axis that the step gives
//     values                                 shuffled; step after step, each [layer, inner...] row major
//   Ragged: at step t an axis of keys has t + 1 entries and an axis of blocks of 64 keys ceil((t + 1) / 64), in a cell
//   as at its last step; what lies beyond (zeros in an export) is not stored. Values have the probe's dtype, float32,
//   int32 or int64.
//     fixed20: values are multiples of 2^-20, and stored as i32, that many of them; -2^31 is NaN.
//     ranked20: pairs (id, weight) of lists, stored as two u32: the step minus the id, and by how many 2^-20 the weight
//   is less than that of the pair before (of a list's first: minus its own), both modulo 2^32.
//   Values that are no such multiples are stored as they are. Probe::fraction_bits says of which probes the values are
//   rounded before anyone sees them.
//     shuffle<N>: seen as records of N bytes, all first bytes come first, then all second ones, and so on. N is the
//   size of a value, or of a pair where the probe's last axis holds pairs (id, probability). Bytes beyond the last
//   whole record follow as they are.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "kernels/base/result.h"
#include "sessions/sqlite.h"

namespace orrery {

inline constexpr int64_t kApplicationId = 0x4F525259;
inline constexpr int64_t kSchemaVersion = 2;

// Makes the table of checkpoints where there is none.
inline constexpr std::string_view kCheckpointTable =
    "CREATE TABLE IF NOT EXISTS checkpoint(run INTEGER NOT NULL, step INTEGER NOT NULL, keys_begin INTEGER NOT NULL, "
    "codec TEXT NOT NULL, states BLOB NOT NULL, keys BLOB NOT NULL)";
// Whether a session has it, and it is a table.
bool has_checkpoint_table(Database& db);

// What a file under a session's name turned out to be.
enum class FileKind : uint8_t { kMissing, kEmpty, kSession };

// Looks at the path without changing anything: kInvalidFile with a sentence where something else lies there (a folder,
// a device, another kind of file). A session's contents are not looked at yet.
Result<FileKind> look_at_session_path(const std::string& path);

// Opens an existing session as a stranger's file and checks it (check_session).
Result<Database> open_session(const std::string& path, Database::Mode mode);
// Checks application_id, schema number, tables and columns. kInvalidFile, kUnsupported (newer schema), kIo.
Result<void> check_session(Database& db, const std::string& path);
bool is_empty_database(Database& db);

// A forward migration: SQL that takes schema number `to - 1` to `to`.
struct Migration {
  int64_t to = 0;
  std::string_view sql;
};
// All of them; the first makes schema 1 out of an empty database.
std::span<const Migration> migrations();
// Applies those beyond the database's schema number in one transaction, all or none.
Result<void> migrate(Database& db, std::span<const Migration> steps);
// Makes an empty database a session.
Result<void> create_schema(Database& db);

// One sentence about `path` for an error of SQLite's.
Error session_error(const std::string& path, const Error& error);

}  // namespace orrery
