#include "node/runtime/node.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "node/pbft/digests.h"
#include "storage/rocksdb_engine.h"

namespace pbft::runtime {

namespace {

constexpr std::size_t frames_per_turn = 256;
constexpr std::size_t gather_bytes = 64U << 20;  // of changes that wait in memory for the next checkpoint
constexpr std::chrono::milliseconds status_interval{50};
constexpr std::chrono::seconds healthy_turn{2};
constexpr std::chrono::milliseconds checkpoint_pause{2};  // without a frame, before more of one is written

Timestamp wall_clock() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  return Timestamp{static_cast<std::uint64_t>(std::max<std::int64_t>(0, micros))};
}

std::set<bus::CurveKey> curve_keys(const std::set<ClientId>& clients) {
  std::set<bus::CurveKey> keys;
  for (const ClientId& client : clients) {
    if (const auto key = crypto::curve_public_key(PublicKey{client.bytes})) keys.insert(*key);
  }
  return keys;
}

bus::NodeBusOptions bus_options(const NodeConfig& config) {
  bus::NodeBusOptions options;
  options.self = config.id;
  for (std::size_t i = 0; i < config.replicas.size(); ++i) {
    const ReplicaAddress& address = config.replicas[i];
    options.replicas.push_back({config.genesis.replicas[i].key, {address.publish, address.peer, address.client}});
  }
  options.bind = options.replicas[config.id.value].endpoints;
  if (config.genesis.parameters.open_clients) {
    options.admit_client = [](const bus::CurveKey&) { return true; };
  } else {
    options.admit_client = [keys = curve_keys(config.genesis.parameters.clients)](const bus::CurveKey& key) {
      return keys.contains(key);
    };
  }
  return options;
}

storage::RocksOptions rocks_options(const NodeConfig& config, const StartOptions& start) {
  storage::RocksOptions options;
  options.block_cache_bytes = config.block_cache_bytes;
  if (start.on_lost_store) {
    options.on_failed_compaction = [lost = start.on_lost_store](const storage::StorageError& error) {
      lost(error.message);
    };
  }
  return options;
}

std::vector<std::string> names_of(const NodeConfig& config) {
  std::vector<std::string> names;
  for (const ReplicaAddress& replica : config.replicas) names.push_back(replica.name);
  return names;
}

// A key or bucket range of a damage, for people.
std::string describe_damage(const storage::Damage& damage) {
  const char* family = damage.name_space == Namespace::state ? "application state" : "client table";
  if (damage.bucket) return fmt::format("{}: {} (bucket {})", family, damage.what, *damage.bucket);
  return fmt::format("{}: {}, from {} to {}", family, damage.what, key_text(damage.first), key_text(damage.last));
}

Loaded<std::unique_ptr<execution::Plugin>> load_plugin(const NodeConfig& config) {
  auto plugin = execution::Plugin::load(config.plugin_file, config.genesis.plugin_config);
  if (!plugin) return plugin;
  if ((*plugin)->name() == config.genesis.plugin) return plugin;
  return tl::unexpected(
      fmt::format("{}: is the state machine \"{}\", but the genesis {} wants \"{}\"; correct plugin in {}",
                  config.plugin_file.string(), (*plugin)->name(), config.genesis_file.string(), config.genesis.plugin,
                  config.file.string()));
}

}  // namespace

Loaded<NodeInputs> load_inputs(NodeConfig config) {
  auto identity = crypto::Identity::load(config.key_file);
  if (!identity) return tl::unexpected(identity.error());
  if (identity->public_key() != config.genesis.replicas[config.id.value].key) {
    return tl::unexpected(
        fmt::format("{}: its public key is {}, but {} lists another one for {}: {}; correct key or name in {}",
                    config.key_file.string(), crypto::to_hex(identity->public_key()), config.genesis_file.string(),
                    config.name, crypto::to_hex(config.genesis.replicas[config.id.value].key), config.file.string()));
  }
  std::optional<crypto::Identity> gateway;
  if (!config.gateway_key_file.empty()) {
    auto loaded = crypto::Identity::load(config.gateway_key_file);
    if (!loaded) return tl::unexpected(loaded.error());
    const ClusterParameters& parameters = config.genesis.parameters;
    if (!parameters.open_clients && !parameters.clients.contains(loaded->client_id())) {
      return tl::unexpected(fmt::format(
          "{}: its public key {} is not among the clients of {}; remove gateway_key, or "
          "use a key that is",
          config.gateway_key_file.string(), crypto::to_hex(loaded->public_key()), config.genesis_file.string()));
    }
    gateway = std::move(*loaded);
  }
  auto plugin = load_plugin(config);
  if (!plugin) return tl::unexpected(plugin.error());
  return NodeInputs{std::move(config), std::move(*identity), std::move(gateway), std::move(*plugin)};
}

