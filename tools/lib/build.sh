# shellcheck shell=bash
# How the scripts in tools/ configure a build folder: all in the same way, so that what one of them
# has compiled no other compiles again. Sourced after common.sh; uses $work.

# COMPILER: sets CXX to it for several files at once, which is most of a clean build's time saved.
# Should files not go together, one_by_one.sh takes them apart.
together=(-Dunity=on -Dunity_size=16)
compile_together() {
  local words compiler=("$PWD/tools/lib/one_by_one.sh")
  read -ra words <<<"$1"
  if [ ${#words[@]} -eq 1 ] && command -v ccache >/dev/null; then compiler+=(ccache); fi
  compiler+=("${words[@]}")
  printf -v CXX '%q ' "${compiler[@]}"
  export CXX
}

# FOLDER [meson option...]: configures it, if needed.
# shellcheck disable=SC2154
configure() {
  local folder=$1
  shift
  if [ -f "$folder/build.ninja" ]; then
    # Rewrites the folder's settings only where they differ.
    meson configure "$folder" -Dwerror=true "$@" >"$work/setup" 2>&1
  else
    meson setup "$folder" -Dwerror=true "$@" >"$work/setup" 2>&1
  fi || { tail -n 30 "$work/setup"; return 1; }
}

# FOLDER: for the release build, with warnings as errors. A folder that is there stays as it is:
# one where each file is compiled by itself is quicker after a change, and finds what lives on
# another file's includes. The prefix is the package's.
configure_plain() (
  if [ -f "$1/build.ninja" ]; then
    configure "$1" -Dprefix=/usr
  else
    compile_together "${CXX:-c++}"
    configure "$1" -Dprefix=/usr "${together[@]}"
  fi
)
