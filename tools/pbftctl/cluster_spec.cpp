#include "tools/pbftctl/cluster_spec.h"

#include <fmt/format.h>

#include <set>

#include "node/pbft/messages.h"
#include "node/runtime/toml_reader.h"

namespace pbft::ctl {

namespace {

using runtime::TomlSection;

void read_replicas(TomlSection& root, ClusterSpec& spec) {
  std::set<std::string> names;
  for (TomlSection& section : root.sections("replica")) {
    ClusterSpec::Replica replica;
    replica.name = section.text("name");
    if (const std::string wrong = runtime::name_problem(replica.name); !replica.name.empty() && !wrong.empty()) {
      section.problem("name", wrong);
    }
    if (!replica.name.empty() && !names.insert(replica.name).second) {
      section.problem("name", "names another replica already; names must differ");
    }
    if (section.has("http_port"))
      replica.http_port = static_cast<std::uint16_t>(section.number("http_port", 1, 65'535));
    section.finish();
    spec.replicas.push_back(std::move(replica));
  }
  const std::uint64_t n = root.number_or("n", 0, 1, Limits::max_replicas);
  if (n != 0 && !spec.replicas.empty())
    root.problem("n", "must be left out where [[replica]] tables name the replicas");
  if (n != 0 && spec.replicas.empty()) spec.replicas = default_replicas(static_cast<std::uint32_t>(n));
  if (spec.replicas.size() > Limits::max_replicas) {
    root.problem("replica", fmt::format("there are {} replicas; at most {} are allowed", spec.replicas.size(),
                                        Limits::max_replicas));
  }
}

void read_tuning(TomlSection& root, ClusterSpec& spec) {
  TomlSection section = root.section("tuning");
  const auto number = [&section](std::string_view key, std::optional<std::uint64_t>& value, runtime::Allowed allowed) {
    const std::uint64_t given = section.number_or(key, 0, allowed.least, allowed.most);
    if (given != 0) value = given;
  };
  number("view_timeout_ticks", spec.view_timeout_ticks, runtime::view_timeout_allowed);
  number("view_timeout_max_ticks", spec.view_timeout_max_ticks, runtime::view_timeout_max_allowed);
  number("transfer_above", spec.transfer_above, runtime::transfer_above_allowed);
  section.finish();
}

}  // namespace

std::vector<ClusterSpec::Replica> default_replicas(std::uint32_t n) {
  std::vector<ClusterSpec::Replica> replicas;
  for (std::uint32_t i = 0; i < n; ++i) {
    replicas.push_back({i < 26 ? std::string(1, static_cast<char>('A' + i)) : fmt::format("R{}", i + 1), {}});
  }
  return replicas;
}

tl::expected<ClusterSpec, std::string> load_spec(const std::filesystem::path& file) {
  auto opened = runtime::TomlFile::open(file);
  if (!opened) return tl::unexpected(opened.error());
  TomlSection root = opened->root();
  ClusterSpec spec;
  spec.cluster_name = root.text_or("cluster", spec.cluster_name);
  read_replicas(root, spec);
  spec.plugin = root.text_or("plugin", spec.plugin);
  spec.plugin_config = root.text_or("plugin_config", "");
  spec.host = root.text_or("host", spec.host);
  spec.pick_ports = root.choice_or("ports", "base", {"base", "pick"}) == "pick";
  spec.base_port = static_cast<std::uint16_t>(root.number_or("base_port", spec.base_port, 1, 65'535));
  if (root.has("http_base_port")) {
    spec.http_base_port = static_cast<std::uint16_t>(root.number("http_base_port", 1, 65'535));
  }
  spec.demo_get = root.boolean_or("demo_get", false);
  spec.open_clients = root.boolean_or("open_clients", false);
  spec.clients = static_cast<std::uint32_t>(root.number_or("clients", 1, 1, 10'000));
  spec.durability = root.choice_or("durability", spec.durability, {"fsync", "os"});
  spec.ledger_keep = root.number_or("ledger_keep", spec.ledger_keep, runtime::ledger_keep_allowed.least,
                                    runtime::ledger_keep_allowed.most);
  spec.on_divergence = root.choice_or("on_divergence", spec.on_divergence, {"repair", "stop"});
  spec.scrub_period_s = root.number_or("scrub_period_s", spec.scrub_period_s, runtime::scrub_period_allowed.least,
                                       runtime::scrub_period_allowed.most);
  read_tuning(root, spec);
  TomlSection parameters = root.section("parameters");
  runtime::read_parameters(parameters, spec.parameters);
  if (!root.has("http_base_port")) (void)root.text_or("http_base_port", "");  // known, so that it is no surprise
  root.finish();
  if (auto verdict = opened->verdict(); !verdict) return tl::unexpected(verdict.error());
  return spec;
}

}  // namespace pbft::ctl
