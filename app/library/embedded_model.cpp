#include "app/library/embedded_model.h"

#include <unistd.h>

#include <array>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace {

// The assembler puts the files' bytes into the program: a C++ array of a megabyte would take a minute to compile.
#define ORRERY_EMBED(symbol, file)                  \
  asm(".section .rodata\n"                          \
      ".balign 16\n"                                \
      "orrery_embedded_" #symbol                    \
      ":\n"                                         \
      ".incbin \"" ORRERY_EMBEDDED_FOLDER "/" file  \
      "\"\n"                                        \
      "orrery_embedded_" #symbol                    \
      "_end:\n"                                     \
      ".byte 0\n"                                   \
      ".previous\n");                               \
  extern "C" const char orrery_embedded_##symbol[]; \
  extern "C" const char orrery_embedded_##symbol##_end[]

ORRERY_EMBED(config, "config.json");
ORRERY_EMBED(tokenizer, "tokenizer.json");
ORRERY_EMBED(weights, "model.safetensors");

#undef ORRERY_EMBED

std::string_view between(const char* begin, const char* end) { return {begin, static_cast<size_t>(end - begin)}; }

}  // namespace

namespace orrery {
namespace {

namespace fs = std::filesystem;

bool holds(const fs::path& path, std::string_view bytes) {
  std::error_code error;
  if (fs::file_size(path, error) != bytes.size() || error) return false;
  std::ifstream in(path, std::ios::binary);
  const std::string held{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  return held == bytes;
}

Error not_written(const fs::path& path, const std::string& why) {
  return {ErrorCode::kIo, "cannot write the model that comes with the program (" + why + "): " + path.string()};
}

Result<void> write_files(const fs::path& folder) {
  for (const EmbeddedFile& file : embedded_files()) {
    const fs::path path = folder / file.name;
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(file.bytes.data(), static_cast<std::streamsize>(file.bytes.size()));
    out.close();
    if (!out) return not_written(path, "the disk may be full");
  }
  return {};
}

}  // namespace

std::span<const EmbeddedFile> embedded_files() {
  static const std::array<EmbeddedFile, 3> kFiles{{
      {"config.json", between(orrery_embedded_config, orrery_embedded_config_end)},
      {"tokenizer.json", between(orrery_embedded_tokenizer, orrery_embedded_tokenizer_end)},
      {"model.safetensors", between(orrery_embedded_weights, orrery_embedded_weights_end)},
  }};
  return kFiles;
}

Result<fs::path> unpack_embedded_model(const fs::path& folder) {
  const fs::path target = folder / kEmbeddedModel;
  bool is_whole = true;
  for (const EmbeddedFile& file : embedded_files()) is_whole = is_whole && holds(target / file.name, file.bytes);
  if (is_whole) return target;
  // A hidden folder is no installed model; its name is this process's own.
  const fs::path fresh = folder / ("." + std::string(kEmbeddedModel) + "." + std::to_string(getpid()));
  std::error_code error;
  fs::create_directories(fresh, error);
  if (error) return not_written(fresh, error.message());
  Result<void> written = write_files(fresh);
  std::error_code ignored;
  if (written) {
    fs::remove_all(target, ignored);
    fs::rename(fresh, target, error);
    // Another program may have been faster: what counts is what lies there.
    if (error && !holds(target / "model.safetensors", embedded_files().back().bytes)) {
      written = not_written(target, error.message());
    }
  }
  fs::remove_all(fresh, ignored);
  if (!written) return written.error();
  return target;
}

}  // namespace orrery
