#include "tools/client/cpp/surveys.h"

#include <utility>

namespace pbft::client {

Surveys::Surveys(Quorum quorum, const CoreOptions& options) : quorum_(quorum), options_(options) {
  options_.retransmit_us = std::clamp<std::uint64_t>(options_.retransmit_us, 1, never / 16);
}

bool Surveys::Survey::complete() const {
  return std::all_of(answers.begin(), answers.end(), [](const auto& answer) { return answer.has_value(); });
}

void Surveys::start(Ticket ticket, RequestNumber number, std::optional<SharedBytes> operation,
                    std::uint64_t deadline_us) {
  Survey survey;
  survey.ticket = ticket;
  survey.operation = std::move(operation);
  survey.deadline = deadline_us;
  survey.interval = options_.retransmit_us;
  survey.answers.resize(quorum_.replicas());
  surveys_.emplace(number, std::move(survey));
}

void Surveys::receive(RequestNumber number, ReplicaId from, Outcome answer) {
  const auto found = surveys_.find(number);
  if (found != surveys_.end() && !found->second.answers[from.value]) {
    found->second.answers[from.value] = std::move(answer);
  }
}

void Surveys::advance(std::uint64_t now_us, Outbox& outbox) {
  for (auto& [number, survey] : surveys_) {
    if (survey.due > now_us || survey.complete() || survey.deadline <= now_us) {
      continue;
    }
    for (std::uint32_t replica = 0; replica < quorum_.replicas(); ++replica) {
      if (survey.answers[replica]) {
        continue;
      }
      if (survey.operation) {
        outbox.add(ReplicaId{replica}, ReadRequest{number, *survey.operation});
      } else {
        outbox.add(ReplicaId{replica}, InfoRequest{number});
      }
    }
    survey.due = saturating_add(now_us, survey.interval);
    survey.interval = backed_off(survey.interval, options_);
  }
  now_ = now_us;
}

std::uint64_t Surveys::next_wakeup_us() const {
  std::uint64_t wakeup = never;
  for (const auto& [number, survey] : surveys_) {
    wakeup = std::min(wakeup, survey.complete() ? 0 : std::min(survey.due, survey.deadline));
  }
  return wakeup;
}

std::vector<SurveyCompletion> Surveys::take_completions() {
  std::vector<SurveyCompletion> completions;
  for (auto survey = surveys_.begin(); survey != surveys_.end();) {
    if (survey->second.complete() || survey->second.deadline <= now_) {
      completions.push_back({survey->second.ticket, std::move(survey->second.answers)});
      survey = surveys_.erase(survey);
    } else {
      ++survey;
    }
  }
  return completions;
}

}  // namespace pbft::client
