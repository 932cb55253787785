#include "daemon/explain_command.h"

#include "daemon/admin_client.h"
#include "daemon/explain.h"
#include "daemon/sheet.h"
#include "observe/json_writer.h"

namespace holdfast::daemon {
namespace {

// What the daemon says, or why it says nothing.
struct FromDaemon {
  std::string said;  // empty: nothing
  std::string note;  // one line; empty: nothing to add
};

FromDaemon ask_daemon(const config::ToExplain& what, const Explanation& explanation) {
  if (!explanation.taken() || explanation.batch) return {};
  std::string socket = what.settings.admin_socket;
  if (socket.empty() && what.settings.is_default("admin_socket")) socket = kUsualAdminSocket;
  if (socket.empty()) return {{}, "not asked: ADMIN_SOCKET is off"};
  const config::ExplainCommand& command = what.command;
  std::string target = "/explain?path=" + escaped_argument(command.target) +
                       "&method=" + escaped_argument(command.method);
  if (!command.host.empty()) target += "&host=" + escaped_argument(command.host);
  for (const auto& [name, value] : command.fields) {
    target += "&field=" + escaped_argument(name + ": " + value);
  }
  if (!command.json) target += "&text";
  const auto answer = ask_admin(socket, {.is_post = false, .target = target});
  if (!answer) {
    if (answer.error().kind != base::ErrorKind::Unavailable) return {{}, answer.error().message};
    const std::string& file = what.settings.config_file;
    const bool silent = !file.empty() && what.settings.is_default("admin_socket");
    return {{},
            "does not run, or not with this ADMIN_SOCKET: " + socket +
                (silent ? "; " + file + " sets no admin_socket" : std::string())};
  }
  if (answer->status != 200) {
    return {{},
            "has other settings, or another version: it answers " + std::to_string(answer->status) +
                " to this request"};
  }
  FromDaemon from{answer->body, {}};
  // Both forms begin with the key.
  std::string key;
  if (command.json) {
    observe::JsonWriter(key).open('{').member("key", explanation.key);
  } else {
    key = Sheet().row("key", explanation.key).take();
  }
  if (!from.said.starts_with(key)) from.note = "was started with other settings: its key differs";
  return from;
}

std::string text_of(const Explanation& explanation, const FromDaemon& from) {
  std::string text = explanation_text(explanation);
  if (from.said.empty() && from.note.empty()) return text;
  Sheet sheet;
  sheet.row("daemon", from.note.empty() ? "runs; this is what it knows:" : from.note);
  text += sheet.take();
  std::string_view said = from.said;
  // It is the same, which has been said.
  if (from.note.empty()) said.remove_prefix(std::min(said.find('\n') + 1, said.size()));
  return text.append(said);
}

std::string json_of(const Explanation& explanation, FromDaemon from) {
  while (from.said.ends_with('\n')) from.said.pop_back();
  std::string text = "{" + explanation_json(explanation) + ",\"daemon\":";
  text += from.said.empty() ? "null" : from.said;
  if (!from.note.empty()) {
    std::string note;
    observe::JsonWriter(note).member("daemon_note", from.note);
    text += "," + note;
  }
  return text + "}\n";
}

}  // namespace

base::Result<Explained> explain_command(const config::ToExplain& what) {
  const auto explanation = explain(what.settings, what.command);
  if (!explanation) return tl::unexpected(explanation.error());
  const FromDaemon from = ask_daemon(what, *explanation);
  return Explained{what.command.json ? json_of(*explanation, from) : text_of(*explanation, from),
                   explanation->taken()};
}

}  // namespace holdfast::daemon
