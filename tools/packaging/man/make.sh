#!/bin/sh
# make.sh TEMPLATE VERSION [PROGRAM]: prints a man page. @SETTINGS@ is what PROGRAM
# says of its settings.
set -eu
settings=$(mktemp)
trap 'rm -f "$settings"' EXIT
if [ $# -ge 3 ]; then "$3" --settings-man >"$settings"; fi
sed -e "s/@VERSION@/$2/" -e "/^@SETTINGS@\$/{r $settings" -e 'd}' "$1"
