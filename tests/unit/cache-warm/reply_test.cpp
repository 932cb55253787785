#include "reply.h"

#include <doctest/doctest.h>

using namespace holdfast::warm;
using Kind = Verdict::Kind;
using namespace std::chrono_literals;

namespace {

Kind kind(int status, const std::string& cache_status) {
  Reply reply;
  reply.status = status;
  reply.cache_status = cache_status;
  return judge(reply).kind;
}

}  // namespace

TEST_CASE("only what the daemon says it has stored counts as stored") {
  CHECK(kind(200, "holdfast; hit; ttl=86012") == Kind::Fresh);
  CHECK(kind(200, "holdfast; fwd=uri-miss; fwd-status=200; stored; ttl=9") == Kind::Fetched);
  CHECK(kind(200, "holdfast; fwd=request; fwd-status=200; stored; ttl=9; collapsed") ==
        Kind::Fetched);
  CHECK(kind(200, "holdfast; hit; ttl=-12; detail=stale-while-revalidate") == Kind::Stale);
  CHECK(kind(200, "holdfast; hit; ttl=-12; detail=stale-if-error") == Kind::Stale);
  CHECK(kind(200, "holdfast; fwd=stale; fwd-status=503; detail=stale-if-error") == Kind::Stale);
  CHECK(kind(200, "holdfast; fwd=uri-miss; detail=offline") == Kind::TryAgain);
  CHECK(kind(200, "holdfast; fwd=uri-miss; fwd-status=200") == Kind::Hopeless);
  CHECK(kind(404, "holdfast; fwd=uri-miss; fwd-status=404; stored; ttl=300") == Kind::NotFound);
  CHECK(kind(404, "holdfast; hit; ttl=200") == Kind::NotFound);
  CHECK(kind(504, "holdfast; detail=only-if-cached") == Kind::NotStored);
  // Passed on though the route's rules refuse it.
  CHECK(kind(200, "holdfast; fwd=uri-miss; fwd-status=200; detail=invalid-body") == Kind::Hopeless);
}

TEST_CASE("an answer of something else than the daemon is never taken for stored") {
  CHECK(kind(200, "") == Kind::Hopeless);
  CHECK(kind(200, "nginx; hit; ttl=5") == Kind::Hopeless);
  CHECK(kind(404, "") == Kind::Hopeless);
  CHECK(kind(301, "") == Kind::Hopeless);
  CHECK(kind(200, "holdfast2; hit") == Kind::Hopeless);
}

TEST_CASE("a route that is offline is not asked twice") {
  CHECK(kind(200, "holdfast; hit; ttl=90") == Kind::Fresh);
  CHECK(kind(200, "holdfast; hit; ttl=-90; detail=offline") == Kind::Kept);
  Reply absent;
  absent.status = 504;
  absent.cache_status = "holdfast; detail=offline";
  CHECK(judge(absent).kind == Kind::Hopeless);
  CHECK(judge(absent).reason.find("offline") != std::string::npos);
}

TEST_CASE("a 404 of the daemon's own says that no route takes the path") {
  Reply reply;
  reply.status = 404;
  CHECK(judge(reply).reason.find("does the daemon have a route for it?") != std::string::npos);
}

TEST_CASE("other caches between may add their own word") {
  CHECK(kind(200, "nginx; fwd=miss, holdfast; hit; ttl=5") == Kind::Fresh);
  CHECK(kind(200, "holdfast; fwd=uri-miss; stored, nginx; hit") == Kind::Fetched);
}

TEST_CASE("what may pass is tried again, overload pauses all, the rest is hopeless") {
  for (const int status : {408, 425, 500, 502, 504}) CHECK(kind(status, "") == Kind::TryAgain);
  for (const int status : {429, 503}) CHECK(kind(status, "") == Kind::Pause);
  for (const int status : {400, 401, 403, 405}) CHECK(kind(status, "") == Kind::Hopeless);
  Reply gone;
  gone.unreachable = true;
  CHECK(judge(gone).kind == Kind::Pause);
  CHECK(judge(gone).unreachable);
  Reply cut;
  cut.error = "cut";
  CHECK(judge(cut).kind == Kind::TryAgain);
}

TEST_CASE("Retry-After is believed up to a minute") {
  Reply reply;
  reply.status = 503;
  reply.retry_after = 7s;
  CHECK(judge(reply).retry_after == 7s);
  reply.retry_after = 86400s;
  CHECK(judge(reply).retry_after == 60s);
  reply.retry_after = -5s;
  CHECK(judge(reply).retry_after == 0s);
}
