#include "faults.h"

#include <algorithm>
#include <set>

#include "text.h"

namespace holdfast::flaky {
namespace {

constexpr std::array kFaults{
    FaultInfo{Fault::Status500, "500", true, "500 with a JSON error"},
    FaultInfo{Fault::Status502, "502", true, "502 with a JSON error"},
    FaultInfo{Fault::Status503, "503", true, "503 with a JSON error"},
    FaultInfo{Fault::Status429, "429", true, "429 with Retry-After"},
    FaultInfo{Fault::Reset, "reset", true, "RST before the head"},
    FaultInfo{Fault::ResetBody, "reset-body", true, "RST in the middle of the body"},
    FaultInfo{Fault::ShortBody, "short-body", true, "Content-Length longer than the body"},
    FaultInfo{Fault::Malformed, "malformed", true, "200 with malformed JSON"},
    FaultInfo{Fault::Html, "html", true, "200 with an HTML page"},
    FaultInfo{Fault::OtherIp, "other-ip", true, "200 with another ip's JSON"},
    FaultInfo{Fault::Empty, "empty", true, "200 with an empty body"},
    FaultInfo{Fault::Hang, "hang", true, "no answer, connection left open"},
    FaultInfo{Fault::Drip, "drip", true, "the body a byte at a time"},
    FaultInfo{Fault::Slow, "slow", true, "the right answer, late"},
    FaultInfo{Fault::Status401, "401", false, "401, as if the token were withdrawn"},
    FaultInfo{Fault::Status403, "403", false, "403, as if the account were suspended"},
    FaultInfo{Fault::Status404, "404", false, "404, as if the address were unknown"},
    FaultInfo{Fault::Close, "close", false, "connection closed instead of an answer"},
    FaultInfo{Fault::Garbage, "garbage", false, "bytes that are not HTTP"},
    FaultInfo{Fault::ShortChunked, "short-chunked", false, "chunked, without the last chunk"},
    FaultInfo{Fault::MissingFields, "missing-fields", false, "200 with an object lacking fields"},
    FaultInfo{Fault::NotAnObject, "not-an-object", false, "200 with a JSON array"},
    FaultInfo{Fault::Oversized, "oversized", false, "200 with megabytes of padding"},
    FaultInfo{Fault::Redirect, "redirect", false, "301 to another host"},
    FaultInfo{Fault::Bom, "bom", false, "200 with a byte order mark before the JSON"},
    FaultInfo{Fault::Html404, "html404", false, "404 with a balancer's HTML page, no JSON"},
    FaultInfo{Fault::RedirectEcho, "redirect-echo", false,
              "301 to another host, with what was asked and the token"},
};
static_assert(kFaults.size() == kFaultCount - 1);

const FaultInfo* find(std::string_view name) {
  const auto found = std::find_if(kFaults.begin(), kFaults.end(),
                                  [name](const FaultInfo& info) { return info.name == name; });
  return found == kFaults.end() ? nullptr : &*found;
}

std::vector<Fault> group(std::string_view name) {
  std::vector<Fault> members;
  if (name == "5xx") members = {Fault::Status500, Fault::Status502, Fault::Status503};
  if (name == "mixed") {
    for (const auto& info : kFaults) {
      if (info.in_mixed) members.push_back(info.fault);
    }
  }
  if (const auto* info = find(name)) members = {info->fault};
  return members;
}

tl::unexpected<base::Error> unknown(std::string_view name) {
  std::string message = "unknown fault \"" + std::string(name) + "\"; known are mixed, 5xx";
  for (const auto& info : kFaults) message += ", " + std::string(info.name);
  return base::invalid_input(std::move(message));
}

}  // namespace

std::span<const FaultInfo> all_faults() {
  return kFaults;
}

std::string_view name_of(Fault fault) {
  return fault == Fault::None ? "ok" : kFaults[static_cast<std::size_t>(fault) - 1].name;
}

Fault FaultMix::draw(Chance& chance) const {
  double remaining = chance.uniform();
  for (std::size_t i = 1; i < kFaultCount; ++i) {
    if (remaining < fractions_[i]) return static_cast<Fault>(i);
    remaining -= fractions_[i];
  }
  return Fault::None;
}

std::string FaultMix::to_text() const {
  std::string text;
  for (const auto& info : kFaults) {
    const double share = fraction(info.fault);
    if (share <= 0) continue;
    if (!text.empty()) text += ',';
    text += std::string(info.name) + "=" + std::to_string(share);
  }
  return text.empty() ? "none" : text;
}

base::Result<FaultMix> FaultMix::parse(std::string_view text) {
  FaultMix mix;
  text = trim(text);
  if (text == "none") return mix;
  std::set<std::string_view> seen;
  double sum = 0;
  for (const auto piece : split(text, ',')) {
    const auto equals = piece.find('=');
    if (equals == std::string_view::npos) {
      return base::invalid_input("\"" + std::string(piece) + "\" is not name=fraction");
    }
    const auto name = trim(piece.substr(0, equals));
    const auto members = group(name);
    if (members.empty()) return unknown(name);
    const auto share = parse_fraction(trim(piece.substr(equals + 1)));
    if (!share) {
      return base::invalid_input("fault " + std::string(name) + ": " + share.error().message);
    }
    if (!seen.insert(name).second) {
      return base::invalid_input("fault " + std::string(name) + " is given twice");
    }
    for (const Fault fault : members) {
      mix.fractions_[static_cast<std::size_t>(fault)] +=
          *share / static_cast<double>(members.size());
    }
    sum += *share;
  }
  // 0.1 ten times is a little more than 1.
  if (sum > 1 + 1e-9) {
    return base::invalid_input("the fractions add up to " + std::to_string(sum) +
                               ", which is more than 1");
  }
  return mix;
}

base::Result<std::size_t> FaultScript::set(std::string_view ip, std::string_view outcomes) {
  std::deque<Fault> steps;
  for (const auto name : split(outcomes, ',')) {
    if (name == "ok") {
      steps.push_back(Fault::None);
    } else if (const auto* info = find(name)) {
      steps.push_back(info->fault);
    } else {
      return base::invalid_input("\"" + std::string(name) + "\" is neither ok nor a fault");
    }
  }
  const auto count = steps.size();
  if (steps.empty()) {
    by_ip_.erase(std::string(ip));
  } else {
    by_ip_[std::string(ip)] = std::move(steps);
  }
  return count;
}

bool FaultScript::next(const std::string& ip, Fault& fault) {
  if (by_ip_.empty()) return false;
  auto found = by_ip_.find(ip);
  if (found == by_ip_.end()) found = by_ip_.find("");
  if (found == by_ip_.end()) return false;
  fault = found->second.front();
  found->second.pop_front();
  if (found->second.empty()) by_ip_.erase(found);
  return true;
}

std::size_t FaultScript::steps_left() const {
  std::size_t left = 0;
  for (const auto& [ip, steps] : by_ip_) left += steps.size();
  return left;
}

}  // namespace holdfast::flaky
