// A name server on loopback UDP, on a thread of its own, that says what it is told to
// say: addresses with a time to live, nothing at all, SERVFAIL, NXDOMAIN.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace holdfast::upstream::test {

class FakeNameServer {
 public:
  enum class Says { Addresses, Nothing, ServFail, NxDomain };
  struct Record {
    Says says = Says::Addresses;
    std::vector<std::string> addresses;  // none: NODATA
    std::chrono::seconds ttl{60};
    std::string alias;  // not empty: the addresses are this name's, by a CNAME
    std::chrono::seconds alias_ttl{60};
  };

  FakeNameServer();
  ~FakeNameServer();

  // "127.0.0.1:5353"
  const std::string& address() const { return address_; }
  void set(const std::string& name, const Record& v4, const Record& v6);
  // Questions for that name so far, of either family.
  int asked(const std::string& name) const;

 private:
  void run();
  std::string answer(const std::string& question);

  base::UniqueFd socket_;
  base::UniqueFd stop_;
  std::string address_;
  mutable std::mutex mutex_;
  std::map<std::string, std::pair<Record, Record>> records_;  // unknown names: NXDOMAIN
  std::map<std::string, int> asked_;
  std::thread thread_;
};

}  // namespace holdfast::upstream::test
