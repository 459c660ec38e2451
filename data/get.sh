#!/usr/bin/env bash
#
# get.sh: fills data/ with MNIST and the VGG16 weights, each file checked; it never puts a file that is not right under its
# final name, and never throws away a file that somebody else put there.
#
# A download grows as NAME.part and is resumed from there. Once its size and digests are right it is synced and renamed.
set -euo pipefail
export LC_ALL=C

readonly PROGRAM=get.sh
here=$(dirname -- "${BASH_SOURCE[0]}")
readonly here

readonly MNIST_MIRRORS="
  https://ossci-datasets.s3.amazonaws.com/mnist/
  https://storage.googleapis.com/cvdf-datasets/mnist/
  https://sagemaker-sample-files.s3.amazonaws.com/datasets/image/MNIST/
  https://github.com/fgnt/mnist/raw/master/"
readonly WEIGHTS_MIRRORS="
  https://storage.googleapis.com/tensorflow/keras-applications/vgg16/
  https://github.com/fchollet/deep-learning-models/releases/download/v0.1/"

readonly SLOWEST_BYTES_PER_SECOND=1024    # slower than this for $stall_seconds is a stall
readonly UNREACHABLE_MEANS_OFFLINE=3      # so many hosts out of reach, and none in reach: stop asking

connect_seconds=${VGGCACHE_CONNECT_SECONDS:-4}
stall_seconds=${VGGCACHE_STALL_SECONDS:-20}
table=${VGGCACHE_FILES:-$here/files.txt}

from=                       # folder of local copies; empty: download
output=$here
sets=()                     # as asked for on the command line

names=()                    # the table, in its order
declare -A set_of=() bytes_of=() md5_of=() raw_sha256_of=() sha256_of=()
declare -A unreachable=()   # host -> why
host_reached=no
failures=()                 # one text per file that is still missing
why=                        # what the last check or transfer has to complain of
how=                        # how the last file was got
right_form=                 # what survey found in $output
wrong_forms=()
copying=                    # a copy that is not yet whole
curl_pid=
curl_status=0
http_status=
seconds_to_connect=

usage() {
  cat <<END
Usage: data/get.sh [--from=DIR] [--output=DIR] [mnist|weights|all ...]

Fetches what vggcache works on (default: all), checks size and digests, and leaves
each file under its final name only when it is right.

  mnist     the four MNIST files, 11.6 MB
  weights   VGG16's ImageNet weights without the top layers, as Keras ships them, 58.9 MB

  --from=DIR     take local copies instead of downloading. MNIST files may be plain or
                 .gz: their uncompressed bytes are compared
  --output=DIR   where to put them (default: the folder of this script)
  -h, --help     this text

A download that broke off is kept as NAME.part; the same command goes on from there.

Environment
  VGGCACHE_MNIST_MIRRORS, VGGCACHE_WEIGHTS_MIRRORS
                            base URLs to try in turn instead of the built-in ones,
                            separated by spaces
  VGGCACHE_CONNECT_SECONDS  give a mirror up after so long without a connection (4)
  VGGCACHE_STALL_SECONDS    give a mirror up after so long below 1 KiB/s (20)
  VGGCACHE_FILES            another table of files, with its SHA256SUMS beside it
                            (data/files.txt)

Exit status: 0 all files are there; 1 failed; 2 wrong command line; 130 interrupted.
END
}

die() {
  printf '%s: %s\n' "$PROGRAM" "$1" >&2
  exit 1
}

wrong_usage() {
  printf "%s: %s; try 'data/get.sh --help'\n" "$PROGRAM" "$1" >&2
  exit 2
}

# ---- command line and table ----