Node::Node(NodeInputs inputs) : inputs_(std::move(inputs)), observer_(names_of(inputs_.config)) {}

Node::~Node() = default;

Loaded<std::unique_ptr<Node>> Node::open(NodeInputs inputs, StartOptions options,
                                         const MakeInterceptor& make_interceptor) {
  if (options.repair) inputs.config.local.repair = true;
  std::unique_ptr<Node> node{new Node{std::move(inputs)}};
  if (options.rejoin) {
    if (auto made = node->make_store_for_rejoining(options); !made) return tl::unexpected(made.error());
  }
  if (auto opened = node->open_store(options); !opened) return tl::unexpected(opened.error());
  if (auto opened = node->open_bus(); !opened) return tl::unexpected(opened.error());
  if (make_interceptor) node->interceptor_ = make_interceptor(*node->bus_);
  node->wire();
  return node;
}

// Only where there is none: a replica that has its memory must not throw it away. One that was made for this and is not
// done yet is gone on with.
Loaded<void> Node::make_store_for_rejoining(const StartOptions& start) const {
  const NodeConfig& config = inputs_.config;
  if (config.genesis.parameters.replicas == 1) {
    return tl::unexpected<std::string>("--rejoin: a cluster of one replica has nobody to learn its state from");
  }
  const storage::StoreIdentity identity{config.genesis.cluster_id(), config.id};
  const auto made = storage::create_store(config.data_directory, identity, true);
  if (made) {
    spdlog::warn("made a new store in {}: this replica has lost its memory and votes on nothing until that is safe",
                 config.data_directory.string());
    return {};
  }
  if (made.error().kind != storage::StorageError::Kind::exists) return tl::unexpected(made.error().message);
  auto present =
      storage::open_rocksdb(config.data_directory, storage::OpenMode::existing, rocks_options(config, start));
  if (!present) return tl::unexpected(present.error().message);
  auto store = storage::Store::open(*present, identity, {});
  if (!store) return tl::unexpected(store.error().message);
  const auto recovered = (*store)->recover(0);
  if (!recovered) return tl::unexpected(recovered.error().message);
  if (recovered->rejoin && !recovered->rejoin->done) return {};
  return tl::unexpected(fmt::format(
      "--rejoin: {} holds this replica's store; start without --rejoin, or, if the store is not to be used any more, "
      "move the directory away first",
      config.data_directory.string()));
}

Loaded<void> Node::open_store(const StartOptions& start) {
  const NodeConfig& config = inputs_.config;
  auto engine = storage::open_rocksdb(config.data_directory, storage::OpenMode::existing, rocks_options(config, start));
  if (!engine) return tl::unexpected(engine.error().message);
  engine_ = std::move(*engine);
  storage::StoreOptions options;
  options.durability = config.fsync ? storage::Sync::durable : storage::Sync::no;
  options.checkpoint_interval = config.genesis.parameters.checkpoint_interval;
  options.ledger_keep = config.ledger_keep;
  options.gather_bytes = gather_bytes;
  auto store = storage::Store::open(engine_, {config.genesis.cluster_id(), config.id}, options);
  if (!store) return tl::unexpected(store.error().message);
  store_ = std::move(*store);
  auto executor = execution::Executor::open(*store_, *inputs_.plugin);
  if (!executor) return tl::unexpected(executor.error().message);
  executor_ = std::move(*executor);
  auto recovered = store_->recover(config.genesis.parameters.window);
  if (!recovered) return tl::unexpected(recovered.error().message);
  run_again_ = static_cast<std::uint64_t>(std::ranges::count_if(recovered->slots, [&](const auto& slot) {
    return slot.first > recovered->executed && slot.second.executed.has_value();
  }));
  replica_ = std::make_unique<Replica>(config.genesis.parameters, config.local, std::move(*recovered));
  return {};
}

Loaded<void> Node::open_bus() {
  auto bus = bus::NodeBus::open(inputs_.identity, bus_options(inputs_.config));
  if (!bus) return tl::unexpected(bus.error());
  bus_ = std::move(*bus);
  return {};
}

