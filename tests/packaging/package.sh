#!/bin/bash
# package.sh FOLDER: what is in the package and in the source package that build.sh has left there.
# shellcheck disable=SC2317  # check() calls the functions
set -euo pipefail
export LC_ALL=C

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
check() {
  if ! "${@:2}" >"$work/said" 2>&1; then
    printf 'FAILED: %s\n' "$1"
    cat "$work/said"
    failed=1
  fi
}
is() { [ "$1" = "$2" ] || { printf '"%s" instead of "%s"\n' "$1" "$2"; return 1; }; }
not() { ! "$@"; }

package=$(ls "$1"/holdfast_*.deb)
root=$work/root
dpkg-deb -x "$package" "$root"
dpkg-deb -e "$package" "$work/control"
documents=$root/usr/share/doc/holdfast
version=$(dpkg-deb -f "$package" Version)

# ---- Files ------------------------------------------------------------------------

# Without the folder of units, which differs between releases.
cat >"$work/expected" <<'END'
/etc/holdfast/holdfast.env
/etc/holdfast/holdfast.toml
/etc/holdfast/warm.d/
/usr/bin/cache-warm
/usr/bin/holdfast
/usr/share/bash-completion/completions/cache-warm
/usr/share/bash-completion/completions/holdfast
/usr/share/doc/holdfast/README.md
/usr/share/doc/holdfast/cache-warm.md
/usr/share/doc/holdfast/changelog.Debian.gz
/usr/share/doc/holdfast/copyright
/usr/share/doc/holdfast/examples.md
/usr/share/doc/holdfast/examples/compose.yaml
/usr/share/doc/holdfast/examples/holdfast.env.example
/usr/share/doc/holdfast/examples/holdfast.toml.example
/usr/share/doc/holdfast/examples/kubernetes.yaml
/usr/share/doc/holdfast/examples/registry.toml
/usr/share/doc/holdfast/examples/search.toml
/usr/share/doc/holdfast/examples/weather.toml
/usr/share/doc/holdfast/packaging.md
/usr/share/doc/holdfast/prometheus.md
/usr/share/doc/holdfast/status.png
/usr/share/doc/holdfast/systemd.md
/usr/share/holdfast/prometheus/alerts.yml
/usr/share/holdfast/prometheus/dashboard.json
/usr/share/holdfast/prometheus/prometheus.yml
/usr/share/holdfast/prometheus/recording.yml
/usr/share/holdfast/prometheus/rules_test.yml
/usr/share/man/man1/cache-warm.1.gz
/usr/share/man/man5/holdfast.toml.5.gz
/usr/share/man/man8/holdfast.8.gz
UNITS/cache-warm.service
UNITS/cache-warm.timer
UNITS/holdfast.service
UNITS/holdfast.socket
END
find "$root" '(' -type d -empty -printf '/%P/\n' ')' -o '(' -not -type d -printf '/%P\n' ')' |
  sed -E 's|^(/usr)?/lib/systemd/system/|UNITS/|' | sort >"$work/found"
check 'the files are those that belong there' diff "$work/expected" "$work/found"
check 'all are of root, and nobody else may write them' \
  not grep -vE '^(d|-)..[-x].-[-x].-[-x] root/root|^l' <(dpkg-deb -c "$package")
check 'settings are kept' is "$(sort "$work/control/conffiles" | xargs)" \
  '/etc/holdfast/holdfast.env /etc/holdfast/holdfast.toml'
check 'the page of changes has this version first' is \
  "$(zcat "$documents/changelog.Debian.gz" | head -n 1 | grep -o '([^)]*)')" "($version)"

# ---- Programs and their settings --------------------------------------------------

holdfast=$root/usr/bin/holdfast
check 'the program is of this version' is "$("$holdfast" --version)" "holdfast ${version%-*}"
check 'the settings are valid' env STORE_PATH=off "$holdfast" --config "$root/etc/holdfast/holdfast.toml" --check-config
programs() { find "$root" -name '*.service' -exec sed -nE 's/^Exec\w+=[^/]*//p' {} + | grep -oE '/usr/bin/[a-z-]+' | sort -u; }
check 'what units start is there' test -n "$(programs)"
for program in $(programs); do check "$program is there" test -x "$root$program"; done
"$holdfast" --settings-table | sed -nE "s%^[|] .([A-Z_0-9]+).*%\1%p" >"$work/settings"
echo HOLDFAST_CONFIG >>"$work/settings"
check "holdfast.env speaks of settings alone" is \
  "$(sed -nE 's/^#?([A-Z_0-9]+)=.*/\1/p' "$root/etc/holdfast/holdfast.env" | grep -vxFf "$work/settings")" ''

# ---- Documents --------------------------------------------------------------------

broken_links() {
  local document target
  for document in "$documents"/*.md; do
    { grep -oE '\]\([^)[:space:]]+\)' "$document" || true; } | sed 's/^](//; s/)$//' | while read -r target; do
      case $target in
        *://* | '#'*) ;;
        *) [ -e "$documents/${target%%#*}" ] || echo "${document##*/}: $target" ;;
      esac
    done
  done
}
check 'links lead to what is there' is "$(broken_links)" ''
check 'there are links' grep -q '](packaging.md)' "$documents/README.md"
check 'the picture is shown' grep -q '](status.png)' "$documents/README.md"
check 'man pages are named' grep -qF 'holdfast.toml(5)' "$documents/README.md"
runbooks() { sed -n 's/^ *runbook: //p' "$root/usr/share/holdfast/prometheus/alerts.yml" | sed 's/#.*//' | sort -u; }
check 'alerts name their page' is "$(runbooks)" /usr/share/doc/holdfast/prometheus.md

# ---- Source package ----------------------------------------------------------------

dpkg-source --no-check -x "$1"/holdfast_*.dsc "$work/source" >/dev/null
check 'what is built from is what is here' diff "$work/source/meson.build" meson.build
check 'alternatives are for both releases' grep -qF 'pkgconf | pkg-config' "$1"/holdfast_*.dsc
check 'the tests are there' test -e "$work/source/tests/meson.build"
exit "$failed"
