#include "tools/sim/reduce.h"

#include <algorithm>
#include <charconv>

namespace pbft::sim {
namespace {

std::string hyphenated(std::string_view words) {
  std::string text{words};
  std::replace(text.begin(), text.end(), ' ', '-');
  return text;
}

// ---- Faults and lies ---------------------------------------------------------------------------------

bool is_on(const Plan& plan, Fault fault) {
  switch (fault) {
    case Fault::loss:
      return plan.network.loss > 0;
    case Fault::duplicate:
      return plan.network.duplicate > 0;
    case Fault::slow_link:
      return plan.network.slow > 0;
    case Fault::corrupt:
      return plan.network.corrupt > 0;
    case Fault::reorder:
      return plan.network.reorder;
    case Fault::clock_skew:
      return plan.clock_skew_max > 0;
    case Fault::dead_replica:
      return !plan.dead.empty();
    case Fault::wiped_disk:
      return !plan.wiped.empty();
    case Fault::faulty_client:
      return plan.clients.faulty > 0;
    default:
      return plan.of(fault).mean > 0;
  }
}

void turn_off(Plan& plan, Fault fault) {
  plan.of(fault) = {};
  if (fault == Fault::loss) plan.network.loss = 0;
  if (fault == Fault::duplicate) plan.network.duplicate = 0;
  if (fault == Fault::slow_link) plan.network.slow = 0;
  if (fault == Fault::corrupt) plan.network.corrupt = 0;
  if (fault == Fault::reorder) plan.network.reorder = false;
  if (fault == Fault::clock_skew) plan.clock_skew_max = 0;
  if (fault == Fault::dead_replica) plan.dead.clear();
  if (fault == Fault::wiped_disk) plan.wiped.clear();
  if (fault == Fault::faulty_client) plan.clients.faulty = 0;
}

bool tells(const Plan& plan, Lie lie) {
  return std::any_of(plan.liars.begin(), plan.liars.end(), [&](const auto& liar) {
    return std::find(liar.second.begin(), liar.second.end(), lie) != liar.second.end();
  });
}

bool without(Plan& plan, std::string_view what) {
  for (std::size_t i = 0; i < fault_count; ++i) {
    const auto fault = static_cast<Fault>(i);
    if (hyphenated(to_string(fault)) != what || !is_on(plan, fault)) continue;
    turn_off(plan, fault);
    return true;
  }
  for (std::size_t i = 0; i < lie_count; ++i) {
    const auto lie = static_cast<Lie>(i);
    if (hyphenated(to_string(lie)) != what || !tells(plan, lie)) continue;
    for (auto& [replica, lies] : plan.liars) std::erase(lies, lie);
    std::erase_if(plan.liars, [](const auto& liar) { return liar.second.empty(); });
    return true;
  }
  return what == "final-blackout" && std::exchange(plan.final_blackout, false);
}

// ---- Numbers -----------------------------------------------------------------------------------------

bool replicas_fit(const Plan& plan, std::uint64_t replicas) {
  std::size_t bad = plan.dead.size() + plan.wiped.size() + plan.liars.size();
  const auto beyond = [&](std::uint32_t replica) { return replica >= replicas; };
  const bool all_there =
      std::none_of(plan.dead.begin(), plan.dead.end(), beyond) &&
      std::none_of(plan.wiped.begin(), plan.wiped.end(), beyond) &&
      std::none_of(plan.liars.begin(), plan.liars.end(), [&](const auto& liar) { return beyond(liar.first); });
  return all_there && bad <= (replicas - 1) / 3;
}

bool lower(Plan& plan, std::string_view what, std::uint64_t to) {
  const auto take = [&](auto& number) {
    if (to == 0 || to >= number) return false;
    number = static_cast<std::remove_reference_t<decltype(number)>>(to);
    return true;
  };
  if (what == "replicas") return replicas_fit(plan, to) && take(plan.cluster.replicas);
  if (what == "clients") {
    if (!take(plan.clients.clients)) return false;
    plan.clients.faulty = std::min(plan.clients.faulty, plan.clients.clients);
    return true;
  }
  if (what == "outstanding") return take(plan.clients.outstanding);
  if (what == "operations") return take(plan.clients.operations);
  if (what == "keys") return take(plan.clients.keys);
  if (what != "seconds" || to * second >= plan.duration || to == 0) return false;
  plan.duration = to * second;
  return true;
}

// "clients" of "clients=2".
std::string_view name_of(std::string_view reduction) {
  return reduction.substr(0, reduction.find('='));
}

}  // namespace

bool reduce(Plan& plan, std::string_view reduction) {
  if (reduction.starts_with("no-")) return without(plan, reduction.substr(3));
  const std::string_view name = name_of(reduction);
  if (name.size() + 1 >= reduction.size()) return false;
  const std::string_view digits = reduction.substr(name.size() + 1);
  std::uint64_t to = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), to);
  return error == std::errc{} && end == digits.data() + digits.size() && lower(plan, name, to);
}

