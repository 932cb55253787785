// CurlTransport makes attempts with libcurl's multi interface on an EventLoop. Nothing
// blocks: addresses come from the caller and libcurl never looks a name up. Connections
// are kept, per address. Loop's own thread only.
//
// Redirects are never followed and no proxy is taken from the environment, so the token
// goes to the configured origins and nowhere else.
//
// When a kept connection dies before the first byte of an answer, libcurl sends the
// request once more on a new one within the same attempt: it cannot tell a server's idle
// timeout from a fault. So an upstream may see slightly more requests than we count
// attempts. Not of what goes by stream(): see stream_attempt.h.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/event_loop.h"
#include "upstream/outgoing.h"
#include "upstream/spare_connections.h"
#include "upstream/streaming.h"
#include "upstream/transport.h"

namespace holdfast::upstream {

class Attempt;
class Pool;
class Trust;
class TrustStore;
struct TlsState;

// Sets libcurl up, once. It, and OpenSSL, must not write the keys of connections where
// SSLKEYLOGFILE says, so this takes that from the environment: call it before the program
// has threads. The first CurlTransport does it otherwise. Throws std::runtime_error.
void set_up_libcurl();

class CurlTransport final : public Transport, public Streaming {
 public:
  struct Settings {
    // One per origin: scheme, authority and maybe a path, "http://api.example:8000/v1".
    // A trailing slash is dropped: targets bring their own.
    std::vector<std::string> base_urls;
    // For the connection and its TLS handshake; an attempt's own timeout is often
    // shorter. Two lost SYNs are sent again within it: after 1 s and after 3 s.
    base::Duration connect_timeout = std::chrono::seconds(5);
    // For the server to ask for a content that waits for that; libcurl's own default
    // (CURLOPT_EXPECT_100_TIMEOUT_MS), and what curl waits as a client.
    base::Duration continue_wait = std::chrono::seconds(1);
    std::size_t body_limit_bytes = std::size_t{1} << 20;
    std::size_t head_limit_bytes = std::size_t{64} << 10;
    // A content slower than this for so long is given up, should an attempt be
    // allowed to last that long.
    long low_speed_bytes_per_second = 16;
    std::chrono::seconds low_speed_time{5};
    // A connection is not used again after this.
    std::chrono::seconds connection_lifetime{300};
    // Below the idle timeout of common servers and load balancers (60 s and up).
    std::chrono::seconds connection_idle{55};
    std::size_t kept_connections = 128;  // of each address
    // Over TLS, where the server offers it; else HTTP/1.1 everywhere.
    bool http2 = false;
    // PEM. Empty: what SSL_CERT_FILE and SSL_CERT_DIR name; without them the machine's.
    std::string ca_file;
    // PEM, the certificate first and its chain after it; empty: none is shown.
    std::string client_cert_file;
    std::string client_key_file;  // PEM, without a passphrase; empty: in client_cert_file
    // How often these files are looked at for changes, on a thread of their own. What was
    // set up before a change is then not used for further attempts.
    std::chrono::milliseconds trust_check_interval{5000};
    // Connections kept ready to the preferred address of each origin.
    SpareConnections::Settings spares;
    std::string user_agent = "holdfast";
    Credential credential;
    // Host of every request that brings none; empty: the URL's.
    std::string host;
  };

  // Throws std::runtime_error if libcurl cannot be set up, a URL is none, or the token
  // is not valid.
  CurlTransport(base::EventLoop& loop, Settings settings, std::string token = {});
  // Drops all attempts; their callbacks do not run.
  ~CurlTransport() override;

  // Where the origin's URL has a name for a host and no address is given: Outcome::Dns.
  // Until the authorities have been read, attempts over TLS wait, in that phase.
  AttemptId start(const Sending& sending, const Request& request, Callback callback) override;
  // A connection of HTTP/2 goes on; only the attempt's stream ends.
  void cancel(AttemptId id) override;
  std::optional<Progress> progress(AttemptId id) const override;
  void knock(std::size_t origin, const std::string& address, base::Duration timeout,
             Callback callback) override;
  void distrust(std::size_t origin, const std::string& address) override;
  // Makes the origin's spare connections, by a HEAD of its base path without a token; an
  // origin whose URL has an address for a host is given that.
  void prefer(std::size_t origin, const std::string& address) override;

