#!/bin/bash
# package.sh FOLDER: makes the package and the source package in FOLDER, installs the package with
# what it depends on, tries it, removes it, installs it again, and purges it. For a machine of its
# own, as root: run.sh makes one. Ends with what failed, if anything did.
# shellcheck disable=SC2317  # check() calls the functions
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
cd "$(dirname "$0")/../.."
folder=$1
failed=''

check() {
  if "${@:2}"; then
    printf 'ok: %s\n' "$1"
  else
    printf 'FAILED: %s\n' "$1"
    failed=yes
  fi
}
not() { ! "$@"; }
is() { [ "$1" = "$2" ] || { printf '"%s" instead of "%s"\n' "$1" "$2"; return 1; }; }
all_there() {
  local path
  for path in "$@"; do
    if [ ! -e "$path" ] && [ ! -L "$path" ]; then
      printf 'no %s\n' "$path"
      return 1
    fi
  done
}
# Whatever has our name, but for what apt keeps of packages, and the sources.
left() {
  find / -xdev '(' -path /proc -o -path /sys -o -path /dev -o -path /root -o -path /tmp -o -path "$folder" \
    -o -path /var/cache/apt -o -path /var/lib/apt -o -path /var/log ')' -prune \
    -o '(' -name '*holdfast*' -o -name '*cache-warm*' ')' -print
}
users() { getent passwd | grep -c holdfast || true; }
completes() {
  # shellcheck disable=SC1090,SC1091
  (. "/usr/share/bash-completion/completions/$1" && complete -p "$1")
}
# A server for nobody's sake, with the settings as they are installed.
serves() {
  local port='' said=/tmp/package-serves pid tries status=1
  setpriv --reuid 65534 --regid 65534 --clear-groups env PORT=0 STORE_PATH=off \
    holdfast --config /etc/holdfast/holdfast.toml 2>"$said" &
  pid=$!
  for ((tries = 0; tries < 600; tries++)); do
    port=$(sed -nE 's/.*"event":"listening".*"port":([0-9]+).*/\1/p' "$said" | head -n 1)
    [ -z "$port" ] || break
    sleep 0.1
  done
  if [ -n "$port" ] && curl -fsS --noproxy '*' "http://127.0.0.1:$port/livez"; then status=0; fi
  kill "$pid"
  wait "$pid" || status=1
  if [ "$status" -ne 0 ]; then cat "$said"; fi
  return "$status"
}

tools/packaging/build.sh "$folder"
tools/packaging/build.sh --source "$folder"
check 'what is in the package' tests/packaging/package.sh "$folder"

apt-get install -y -qq "$folder"/holdfast_*.deb >/dev/null
documents=/usr/share/doc/holdfast
check 'the program runs' holdfast --version
check 'so does cache-warm' cache-warm --version
check 'the settings are valid' env STORE_PATH=off holdfast --check-config --config /etc/holdfast/holdfast.toml
check 'it serves, as nobody' serves
check 'no user is made' is "$(users)" 0
check 'units are where systemd looks' systemd-analyze verify --man=no holdfast.service holdfast.socket cache-warm.service cache-warm.timer
check 'and none is enabled' is "$(systemctl is-enabled holdfast.service holdfast.socket cache-warm.timer | xargs)" 'disabled disabled disabled'
check 'bash completes holdfast' completes holdfast
check 'and cache-warm' completes cache-warm
check 'man pages' gzip -t /usr/share/man/man8/holdfast.8.gz /usr/share/man/man5/holdfast.toml.5.gz /usr/share/man/man1/cache-warm.1.gz
check 'documents' all_there $documents/{README.md,packaging.md,changelog.Debian.gz,copyright,examples/weather.toml}

# What people make of it; state is where systemd puts that of a service with DynamicUser.
systemctl enable holdfast.service cache-warm.timer
sed -i 's|^#api_url = .*|api_url = "https://api.example.net"|' /etc/holdfast/holdfast.toml
touch /etc/holdfast/warm.d/mine
printf '%s\n' a-token | install -D -m 0600 /dev/stdin /etc/credstore/holdfast.api_token
install -d -m 0700 /var/lib/private /var/lib/private/holdfast
ln -s private/holdfast /var/lib/holdfast
touch /var/lib/private/holdfast/holdfast.db
owned=(/etc/holdfast/{holdfast.toml,holdfast.env,warm.d/mine} /etc/credstore/holdfast.api_token
  /var/lib/holdfast /var/lib/private/holdfast/holdfast.db)

apt-get remove -y -qq holdfast >/dev/null
check 'a removal keeps settings, token and store' all_there "${owned[@]}"
check 'and takes the programs' not test -e /usr/bin/holdfast
check 'and the documents' not test -e $documents
apt-get install -y -qq "$folder"/holdfast_*.deb >/dev/null
check 'a second install takes settings as they were' grep -q '^api_url = "https://api.example.net"' /etc/holdfast/holdfast.toml
check 'and what was enabled' is "$(systemctl is-enabled holdfast.service)" enabled
apt-get purge -y -qq holdfast >/dev/null
check 'a purge leaves nothing' is "$(left)" ''
check 'the folder of others stays' test -d /var/lib/private
[ -z "$failed" ]