std::optional<Plan> reduced_plan(std::uint64_t seed, const std::vector<std::string>& reductions, const Shares& shares) {
  Plan plan = draw_plan(seed, shares);
  for (const std::string& reduction : reductions) {
    if (!reduce(plan, reduction)) return std::nullopt;
  }
  return plan;
}

std::vector<std::string> reductions_of(const Plan& plan) {
  std::vector<std::string> result;
  const auto half = [&](const char* name, std::uint64_t now, std::uint64_t least) {
    if (now / 2 >= least) result.push_back(name + ("=" + std::to_string(now / 2)));
  };
  const auto one_less = [&](const char* name, std::uint64_t now, std::uint64_t least) {
    if (now - 1 > now / 2 && now - 1 >= least) result.push_back(name + ("=" + std::to_string(now - 1)));
  };
  if (plan.final_blackout) result.emplace_back("no-final-blackout");
  for (std::size_t i = 0; i < lie_count; ++i) {
    if (tells(plan, static_cast<Lie>(i))) result.push_back("no-" + hyphenated(to_string(static_cast<Lie>(i))));
  }
  for (std::size_t i = 0; i < fault_count; ++i) {
    if (is_on(plan, static_cast<Fault>(i))) result.push_back("no-" + hyphenated(to_string(static_cast<Fault>(i))));
  }
  for (std::uint32_t n = 4; n < plan.cluster.replicas; ++n) {
    if (replicas_fit(plan, n)) result.push_back("replicas=" + std::to_string(n));
  }
  half("clients", plan.clients.clients, 1);
  half("operations", plan.clients.operations, 1);
  half("outstanding", plan.clients.outstanding, 1);
  half("seconds", plan.duration / second, 1);
  half("keys", plan.clients.keys, 1);
  one_less("clients", plan.clients.clients, 1);
  one_less("operations", plan.clients.operations, 1);
  one_less("seconds", plan.duration / second, 1);
  return result;
}

std::vector<std::string> shrink(std::uint64_t seed,
                                const std::function<bool(const std::vector<std::string>&)>& still_fails,
                                const Shares& shares) {
  std::vector<std::string> taken;
  for (bool shrunk = true; shrunk;) {
    shrunk = false;
    for (const std::string& reduction : reductions_of(*reduced_plan(seed, taken, shares))) {
      std::vector<std::string> more = taken;
      // A lower number takes the place of the one before.
      if (reduction.find('=') != std::string::npos) {
        std::erase_if(more, [&](const std::string& one) { return name_of(one) == name_of(reduction); });
      }
      more.push_back(reduction);
      if (!reduced_plan(seed, more, shares) || !still_fails(more)) continue;
      taken = std::move(more);
      shrunk = true;
      break;
    }
  }
  return taken;
}

}  // namespace pbft::sim