void Node::wire() {
  const NodeConfig& config = inputs_.config;
  authenticator_ = std::make_unique<crypto::Authenticator>(config.genesis.roster(), config.id, inputs_.identity);
  DriverParts parts{*replica_,
                    *authenticator_,
                    *store_,
                    *executor_,
                    interceptor_ ? static_cast<Transport&>(*interceptor_) : *bus_,
                    observer_,
                    config.genesis.parameters.epoch,
                    inputs_.plugin->identity(),
                    [this] { return status_json(); },
                    [this](const ClientId& client, SessionId session, RequestNumber number, Origin origin) {
                      bus_->learn_route(client, session, number, origin);
                    },
                    config.id,
                    config.genesis.parameters.replicas};
  driver_ = std::make_unique<Driver>(std::move(parts));
  refresh_status(Clock::now());
}

tl::expected<void, std::string> Node::run() {
  const ReplicaStatus status = replica_->status();
  const bus::Endpoints& bound = bus_->bound();
  spdlog::info("started: replica {} of {} in cluster {} ({}), state machine {} {}, {}", inputs_.config.id.value,
               inputs_.config.replicas.size(), inputs_.config.genesis.cluster_name,
               crypto::to_hex(inputs_.config.genesis.cluster_id()), inputs_.plugin->name(), inputs_.plugin->version(),
               inputs_.config.fsync ? "durability fsync" : "durability os");
  spdlog::info("resumes at view {}, executed {}, stable checkpoint {}", status.view.value,
               status.executed.value + run_again_, status.stable.value);
  if (run_again_ > 0) spdlog::info("runs the last {} batches again: their state was not stored yet", run_again_);
  spdlog::info("listens for replicas on {} and {}, for clients on {}", bound.publish, bound.peer, bound.client);
  next_tick_ = Clock::now();
  while (!stop_) {
    if (auto turned = turn(); !turned) return turned;
  }
  // Only the next start takes longer without it.
  if (auto written = store_->write_all_rows(); !written) spdlog::warn("at the end: {}", written.error().message);
  return {};
}

tl::expected<void, std::string> Node::turn() {
  const auto before = Clock::now();
  auto wait = driver_->busy() ? Clock::duration{0} : std::max(Clock::duration{0}, next_tick_ - before);
  if (driver_->checkpointing()) wait = std::min<Clock::duration>(wait, checkpoint_pause);
  // No wait before the first tick: the core learns the time before anything else.
  if (wait.count() > 0) {
    bus_->poll(std::chrono::duration_cast<std::chrono::microseconds>(wait) + std::chrono::microseconds{1},
               frames_per_turn, *this);
  } else if (last_turn_ != 0) {
    bus_->poll(std::chrono::microseconds{0}, frames_per_turn, *this);
  }
  const auto now = Clock::now();
  if (now >= next_tick_) {
    driver_->tick(wall_clock());
    if (auto scrubbed = scrub(now); !scrubbed) return tl::unexpected(scrubbed.error().message);
    const std::chrono::milliseconds interval{inputs_.config.tick_ms};
    next_tick_ += interval;
    // After a pause of the process one tick is enough: a burst would make every timer run out at once.
    if (next_tick_ <= now) next_tick_ = now + interval;
  }
  if (auto ended = driver_->end_turn(); !ended) return tl::unexpected(ended.error().message);
  if (interceptor_) interceptor_->turn_ended();
  last_turn_ = now.time_since_epoch().count();
  if (now >= next_status_) refresh_status(now);
  return {};
}

// A little of it in each tick, as much as it takes to get through in the period.
storage::Result<void> Node::scrub(Clock::time_point now) {
  constexpr std::size_t most_pairs = 512;
  const std::uint64_t period = inputs_.config.scrub_period_s;
  // A repair names what differed. Where none is to come, it is left to the scrub to find the keys.
  const bool known = inputs_.config.local.repair || !scrub_.damage.empty();
  if (period == 0 || (diverged_ && known)) return {};
  const double due = std::chrono::duration<double>(now - pass_started_).count() / static_cast<double>(period);
  if (scrub_.share >= due) {
    scrub_pairs_ = std::max<std::size_t>(scrub_pairs_ / 2, 1);
    return {};
  }
  scrub_pairs_ = std::min(2 * scrub_pairs_, most_pairs);
  const auto report = store_->scrub(scrub_pairs_);
  if (!report) return tl::unexpected(report.error());
  if (report->passes != scrub_.passes) {
    spdlog::debug("scrub: pass {} is done", report->passes);
    pass_started_ = std::max(pass_started_ + std::chrono::seconds{period}, now);
  }
  scrub_.share = report->passes != scrub_.passes ? 0 : report->share;
  scrub_.passes = report->passes;
  if (report->damage.empty()) return {};
  for (const storage::Damage& damage : report->damage) {
    spdlog::critical("the state is DAMAGED, found by the scrub: {}", describe_damage(damage));
  }
  scrub_.damage = describe_damage(report->damage.front());
  return driver_->state_damaged();
}