parse_arguments() {
  local argument
  for argument in "$@"; do
    case $argument in
      -h | --help) usage; exit 0 ;;
      --from=?*) from=${argument#*=} ;;
      --output=?*) output=${argument#*=} ;;
      --from | --from= | --output | --output=) wrong_usage "${argument%=} needs a folder, as ${argument%=}=DIR" ;;
      mnist | weights | all) sets+=("$argument") ;;
      -*) wrong_usage "unknown option '$argument'" ;;
      *) wrong_usage "unknown set '$argument'" ;;
    esac
  done
  ((${#sets[@]})) || sets=(all)
  is_count "$connect_seconds" || wrong_usage "VGGCACHE_CONNECT_SECONDS='$connect_seconds' is not a whole number from 1"
  is_count "$stall_seconds" || wrong_usage "VGGCACHE_STALL_SECONDS='$stall_seconds' is not a whole number from 1"
}

is_count() {
  [[ $1 =~ ^[1-9][0-9]{0,5}$ ]]
}

is_wanted() {
  [[ " ${sets[*]} " == *" all "* || " ${sets[*]} " == *" $1 "* ]]
}

read_table() {
  local set name bytes md5 raw digest sums
  sums=$(dirname -- "$table")/SHA256SUMS
  [[ -r $table ]] || die "cannot read $table, the table of files; take it from the project's sources"
  [[ -r $sums ]] || die "cannot read $sums, the table of digests; take it from the project's sources"
  while read -r set name bytes md5 raw; do
    [[ -n $set && $set != '#'* ]] || continue
    is_wanted "$set" || continue
    names+=("$name")
    set_of[$name]=$set
    bytes_of[$name]=$bytes
    md5_of[$name]=$md5
    raw_sha256_of[$name]=$raw
  done <"$table"
  while read -r digest name; do
    sha256_of[${name#\*}]=$digest
  done <"$sums"
}

check_folders() {
  [[ -z $from || -d $from ]] || die "$from is not a folder; name the one that holds your copies with --from=DIR"
  [[ -d $output ]] || die "the output folder $output does not exist; make it with: mkdir -p $output"
}

# One run at a time fills a folder. The lock is on the folder itself, so it leaves no file and ends with the process.
lock_output() {
  local lock
  exec {lock}<"$output"
  flock --nonblock "$lock" || die "another run is filling $output; wait until it is done"
}

need_writable_output() {
  [[ -w $output ]] || die "no permission to write into $output; choose another folder with --output=DIR"
}

# ---- checks: each returns 0, or 1 with the complaint in $why ----

size_of() {
  if [[ -e $1 ]]; then stat --dereference --format=%s -- "$1"; else echo 0; fi
}

expect_equal() {
  [[ $2 == "$3" ]] && return 0
  why="$1: expected $2, found $3"
  return 1
}

# Is FILE, byte for byte, what was published as NAME?
is_published() {
  local file=$1 name=$2 digest
  expect_equal bytes "${bytes_of[$name]}" "$(size_of "$file")" || return 1
  digest=$(md5sum <"$file")
  expect_equal MD5 "${md5_of[$name]}" "${digest%% *}" || return 1
  [[ -n ${sha256_of[$name]:-} ]] || return 0
  digest=$(sha256sum <"$file")
  expect_equal SHA-256 "${sha256_of[$name]}" "${digest%% *}"
}

# Does FILE, which may be compressed in another way or not at all, hold the contents of NAME?
has_contents() {
  local file=$1 name=$2 digest
  if [[ ! -f $file || ! -r $file ]]; then
    why="$file: not a readable file"
    return 1
  fi
  if [[ ${raw_sha256_of[$name]} == - ]]; then
    is_published "$file" "$name" && return 0
    why="$file: $why"
    return 1
  fi
  if ! digest=$(uncompressed "$file" | sha256sum); then
    why="$file: damaged or cut short, gzip cannot read it to its end"
    return 1
  fi
  expect_equal "$file: SHA-256 of the uncompressed bytes" "${raw_sha256_of[$name]}" "${digest%% *}"
}

uncompressed() {
  case $1 in
    *.gz) gzip -dc <"$1" 2>/dev/null ;;
    *) cat <"$1" ;;
  esac
}

# ---- putting files in place ----

# The names under which NAME may stand in a folder: as published and, if that is compressed, plain. Sets $forms.
forms_of() {
  forms=("$1")
  [[ $1 != *.gz ]] || forms+=("${1%.gz}")
}

# What does $output hold of NAME? Sets $right_form, empty for none, and $wrong_forms.
survey() {
  local name=$1 form forms
  right_form=
  wrong_forms=()
  forms_of "$name"
  for form in "${forms[@]}"; do
    [[ -e $output/$form || -L $output/$form ]] || continue
    if has_contents "$output/$form" "$name"; then
      right_form=$form
    else
      wrong_forms+=("$form")
    fi
  done
}

# A file that has a final name but is not the right one is somebody's own: it gets another name, and never the last word.
set_aside_wrong() {
  local form old n
  for form in "${wrong_forms[@]}"; do
    old=$form.old
    for ((n = 2; ; n++)); do
      [[ -e $output/$old || -L $output/$old ]] || break
      old=$form.old$n
    done
    mv -T -- "$output/$form" "$output/$old" ||
      die "cannot rename $output/$form, which is not the expected file; move it away yourself"
    printf '%-30s was not the expected file, kept as %s\n' "$form" "$output/$old"
  done
}

# Moves TEMPORARY, which has been found right, to its final name FORM, durably.
install_file() {
  local temporary=$1 form=$2
  sync -- "$temporary" || die "cannot write $temporary to the disk; is there space left?"
  set_aside_wrong
  mv -T -- "$temporary" "$output/$form" || die "cannot rename $temporary to $form; look at the permissions of $output"
  sync -- "$output" || die "cannot write $output to the disk"
}

# ---- local copies ----

copy() {
  local name=$1 form forms complaint=''
  need_writable_output
  forms_of "$name"
  for form in "${forms[@]}"; do
    [[ -e $from/$form ]] || continue
    if has_contents "$from/$form" "$name"; then
      copy_file "$from/$form" "$form" "$name" && return 0
    fi
    complaint=${complaint:-$why}
  done
  why=${complaint:-$from/$name: no such file${forms[1]:+, nor without .gz}}
  return 1
}

copy_file() {
  local source=$1 form=$2
  copying=$output/.copy.$form
  { cat <"$source" >"$copying"; } 2>/dev/null || die "cannot copy $source to $output; is there space left?"
  if ! has_contents "$copying" "$3"; then
    rm -f -- "$copying"
    why="$source: changed while it was copied"
    return 1
  fi
  install_file "$copying" "$form"
  copying=
  how="copied from $source"
}

# ---- downloads ----

need_curl() {
  command -v curl >/dev/null || die "curl is missing: install the packages curl and ca-certificates, or use --from=DIR"
}

mirrors_of() {
  case $1 in
    mnist) echo "${VGGCACHE_MNIST_MIRRORS:-$MNIST_MIRRORS}" ;;
    weights) echo "${VGGCACHE_WEIGHTS_MIRRORS:-$WEIGHTS_MIRRORS}" ;;
  esac
}

