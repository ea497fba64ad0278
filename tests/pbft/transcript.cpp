#include "tests/pbft/transcript.h"

#include <stdexcept>

namespace pbft::testing {

namespace {

std::string number(std::uint64_t value) {
  return std::to_string(value);
}

template <class Numbered>
std::string at(const Numbered& message) {
  std::string text = " n=" + number(message.n.value);
  if constexpr (requires { message.view; }) {
    if (message.view > View{}) text = " v=" + number(message.view.value) + text;
  }
  return text;
}

std::string type_of(const PeerMessage& message) {
  static const char* const names[] = {
      "PRE-PREPARE", "PREPARE",      "COMMIT",       "CHECKPOINT",    "STABLE-CHECKPOINT", "STATUS",   "FETCH-BATCH",
      "BATCH",       "FETCH-LEDGER", "LEDGER-RANGE", "FORWARD",       "VIEW-CHANGE",       "NEW-VIEW", "FETCH-TREE",
      "TREE",        "FETCH-BUCKET", "BUCKET-PART",  "CLIENT-REPORT", "COMMITTED"};
  return names[message.index()];
}

using Words = std::map<std::string, std::string>;

// Loses what is of the type `lose` (and of the view `of_view`, where that is given) or goes to the replica `except`.
CoreCluster::Filter losing(const Words& words) {
  return [words](const CoreCluster::InFlight& flight) {
    const auto to = words.find("except");
    if (to != words.end() && flight.to.value == std::stoul(to->second)) return true;
    const auto type = words.find("lose");
    if (type == words.end() || type_of(flight.message) != type->second) return false;
    const auto view = words.find("of_view");
    const auto in_view = [&](const auto& message) {
      if constexpr (requires { message.view; }) return message.view.value == std::stoull(view->second);
      return true;
    };
    return view == words.end() || std::visit(in_view, flight.message);
  };
}

}  // namespace

std::string Transcript::rerun(const std::string& text) {
  out_.str({});
  std::istringstream lines{text};
  std::string line;
  for (int at_line = 1; std::getline(lines, line); ++at_line) {
    if (line.empty() || line[0] == '#') {
      out_ << line << "\n";
    } else if (line[0] == '>') {
      out_ << line << "\n";
      std::istringstream words{line.substr(1)};
      std::string verb;
      std::string word;
      words >> verb;
      Words arguments;
      while (words >> word) {
        const auto equals = word.find('=');
        arguments[word.substr(0, equals)] = equals == std::string::npos ? "" : word.substr(equals + 1);
      }
      try {
        command(verb, arguments);
      } catch (const std::exception& error) {
        throw std::runtime_error("line " + number(static_cast<std::uint64_t>(at_line)) + " (" + line +
                                 "): " + error.what());
      }
    }
  }
  return out_.str();
}

void Transcript::command(const std::string& verb, const Words& words) {
  const auto get = [&](const std::string& key, std::uint64_t otherwise) {
    const auto found = words.find(key);
    return found == words.end() ? otherwise : std::stoull(found->second);
  };
  const auto replica = [&](const std::string& key) { return static_cast<std::uint32_t>(std::stoul(words.at(key))); };
  if (verb == "cluster") {
    cluster_ =
        std::make_unique<CoreCluster>(static_cast<std::uint32_t>(get("n", 4)), get("interval", 4), get("window", 8),
                                      words.count("macs") == 0, get("transfer_above", 1'000'000));
    for (std::uint32_t i = 0; i < cluster_->size(); ++i) cluster_->node(i).keeps_ledger = words.count("no_ledger") == 0;
    for (std::uint32_t i = 0; i < cluster_->size(); ++i) watch(cluster_->node(i));
  } else if (verb == "open") {
    const auto client = static_cast<std::uint8_t>(get("client", 1));
    cluster_->request(static_cast<std::uint32_t>(get("at", 0)), make_open(client_id(client), get("number", 1)));
    sessions_[client] = SessionId{get("session", 1)};
  } else if (verb == "request") {
    const auto client = static_cast<std::uint8_t>(get("client", 1));
    const std::uint64_t n = get("number", 1);
    cluster_->request(static_cast<std::uint32_t>(get("at", 0)),
                      make_bundle(client_id(client), sessions_.at(client), get("low", n), {n}));
  } else if (verb == "deliver") {
    cluster_->run(losing(words));
  } else if (verb == "lose") {
    cluster_->network.clear();
  } else if (verb == "crash") {
    cluster_->crash(replica("replica"));
  } else if (verb == "restart") {
    cluster_->restart(replica("replica"));
  } else if (verb == "tick") {
    for (std::uint64_t i = 0; i < get("times", 1); ++i) cluster_->tick_all();
  } else if (verb == "settle") {
    cluster_->settle(static_cast<int>(get("rounds", 20)), losing(words));
  } else if (verb == "wipe") {
    cluster_->wipe(replica("replica"));
  } else if (verb == "report") {
    const auto client = client_id(static_cast<std::uint8_t>(get("client", 1)));
    for (std::uint32_t to = 0; to < cluster_->size(); ++to) {
      if (to == replica("from")) continue;
      cluster_->send(replica("from"), to, ClientReport{client, SharedBytes::own(to_bytes("signed"))});
    }
  } else if (verb == "leave") {
    ViewChange message;
    message.view = View{get("view", 1)};
    message.signed_bytes = SharedBytes::own(to_bytes("signed"));
    for (std::uint32_t to = 0; to < cluster_->size(); ++to) {
      if (to != replica("from")) cluster_->send(replica("from"), to, message);
    }
  } else if (verb == "equivocate") {
    // The primary, replica 0, tells one backup something else than it told the others.
    const auto batch = make_batch(cluster_->clock_us + 7, {make_open(client_id(1), get("number", 99))});
    cluster_->send(0, replica("to"), PrePrepare{View{}, SequenceNumber{get("n", 1)}, batch, {true}});
  } else if (verb == "status") {
    for (std::uint32_t i = 0; i < cluster_->size(); ++i) {
      const ReplicaStatus status = cluster_->node(i).status();
      std::string from;
      for (const ReplicaId id : status.waiting_from)
        from += (from.empty() ? " from replica " : ", ") + number(id.value);
      out_ << "  replica " << i << ": ";
      if (status.view > View{} || !status.active) {
        out_ << "view " << status.view.value << (status.active ? ", " : " not active, ");
      }
      out_ << "executed " << status.executed.value << ", stable " << status.stable.value
           << (status.diverged ? ", DIVERGED" : "") << (status.waiting_for.empty() ? "" : "; " + status.waiting_for)
           << from << "\n";
    }
  } else {
    throw std::runtime_error("no such command: " + verb);
  }
}

void Transcript::watch(CoreNode& node) {
  node.on_step = [this](const CoreNode& stepped, const Input& input, const Effects& effects) {
    show_step(stepped, input, effects);
  };
}

void Transcript::show_step(const CoreNode& node, const Input& input, const Effects& effects) {
  std::ostringstream lines;
  for (const Event& event : effects.events) {
    if (const auto* rejected = std::get_if<Rejected>(&event))
      lines << "    reject  " << to_string(rejected->reason) << "\n";
    if (const auto* stable = std::get_if<BecameStable>(&event)) lines << "    stable  " << stable->n.value << "\n";
    if (std::holds_alternative<Diverged>(event)) lines << "    ALARM   diverged\n";
    if (const auto* suspected = std::get_if<PrimarySuspected>(&event)) {
      lines << "    wants   view " << suspected->view.value << " to be left: " << suspected->reason << "\n";
    }
    if (const auto* left = std::get_if<ViewLeft>(&event)) {
      lines << "    leaves  view " << left->from.value << " for " << left->to.value << ": " << left->reason << "\n";
    }
    if (const auto* entered = std::get_if<ViewEntered>(&event))
      lines << "    enters  view " << entered->view.value << "\n";
    if (const auto* client = std::get_if<ClientSuspected>(&event)) {
      lines << "    client  " << number(client->client.bytes[0]) << " has to sign\n";
    }
    if (const auto* done = std::get_if<Rejoined>(&event))
      lines << "    votes   again, from view " << done->view.value << "\n";
  }
  for (const JournalRecord& record : effects.persist) lines << "    persist " << describe(record) << "\n";
  for (const Send& send : effects.send) lines << "    send    " << describe(send) << "\n";
  for (const ExecuteEffect& effect : effects.execute) lines << "    execute " << describe(effect) << "\n";
  if (effects.truncate) lines << "    truncate up to " << effects.truncate->n.value << "\n";

  std::string cause;
  if (const auto* peer = std::get_if<PeerInput>(&input)) {
    cause = describe(peer->message.message()) + " from " + number(peer->message.sender().value);
  } else if (std::holds_alternative<ClientInput>(input)) {
    cause = "client request";
  } else if (std::holds_alternative<TurnEnd>(input)) {
    cause = "end of turn";
  } else if (std::holds_alternative<Tick>(input)) {
    cause = "tick";
  } else if (const auto* taken = std::get_if<CheckpointTaken>(&input)) {
    cause = "checkpoint taken at " + number(taken->summary.n.value);
  } else if (const auto* done = std::get_if<Executed>(&input)) {
    cause = "executed " + number(done->n.value);
  } else if (const auto* planned = std::get_if<TransferPlanned>(&input)) {
    cause = "transfer planned, buckets missing: " + number(planned->missing.size());
  } else if (const auto* staged = std::get_if<BucketStaged>(&input)) {
    cause = "bucket " + number(staged->bucket) + " staged";
  } else if (const auto* installed = std::get_if<StateInstalled>(&input)) {
    cause = "state installed at " + number(installed->summary.n.value);
  } else {
    cause = "state damaged";
  }
  if (!lines.str().empty()) out_ << "  replica " << node.local.self.value << ": " << cause << "\n" << lines.str();
}

std::string Transcript::name(const Digest& digest) {
  const std::string fresh = "d" + number(digests_.size() + 1);
  return digests_.try_emplace(digest, fresh).first->second;
}

std::string Transcript::describe(const Batch& batch) {
  std::string text = name(batch.digest) + "{";
  for (const BundlePtr& bundle : batch.bundles) {
    for (const Request& request : bundle->requests) {
      text += text.back() == '{' ? "" : ", ";
      text += "client " + number(bundle->client.bytes[0]) +
              (request.kind == RequestKind::open_session ? " open " : " #") + number(request.number.value);
    }
  }
  return text + "}";
}

std::string Transcript::describe(const PeerMessage& message) {
  const std::string type = type_of(message);
  if (const auto* m = std::get_if<PrePrepare>(&message)) return type + at(*m) + " " + describe(*m->batch);
  if (const auto* m = std::get_if<Prepare>(&message)) return type + at(*m) + " " + name(m->digest);
  if (const auto* m = std::get_if<Commit>(&message)) return type + at(*m) + " " + name(m->digest);
  if (const auto* m = std::get_if<Committed>(&message)) return type + at(*m) + " " + name(m->digest);
  if (const auto* m = std::get_if<Checkpoint>(&message)) return type + at(*m) + " root " + name(m->root);
  if (const auto* m = std::get_if<StableCheckpoint>(&message)) return type + at(*m) + " root " + name(m->root);
  if (const auto* m = std::get_if<FetchBatch>(&message)) return type + at(*m) + " " + name(m->digest);
  if (const auto* m = std::get_if<BatchResponse>(&message)) return type + at(*m) + " " + describe(*m->batch);
  if (const auto* m = std::get_if<FetchLedger>(&message)) {
    return type + " " + number(m->first.value) + ".." + number(m->last.value);
  }
  if (const auto* m = std::get_if<LedgerRange>(&message)) {
    return type + " " + number(m->first.value) + ".." + number(m->summary.n.value);
  }
  if (const auto* m = std::get_if<Status>(&message)) {
    std::string text = type;
    if (m->view > View{} || !m->active) text += " v=" + number(m->view.value) + (m->active ? "" : " not active");
    if (m->suspects) text += " suspects the primary;";
    text += " executed " + number(m->executed.value) + " stable " + number(m->stable.value);
    for (const Status::Lack& lack : m->lacks) {
      text += "; lacks at " + number(lack.n.value) + (lack.batch ? " batch" : "") + (lack.prepares ? " prepares" : "") +
              (lack.commits ? " commits" : "");
    }
    return text;
  }
  if (const auto* m = std::get_if<ViewChange>(&message)) return type + describe(*m);
  if (const auto* m = std::get_if<NewView>(&message)) {
    std::string text = type + " v=" + number(m->view.value) + " from the view-changes of";
    for (const NewView::Signed& one : m->view_changes) text += " " + number(one.replica.value);
    return text;
  }
  return type;
}

std::string Transcript::describe(const ViewChange& message) {
  const auto marks = [&](const char* set, const std::vector<SlotMark>& all) {
    std::string text;
    for (const SlotMark& mark : all) {
      text += std::string{text.empty() ? std::string{" "} + set + "={" : ", "} + number(mark.n.value) + ": " +
              name(mark.digest) + " v" + number(mark.view.value);
    }
    return text.empty() ? text : text + "}";
  };
  return " v=" + number(message.view.value) + " h=" + number(message.low().value) + marks("P", message.prepared) +
         marks("Q", message.voted);
}

std::string Transcript::describe(const JournalRecord& record) {
  if (const auto* r = std::get_if<PersistBatch>(&record)) return "batch" + at(*r) + " " + name(r->batch->digest);
  if (const auto* r = std::get_if<PersistAccepted>(&record)) return "accepted" + at(*r) + " " + name(r->digest);
  if (const auto* r = std::get_if<PersistPrepared>(&record)) return "prepared" + at(*r) + " " + name(r->digest);
  if (const auto* r = std::get_if<PersistViewChange>(&record)) return describe(PeerMessage{r->message});
  if (const auto* r = std::get_if<PersistNewView>(&record)) return describe(PeerMessage{r->message});
  if (const auto* r = std::get_if<PersistRejoin>(&record)) {
    return "rejoin, votes from view " + number(r->view.value + 1) + " and above " + number(r->above.value) +
           (r->done ? ", done" : "");
  }
  return "stable checkpoint" + at(std::get<PersistStable>(record).proof);
}

std::string Transcript::describe(const Send& send) {
  if (const auto* s = std::get_if<Broadcast>(&send)) return "to all: " + describe(s->message);
  if (const auto* s = std::get_if<SendTo>(&send)) return "to " + number(s->to.value) + ": " + describe(s->message);
  if (const auto* s = std::get_if<ServeBatch>(&send)) return "stored batch" + at(*s) + " to " + number(s->to.value);
  if (const auto* s = std::get_if<ServeLedger>(&send)) return "stored ledger to " + number(s->to.value);
  if (const auto* s = std::get_if<ResendReply>(&send)) return "cached reply of #" + number(s->number.value);
  if (const auto* s = std::get_if<ServeTree>(&send)) return "stored tree" + at(*s) + " to " + number(s->to.value);
  if (const auto* s = std::get_if<ServeBucket>(&send)) return "stored bucket to " + number(s->to.value);
  if (const auto* s = std::get_if<RequestBucket>(&send)) {
    return "to " + number(s->to.value) + ": FETCH-BUCKET " + number(s->bucket) + at(*s);
  }
  return "refusal of #" + number(std::get<SendReply>(send).reply.number.value);
}

std::string Transcript::describe(const ExecuteEffect& effect) {
  if (const auto* e = std::get_if<Execute>(&effect)) {
    return "batch" + at(*e) + " " + name(e->batch->digest) + ", " + number(e->run.size()) + " take effect";
  }
  if (const auto* e = std::get_if<TakeCheckpoint>(&effect)) return "take checkpoint" + at(*e);
  if (const auto* e = std::get_if<PlanTransfer>(&effect)) return "plan transfer" + at(e->summary);
  if (const auto* e = std::get_if<StageBucket>(&effect)) return "stage bucket " + number(e->part.bucket);
  if (const auto* e = std::get_if<InstallState>(&effect)) return "install state" + at(e->summary);
  return "answer read";
}

}  // namespace pbft::testing