void Node::refresh_status(Clock::time_point now) {
  next_status_ = now + status_interval;
  const ReplicaStatus status = replica_->status();
  diverged_ = status.diverged;
  if (std::string located = observer_.take_located(); !located.empty()) scrub_.damage = std::move(located);
  observer_.summarize_refusals(now);
  auto counters = observer_.counters();
  for (const auto& [name, value] : bus_->counters().values) counters[name] += value;
  std::string text = describe(inputs_.config, inputs_.plugin->version(), status, scrub_, counters,
                              std::chrono::duration<double>(now - started_).count());
  const std::lock_guard lock{status_mutex_};
  status_ = std::move(text);
}

void Node::on_peer_frame(SharedBytes frame, ReplicaId channel) {
  if (!interceptor_ || interceptor_->hears(frame, channel)) driver_->peer_frame(frame, channel);
}

void Node::on_client_frame(SharedBytes frame, const bus::CurveKey& channel, Origin origin) {
  if (!interceptor_ || interceptor_->hears(frame, origin)) driver_->client_frame(frame, channel, origin);
}

void Node::stop() {
  stop_ = true;
  bus_->wake();
}

std::string Node::status_json() const {
  const std::lock_guard lock{status_mutex_};
  return status_;
}

std::optional<std::string> Node::unhealthy() const {
  if (diverged_) return "diverged: the state of this replica differs from what a quorum certified";
  const Clock::rep last = last_turn_;
  if (last == 0) return "starting";
  const auto age = Clock::now() - Clock::time_point{Clock::duration{last}};
  if (age <= healthy_turn) return std::nullopt;
  return fmt::format("the event loop has not turned for {:.1f} s", std::chrono::duration<double>(age).count());
}

std::string describe(const NodeConfig& config, const std::string& plugin_version, const ReplicaStatus& status,
                     const ScrubStatus& scrub, const std::map<std::string, std::uint64_t>& counters, double uptime_s) {
  SequenceNumber furthest = status.executed;
  for (const SequenceNumber peer : status.peer_executed) furthest = std::max(furthest, peer);
  std::string waiting_for = status.waiting_for;
  for (std::size_t i = 0; i < status.waiting_from.size(); ++i) {
    waiting_for += (i == 0 ? " from " : ", ") + config.replicas[status.waiting_from[i].value].name;
  }
  const nlohmann::ordered_json json{
      {"name", config.name},
      {"id", config.id.value},
      {"view", status.view.value},
      {"view_active", status.active},
      {"primary", config.replicas[status.primary.value].name},
      {"executed", status.executed.value},
      {"committed", status.committed.value},
      {"stable", status.stable.value},
      {"high", status.high.value},
      {"lag", furthest.value - status.executed.value},
      {"queued", status.queued_requests},
      {"sessions", status.sessions},
      {"catching_up", status.catching_up},
      {"diverged", status.diverged},
      {"rejoining", status.rejoining},
      {"transfer",
       {{"active", status.transferring},
        {"to", status.transfer_to.value},
        {"buckets", status.transfer_buckets},
        {"left", status.transfer_left},
        {"bytes", status.transfer_bytes}}},
      {"scrub", {{"share", std::floor(scrub.share * 1000) / 1000}, {"passes", scrub.passes}, {"damage", scrub.damage}}},
      {"clients_waiting", status.waiting_clients},
      {"view_timeout_ms", status.view_timeout_ticks * config.tick_ms},
      {"last_checkpoint", {{"n", status.last_checkpoint.value}, {"root", crypto::to_hex(status.last_root)}}},
      {"waiting_for", waiting_for},
      {"uptime_s", std::floor(uptime_s * 1000) / 1000},
      {"version", PBFT_VERSION},
      {"plugin", config.genesis.plugin},
      {"plugin_version", plugin_version},
      {"counters", counters}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace pbft::runtime
