#include "fleet/tier.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <xxhash.h>

#include <algorithm>
#include <cassert>
#include <memory>
#include <utility>

namespace holdfast::fleet {
namespace {

// Of the digest that names a key: nobody finds two keys with one name in 128 bits.
constexpr std::size_t kDigestBytes = 16;
// Writes for a node that is away wait, and are looked at again as often as this.
constexpr auto kLookAgain = std::chrono::milliseconds(100);

std::string hex(const unsigned char* bytes, std::size_t size) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * size);
  for (std::size_t i = 0; i < size; ++i) {
    text.push_back(kDigits[bytes[i] >> 4]);
    text.push_back(kDigits[bytes[i] & 15]);
  }
  return text;
}

std::size_t bytes_of(const Link::Command& command) {
  std::size_t bytes = 0;
  for (const std::string& word : command) bytes += word.size();
  return bytes;
}

}  // namespace

Tier::Tier(base::Scheduler& scheduler, Settings settings, std::vector<Node> nodes, NamesOf names_of)
    : scheduler_(scheduler),
      settings_(std::move(settings)),
      format_(settings_.format),
      nodes_(std::move(nodes)),
      names_of_(std::move(names_of)),
      writing_(nodes_.size()) {
  assert(!nodes_.empty());
}

bool Tier::find(std::string_view key, Done done) {
  const std::string name = name_of(key);
  const std::size_t node = node_of_name(name);
  Link& link = nodes_[node].reads;
  Journal& journal = nodes_[node].journal;
  const base::SteadyTime deadline = scheduler_.now() + settings_.deadline;
  // A connection answers in order, so what the journal has is from behind the value. If that cannot
  // be asked any more, the value is of no use.
  const auto replies = std::make_shared<Replies>();
  const auto answered = [this, node, replies, key = std::string(key),
                         done = std::move(done)](Reply last) {
    replies->last = std::move(last);
    Found result = judge(node, key, *replies);
    ++stats_.reads[static_cast<std::size_t>(result.outcome)];
    done(std::move(result));
  };
  if (journal.place() &&
      link.call({"GET", name}, deadline,
                [replies](Reply reply) { replies->value = std::move(reply); }) &&
      link.call(journal.epoch_command(), deadline,
                [replies](Reply reply) { replies->epoch = std::move(reply); }) &&
      link.call(journal.last_command(), deadline, answered)) {
    return true;
  }
  ++stats_.reads[static_cast<std::size_t>(Outcome::Away)];
  return false;
}

Tier::Found Tier::judge(std::size_t node, const std::string& key, const Replies& replies) {
  for (const Reply* reply : {&replies.value, &replies.epoch, &replies.last}) {
    if (reply->kind == Reply::Kind::Late) return {.outcome = Outcome::Late};
    if (reply->kind == Reply::Kind::Lost) return {.outcome = Outcome::Away};
    if (reply->kind == Reply::Kind::Error) {
      count_error(reply->text);
      return {.outcome = Outcome::Error, .reason = reply->text};
    }
  }
  if (replies.value.kind == Reply::Kind::Nil) return {.outcome = Outcome::Miss};
  if (replies.value.kind != Reply::Kind::Text) {
    return {.outcome = Outcome::Refused, .reason = "no text"};
  }
  auto value = format_.decode(key, replies.value.text);
  if (!value) return {.outcome = Outcome::Refused, .reason = value.error().message};
  const auto fetched = parse_place(value->fetched);
  if (!fetched) return {.outcome = Outcome::Refused, .reason = "no place in the journal"};
  const auto verdict =
      nodes_[node].journal.judge(names_of_(*value), *fetched, replies.epoch, replies.last);
  if (verdict == PurgeIndex::Verdict::Purged) return {.outcome = Outcome::Purged};
  return {.outcome = Outcome::Hit,
          .value = *std::move(value),
          .stale = verdict == PurgeIndex::Verdict::Stale};
}

std::string Tier::place_for(std::string_view key) const {
  const auto place = nodes_[node_of(key)].journal.place();
  return place ? to_string(*place) : std::string();
}