  Streaming* streaming() override { return this; }
  AttemptId stream(const Sending& sending, const StreamRequest& request, StreamPeer& peer,
                   Callback callback) override;
  void go_on(AttemptId id) override;

  // For the attempts that start from now on; empty for none. False, and nothing
  // changes, if it holds what no field value may (a line break, say).
  bool set_token(std::string token);

  // Contents of so many bytes are taken from now on, also by attempts under way; never fewer than
  // before.
  void raise_body_limit(std::size_t bytes);

  // Nothing will be asked for any more: whether all that works beside the loop has ended, so that
  // the end of this waits for nothing. Ask again where it says no.
  bool wind_down();

  // Called when an attempt, a knock or a spare connection failed for want of something here,
  // inside of libcurl: it may not call the transport. Set before the first attempt.
  void on_lack(std::function<void(base::Resource)> callback) { on_lack_ = std::move(callback); }

  // Why the files with authorities and our certificate, as they are now, are not used;
  // empty: they are, or no origin is https.
  std::string trust_problem() const;

  // Connections to that address that wait for a request, as far as can be seen.
  std::size_t ready(std::size_t origin, const std::string& address) const;

  // Of start()'s.
  std::size_t in_flight() const { return in_flight_; }

 private:
  struct Origin {
    std::string url;
    std::vector<std::string> keys;  // what of it nobody shall see
    std::string host;
    bool tls = false;
    bool has_address = false;              // `host` is one
    std::optional<std::string> preferred;  // as in Place
    std::optional<SpareConnections> spares;
  };
  // An address that is the URL's own host goes without saying: it is empty.
  using Place = std::pair<std::size_t, std::string>;  // an origin, an address

  AttemptId begin(std::unique_ptr<Attempt> attempt, const Request& request);
  void hide_credentials(std::size_t origin, Fields& fields) const;
  bool still_tells(std::size_t origin, std::string text) const;
  void stalled(AttemptId id);
  void over(AttemptId id, bool answered);
  void wait_for_trust(Attempt& attempt);
  void run(Attempt& attempt);
  void finished(Attempt& attempt);
  void adopt(std::shared_ptr<const Trust> trust);
  void renew_tls();
  void tell_lack(Attempt& attempt);
  void fail_later(AttemptId id, Outcome outcome, std::string detail, bool own_lack = false);
  void deliver_later(AttemptId id);
  void deliver(AttemptId id);
  std::shared_ptr<Pool> pool_of(const Attempt& attempt);
  std::shared_ptr<Pool> new_pool();
  Place place_of(std::size_t origin, const std::string& address) const;
  // Those of the attempt's origin, if it goes to the preferred address.
  SpareConnections* spares_of(const Attempt& attempt);
  void look_at_spares();
  std::size_t ready(const Place& place) const;
  void make_spare(std::size_t origin, bool new_connection);
  void drop_idle_pools();

  base::EventLoop& loop_;
  Settings settings_;
  std::string token_;
  std::vector<Origin> origins_;
  AttemptId last_id_ = 0;
  std::map<Place, std::shared_ptr<Pool>> pools_;
  std::shared_ptr<Pool> knocks_;
  std::shared_ptr<const Trust> trust_;   // null until it has been read
  std::shared_ptr<const TlsState> tls_;  // null until then, and where no origin is https
  std::unordered_map<AttemptId, std::unique_ptr<Attempt>> attempts_;
  std::function<void(base::Resource)> on_lack_;
  std::vector<AttemptId> waiting_;  // for trust_
  std::size_t in_flight_ = 0;
  base::Timer idle_timer_;
  base::Timer spare_timer_;
  // Posted work outlives us in the loop's mailbox; it asks this first.
  std::shared_ptr<char> alive_ = std::make_shared<char>();
  std::unique_ptr<TrustStore> trust_store_;  // last: its thread asks for `alive_`
};

// What is wrong with the files that TLS connections made with these settings would need, for
// people; empty if nothing is. Blocks: it reads them.
std::string problem_of_files(const CurlTransport::Settings& settings);

}  // namespace holdfast::upstream
