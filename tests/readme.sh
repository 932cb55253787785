#!/bin/bash
# What the README says that a program can say: the table of settings.
# usage: readme.sh README HOLDFAST
set -euo pipefail
sed -n '/^<!-- settings/,/^<!-- end/p' "$1" | grep '^|' | diff - <("$2" --settings-table)
