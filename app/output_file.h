// A file that is written from start to end, and removed again where it was not finished.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "kernels/base/result.h"

namespace orrery {

class OutputFile {
 public:
  // Replaces the file. kIo, naming --out and the file, where that cannot be.
  static Result<OutputFile> create(const std::string& path);
  ~OutputFile();
  OutputFile(OutputFile&&) = default;
  OutputFile& operator=(OutputFile&&) = delete;

  Result<void> write(std::string_view bytes);
  // kIo where the disk is full.
  Result<void> close();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  OutputFile(std::string path, std::FILE* file) : path_(std::move(path)), file_(file) {}
  Error failure() const;

  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;  // null once closed or moved from
};

}  // namespace orrery
