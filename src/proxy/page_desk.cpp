#include "proxy/page_desk.h"

#include <algorithm>

#include "http/content_coding.h"
#include "http/problem.h"
#include "proxy/response_fields.h"

namespace holdfast::proxy {
namespace {

// On the page's loop.
Page render(const PageEntry& page, bool packed) {
  Page rendered = page.render();
  if (page.gzip) rendered.fields += "Vary: Accept-Encoding\r\n";
  if (!packed) return rendered;
  if (auto coded = http::gzip(rendered.body)) {
    rendered.body = *std::move(coded);
    rendered.fields += "Content-Encoding: gzip\r\n";
  }
  return rendered;
}

void respond(http::Server& server, http::ExchangeId id, std::string_view request_id,
             const Page& page) {
  std::string fields = "Content-Type: " + page.content_type + "\r\n" + page.fields;
  append_request_id(fields, request_id);
  http::Response response;
  response.status = page.status;
  response.fields = fields;
  response.more_fields = "Cache-Control: no-store\r\n";
  response.body = page.body;
  server.respond(id, response);
}

}  // namespace

void PageDesk::send(http::Server& server, http::ExchangeId id, const http::Request& request,
                    std::string_view request_id, const PageEntry& page) {
  const bool packed = page.gzip && http::accepts_gzip(request.field(http::Known::AcceptEncoding));
  if (!page.loop) return respond(server, id, request_id, render(page, packed));
  const Name name(&page, packed);
  Rendering& rendering = renderings_[name];
  Waiter& waiter = rendering.later.emplace_back(server, id, request_id);
  waiter.deadline.set_after(worker_, deadline_, [this, id] {
    const std::list<Waiter> late = take(id);
    Page none;
    none.status = 503;
    none.content_type = "application/problem+json";
    none.body = http::problem_json(none.status, "the page was not ready in time");
    none.fields = "Retry-After: 1\r\n";
    respond(late.front().server, id, late.front().request_id, none);
  });
  if (!rendering.under_way) start(name, rendering);
}

void PageDesk::abandoned(http::ExchangeId id) {
  take(id);
}

std::list<PageDesk::Waiter> PageDesk::take(http::ExchangeId id) {
  std::list<Waiter> taken;
  for (auto& [name, rendering] : renderings_) {
    for (std::list<Waiter>* waiters : {&rendering.served, &rendering.later}) {
      const auto found = std::find_if(waiters->begin(), waiters->end(),
                                      [id](const Waiter& waiter) { return waiter.id == id; });
      if (found == waiters->end()) continue;
      taken.splice(taken.begin(), *waiters, found);
      return taken;
    }
  }
  return taken;
}

void PageDesk::start(const Name& name, Rendering& rendering) {
  rendering.under_way = true;
  rendering.served.swap(rendering.later);
  name.first->loop->post([this, name] {
    worker_.post(
        [this, name, rendered = render(*name.first, name.second)] { finish(name, rendered); });
  });
}

void PageDesk::finish(const Name& name, const Page& rendered) {
  Rendering& rendering = renderings_[name];
  while (!rendering.served.empty()) {
    // Off the list first: with its answer a client may go, or ask for the page again.
    const std::list<Waiter> one = take(rendering.served.front().id);
    respond(one.front().server, one.front().id, one.front().request_id, rendered);
  }
  rendering.under_way = false;
  if (!rendering.later.empty()) start(name, rendering);
}

}  // namespace holdfast::proxy
