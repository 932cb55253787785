// The real NameSource: the hosts file and, through c-ares, the name servers, in the order
// that /etc/nsswitch.conf gives them. /etc/resolv.conf (servers, search domains, ndots,
// rotate) is read anew when it changes, also under what is being asked then.
//
// Of nsswitch's modules it knows "files", "dns" and "resolve" (taken for dns, by way of
// resolv.conf); others (mdns, mymachines, sss, ...) and actions ([NOTFOUND=return]) it
// passes over.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "upstream/name_source.h"

namespace holdfast::upstream {

struct NameServers {
  // "192.0.2.53" or "127.0.0.1:5353", "[::1]:5353"; empty: resolv.conf's.
  std::vector<std::string> servers;
  // Of one question to one server; doubles each time all have been asked.
  base::Duration try_timeout = std::chrono::seconds(1);
  int tries = 2;  // of each server
  std::string hosts_file = "/etc/hosts";
  std::string resolv_conf = "/etc/resolv.conf";
  // How often to look whether resolv.conf has changed while something is being asked.
  base::Duration watch_interval = std::chrono::seconds(1);
};

// The loop must outlive it. Throws std::runtime_error where c-ares cannot be set up.
std::unique_ptr<NameSource> make_name_source(base::EventLoop& loop, NameServers settings);

}  // namespace holdfast::upstream