void Tier::put(const Value& value, std::chrono::seconds lifetime) {
  lifetime = std::min(lifetime, settings_.longest_lifetime);
  if (lifetime <= std::chrono::seconds(0) || value.fetched.empty()) return;
  std::string bytes = format_.encode(value);
  if (bytes.empty()) {
    ++stats_.too_large;
    return;
  }
  std::string name = name_of(value.key);
  const std::size_t node = node_of_name(name);
  queue(node, {"SET", std::move(name), std::move(bytes), "EX", std::to_string(lifetime.count())});
}

void Tier::erase(std::string_view key) {
  std::string name = name_of(key);
  const std::size_t node = node_of_name(name);
  // DEL would free a large value at once, in the node's only thread.
  queue(node, {"UNLINK", std::move(name)});
}

std::string Tier::name_of(std::string_view key) const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  const std::string& secret = settings_.format.secret;
  const auto* const bytes = reinterpret_cast<const unsigned char*>(key.data());
  const bool made =
      secret.empty()
          ? EVP_Digest(bytes, key.size(), digest.data(), &size, EVP_sha256(), nullptr) == 1
          : HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), bytes, key.size(),
                 digest.data(), &size) != nullptr;
  // For want of memory: a name that nothing is found under.
  return settings_.prefix + (made ? hex(digest.data(), kDigestBytes) : "none");
}

// The node whose digest together with the name is the largest (Thaler and Ravishankar, 1998): when
// one is added or taken away, only its own keys move.
std::size_t Tier::node_of_name(std::string_view name) const {
  std::size_t best = 0;
  std::uint64_t largest = 0;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const std::string& node = nodes_[i].name;
    const std::uint64_t weight =
        XXH3_64bits_withSeed(name.data(), name.size(), XXH3_64bits(node.data(), node.size()));
    if (i == 0 || weight > largest) {
      best = i;
      largest = weight;
    }
  }
  return best;
}

void Tier::count_error(std::string_view text) {
  ++stats_.errors[std::string(error_class(text))];
}

// ---- Writing behind ------------------------------------------------------------------------

void Tier::queue(std::size_t node, Link::Command command) {
  const std::size_t bytes = bytes_of(command);
  writing_[node].queue.push_back({std::move(command), bytes});
  ++stats_.queued;
  stats_.queued_bytes += bytes;
  while (stats_.queued > settings_.most_queued ||
         stats_.queued_bytes > settings_.most_queued_bytes) {
    drop_oldest();
  }
  write_on(node);
}

// Of the longest queue: that is of the node which takes the least.
void Tier::drop_oldest() {
  auto& longest = *std::max_element(
      writing_.begin(), writing_.end(),
      [](const Writing& a, const Writing& b) { return a.queue.size() < b.queue.size(); });
  --stats_.queued;
  stats_.queued_bytes -= longest.queue.front().bytes;
  ++stats_.dropped;
  longest.queue.pop_front();
}

void Tier::write_on(std::size_t node) {
  Writing& writing = writing_[node];
  while (!writing.queue.empty() && writing.under_way < settings_.most_writing) {
    const auto answered = [this, node](const Reply& reply) {
      --writing_[node].under_way;
      if (reply.kind == Reply::Kind::Error) count_error(reply.text);
      const bool done = reply.kind == Reply::Kind::Text || reply.kind == Reply::Kind::Integer;
      ++(done ? stats_.written : stats_.unwritten);
      write_on(node);
    };
    if (!nodes_[node].writes.call(writing.queue.front().command,
                                  scheduler_.now() + settings_.write_deadline, answered)) {
      if (!retry_.pending()) retry_.set_after(scheduler_, kLookAgain, [this] { look_again(); });
      return;
    }
    ++writing.under_way;
    --stats_.queued;
    stats_.queued_bytes -= writing.queue.front().bytes;
    writing.queue.pop_front();
  }
}

void Tier::look_again() {
  for (std::size_t node = 0; node < nodes_.size(); ++node) write_on(node);
}

Tier::Stats Tier::stats() const {
  return stats_;
}

}  // namespace holdfast::fleet
