// PageDesk answers requests for pages. A page that another loop renders is rendered
// once for all who wait for it: whoever comes while that is being done waits for the
// next time, so that the other loop has at most one rendering of ours before it
// for each page and coding, however many ask. Nobody waits past the deadline. One per
// worker; its loop's thread only.
#pragma once

#include <list>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/scheduler.h"
#include "http/server.h"
#include "proxy/pages.h"

namespace holdfast::proxy {

class PageDesk {
 public:
  // `worker` and the pages outlive this, and this outlives the loops' last callbacks.
  PageDesk(base::Scheduler& worker, base::Duration deadline)
      : worker_(worker), deadline_(deadline) {}

  // Of who asks from now on.
  void set_deadline(base::Duration deadline) { deadline_ = deadline; }

  // Answers `id`, now or later.
  void send(http::Server& server, http::ExchangeId id, const http::Request& request,
            std::string_view request_id, const PageEntry& page);
  // The client is gone. Unknown ids are fine.
  void abandoned(http::ExchangeId id);

 private:
  struct Waiter {
    Waiter(http::Server& s, http::ExchangeId i, std::string_view r)
        : server(s), id(i), request_id(r) {}
    http::Server& server;
    http::ExchangeId id;
    std::string request_id;
    base::Timer deadline;
  };
  // A page, and whether it is packed.
  using Name = std::pair<const PageEntry*, bool>;
  struct Rendering {
    bool under_way = false;
    std::list<Waiter> served;  // by the one that is under way
    std::list<Waiter> later;
  };

  // Takes a waiter off its list; none if it is on none.
  std::list<Waiter> take(http::ExchangeId id);
  void start(const Name& name, Rendering& rendering);
  void finish(const Name& name, const Page& rendered);

  base::Scheduler& worker_;
  base::Duration deadline_;
  std::map<Name, Rendering> renderings_;
};

}  // namespace holdfast::proxy
