// GeoUpstream is the simulated upstream as the GeoIP route sees it. It remembers
// what it said: each content it ever sends is unique, so a body in an answer, in
// memory or in the store can be traced to the reply it came with, and one that
// belongs to a fault can be told from one that was meant. One thread.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "proxy/storing.h"
#include "unit/upstream/simulated_upstream.h"

namespace holdfast::simulation {

// What the upstream has to say of one key, until its data change.
struct Version {
  std::uint64_t number = 0;
  std::string target;
  std::string body;
  upstream::Fields fields;  // validators and what they say of caching
  std::string etag;         // as in `fields`; empty: none
  std::string last_modified;
  std::optional<std::chrono::seconds> expires_after;  // dated when it is sent

  // What these fields allow, by RFC 9111 and RFC 5861 as the policy has it: at
  // most, counted from the last reply that said so.
  bool may_store = true;
  std::chrono::seconds fresh_for{0};
  std::chrono::seconds usable_for{0};

  // When the data became others; none: they are these still.
  std::optional<base::SteadyTime> changed_at;
  // The last 200 that delivered it, or 304 that confirmed it; none: never said.
  std::optional<base::SteadyTime> said_at;
};

class GeoUpstream final : public upstream::test::SimulatedUpstream {
 public:
  GeoUpstream(base::VirtualScheduler& scheduler, std::uint64_t seed, proxy::StoringPolicy policy)
      : SimulatedUpstream(scheduler, seed), policy_(policy) {}

  // From now on the luck of an attempt hangs on what it asks for, and on how many its fetch has
  // made before it, and not on what others ask for.
  void luck_by_key(std::uint64_t seed) { seed_ = seed; }
  upstream::Transport::AttemptId start(const upstream::Sending& sending,
                                       const upstream::Request& request,
                                       Callback callback) override;

  // The data of one key, or of all, are others from now on.
  void change(const std::string& target);
  void change_all();

  // The version with that content, if it was said of that target; else null.
  const Version* said(const std::string& target, const std::string& body) const;
  // Whether of that target something came that may not be stored.
  bool forbade_storing(const std::string& target) const { return forbidden_.contains(target); }
  // When a 404 or 410 last came for it.
  std::optional<base::SteadyTime> said_missing(const std::string& target) const;

 protected:
  void compose(upstream::test::Fault fault, const upstream::Request& request,
               upstream::Reply& reply) override;
  void delivered(const std::string& target, const upstream::Reply& reply) override;

 private:
  Version& current(const std::string& target);
  void draw_caching(Version& version, base::Random& luck) const;
  const Version* confirmed_by(const upstream::Request& request) const;
  void add_fields(const Version& version, upstream::Reply& reply) const;
  std::string content(const std::string& target, const char* kind, std::uint64_t number) const;

  const proxy::StoringPolicy policy_;
  std::deque<Version> versions_;  // number - 1 is the index; never moves
  std::uint64_t decoys_ = 0;
  std::optional<std::uint64_t> seed_;
  std::unordered_map<std::string, std::uint64_t> asked_;        // how often, by fetch
  std::unordered_map<std::string, std::uint64_t> versions_of_;  // how many, by target
  std::unordered_map<std::string, Version*> current_;
  std::unordered_map<std::string, Version*> by_body_;
  std::unordered_map<std::string, base::SteadyTime> missing_;
  std::unordered_set<std::string> forbidden_;
};

}  // namespace holdfast::simulation