# Tries the mirrors of NAME in turn, each going on where the one before left off.
download() {
  local name=$1 part=$output/$1.part base host tried=''
  local -a mirrors
  need_writable_output
  if part_is_whole "$part" "$name"; then
    how="was already downloaded, checked now"
    install_file "$part" "$name"
    return 0
  fi
  need_curl
  read -r -d '' -a mirrors < <(mirrors_of "${set_of[$name]}") || true
  for base in "${mirrors[@]}"; do
    host=${base#*://}
    host=${host%%/*}
    if seems_offline; then
      why="not asked, this machine seems to be offline"
    elif [[ -n ${unreachable[$host]:-} ]]; then
      why=${unreachable[$host]}
    elif download_from "${base%/}/$name" "$part" "$name"; then
      how="fetched from $host, $how"
      install_file "$part" "$name"
      return 0
    fi
    tried+="${tried:+; }$host: $why"
  done
  why="$output/$name: no mirror gave it ($tried)"
  return 1
}

seems_offline() {
  [[ $host_reached == no && ${#unreachable[@]} -ge $UNREACHABLE_MEANS_OFFLINE ]]
}

# A .part as long as the file is either the file or of no use, and a longer one is of no use.
part_is_whole() {
  local part=$1 name=$2
  [[ $(size_of "$part") -ge ${bytes_of[$name]} ]] || return 1
  is_published "$part" "$name" && return 0
  rm -f -- "$part"
  return 1
}

# Fetches URL into PART. What cannot be continued, or is wrong once complete, is fetched afresh, once.
download_from() {
  local url=$1 part=$2 name=$3 start
  while true; do
    start=$(size_of "$part")
    run_curl "$url" "$part" "${bytes_of[$name]}"
    judge_transfer "$url"
    case $curl_status in
      0)
        is_published "$part" "$name" && break
        rm -f -- "$part"
        ;;
      33 | 36) # no ranges there, or not from this position
        rm -f -- "$part"
        ;;
      *)
        [[ -s $part ]] || rm -f -- "$part"
        return 1
        ;;
    esac
    ((start > 0)) || return 1
  done
  how="${bytes_of[$name]} bytes"
  ((start == 0)) || how+=", resumed at $start"
}

# Sets curl_status, http_status and seconds_to_connect. curl runs beside the shell, so that Ctrl-C is heard at once.
run_curl() {
  local url=$1 part=$2 bytes=$3 report
  local -a progress=(--silent)
  [[ ! -t 2 ]] || progress=(--progress-bar)
  http_status=
  seconds_to_connect=
  exec {report}< <(exec curl "${progress[@]}" --fail --location --proto '=http,https' \
    --connect-timeout "$connect_seconds" --speed-limit "$SLOWEST_BYTES_PER_SECOND" --speed-time "$stall_seconds" \
    --max-filesize "$bytes" --continue-at - --output "$part" --write-out '%{http_code} %{time_connect}\n' -- "$url")
  curl_pid=$!
  read -r http_status seconds_to_connect <&"$report" || true
  exec {report}<&-
  curl_status=0
  wait "$curl_pid" || curl_status=$?
  curl_pid=
}

# Puts the outcome of run_curl into words, and remembers which hosts cannot be reached.
judge_transfer() {
  local host=${1#*://}
  host=${host%%/*}
  case $curl_status in
    0) why= ;;
    5 | 6) why="name not found" ;;
    7) why="no connection" ;;
    18 | 52 | 55 | 56 | 92) why="connection lost" ;;
    22) why="HTTP status $http_status" ;;
    23) die "cannot write into $output; is there space left? What has come so far is kept" ;;
    28) why="stalled for $stall_seconds s" ;;
    35 | 60 | 77) why="no secure connection (curl status $curl_status; is ca-certificates installed?)" ;;
    63) why="offers a file that is too long" ;;
    *) why="curl status $curl_status" ;;
  esac
  if [[ $curl_status == 28 && $http_status == 000 && $seconds_to_connect =~ ^0[.0]*$ ]]; then
    why="no connection within $connect_seconds s"
    unreachable[$host]=$why
  elif [[ $curl_status == [567] ]]; then
    unreachable[$host]=$why
  else
    host_reached=yes
  fi
}

# ---- the whole ----

# Leaves no copy half done, keeps what was downloaded.
interrupted() {
  local signal_number=$1
  trap '' INT TERM HUP
  if [[ -n $curl_pid ]]; then
    kill "$curl_pid" 2>/dev/null || true
    wait "$curl_pid" 2>/dev/null || true
  fi
  printf '%s: interrupted; the same command goes on where it stopped\n' "$PROGRAM" >&2
  exit $((128 + signal_number))
}

remove_copy() {
  [[ -z $copying ]] || rm -f -- "$copying"
}

get() {
  local name=$1
  survey "$name"
  if [[ -n $right_form ]]; then
    set_aside_wrong
    how="already there"
  elif [[ -n $from ]]; then
    copy "$name" || return 1
  else
    download "$name" || return 1
  fi
  rm -f -- "$output/$name.part" 2>/dev/null || true
}

report_failures() {
  local count=${#failures[@]} more='' advice
  if [[ -n $from ]]; then
    advice="give a folder with the original files, plain or .gz"
  else
    advice="run it again later, which goes on where it stopped, or take local copies with --from=DIR"
  fi
  ((count == 1)) || more="; and $((count - 1)) more"
  die "${failures[0]}$more; $advice"
}

main() {
  local name
  parse_arguments "$@"
  read_table
  check_folders
  lock_output
  trap 'interrupted 1' HUP
  trap 'interrupted 2' INT
  trap 'interrupted 15' TERM
  trap remove_copy EXIT
  for name in "${names[@]}"; do
    if get "$name"; then
      printf '%-30s %s\n' "$name" "$how"
    else
      printf '%-30s missing\n' "$name"
      failures+=("$why")
    fi
  done
  ((${#failures[@]} == 0)) || report_failures
}

main "$@"
