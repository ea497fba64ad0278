#include "node/runtime/log.h"

#include <spdlog/details/log_msg.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>

namespace pbft::runtime {

namespace {

class JsonFormatter final : public spdlog::formatter {
 public:
  explicit JsonFormatter(std::string name) : name_(std::move(name)) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(message.time.time_since_epoch()).count();
    const std::time_t seconds = micros / 1'000'000;
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    char time[80];
    std::snprintf(time, sizeof(time), "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", utc.tm_year + 1900, utc.tm_mon + 1,
                  utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, static_cast<int>(micros % 1'000'000));
    const auto level = spdlog::level::to_string_view(message.level);
    const nlohmann::ordered_json line{{"time", time},
                                      {"level", std::string{level.data(), level.size()}},
                                      {"name", name_},
                                      {"message", std::string{message.payload.data(), message.payload.size()}}};
    // Text from outside (a plugin's message, say) need not be UTF-8, and a log line is no place to fail.
    const std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    out.append(text.data(), text.data() + text.size());
  }

  [[nodiscard]] std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>(name_);
  }

 private:
  std::string name_;
};

}  // namespace

void start_log(const LogConfig& config, const std::string& name) {
  // Colour on a terminal only: the colour sink would look at the terminal by itself, but not when TERM is unset.
  std::shared_ptr<spdlog::sinks::sink> sink;
  if (!config.json && ::isatty(STDERR_FILENO) == 1) {
    sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  } else {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  }
  auto logger = std::make_shared<spdlog::logger>(name, std::move(sink));
  if (config.json) {
    logger->set_formatter(std::make_unique<JsonFormatter>(name));
  } else {
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%-8l%$ %n: %v");
  }
  logger->set_level(spdlog::level::from_str(config.level == "warn" ? "warning" : config.level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace pbft::runtime
