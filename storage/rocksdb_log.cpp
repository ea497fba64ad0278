#include "storage/rocksdb_log.h"

#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <ctime>

namespace pbft::storage {
namespace {

std::chrono::microseconds now() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch());
}

std::string time_text() {
  const auto micros = now().count();
  const std::time_t seconds = micros / 1'000'000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[64];
  const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  char fraction[16];
  std::snprintf(fraction, sizeof fraction, ".%06dZ ", static_cast<int>(micros % 1'000'000));
  return std::string{text, size} + fraction;
}

}  // namespace

InfoLog::InfoLog(const Files& files, const std::filesystem::path& directory)
    : Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {
  files.move_away(directory / "LOG", directory / ("LOG.old." + std::to_string(now().count())));
  file_ = files.begin(directory / "LOG");
}

void InfoLog::Logv(const char* format, va_list arguments) {
  char text[1024];
  const int size = std::vsnprintf(text, sizeof text, format, arguments);
  if (size < 0) return;
  std::string line = time_text();
  line.append(text, std::min<std::size_t>(static_cast<std::size_t>(size), sizeof text - 1));
  if (line.back() != '\n') line.push_back('\n');
  const std::lock_guard lock{mutex_};
  if (!file_ || written_ + line.size() > most_bytes) return;
  written_ += line.size();
  file_->Append(line, {}, nullptr).PermitUncheckedError();
}

std::size_t InfoLog::GetLogFileSize() const {
  const std::lock_guard lock{mutex_};
  return written_;
}

}  // namespace pbft::storage
