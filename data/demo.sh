#!/usr/bin/env bash
#
# demo.sh: the whole job on 70,000 real images, extract and then train, with a summary at the end. It says which data and
# weights it uses and why, and it never passes a stand-in off as the real thing.
set -euo pipefail
export LC_ALL=C

readonly PROGRAM=demo.sh
readonly RANDOM_WEIGHTS=random:1
readonly IDX_FILES=(train-images-idx3-ubyte train-labels-idx1-ubyte t10k-images-idx3-ubyte t10k-labels-idx1-ubyte)

# SHA-256 over the four files, uncompressed, in the order above.
readonly MNIST_SHA256=b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a
readonly FASHION_SHA256=14410854cf7a289477dcfc7df3f8ec24741e281cdcc425ede0d9a748ca630214

root=$(dirname -- "${BASH_SOURCE[0]}")
root=$(realpath -s -- "$root/..")
readonly root

imagenet_name=    # the published weights, as in the table of files
imagenet_md5=
dataset=          # folder with the four IDX files
data_tag=         # mnist, fashion, or own-DIGEST
data_why=
weights=          # what extract's --weights is given
weights_tag=      # imagenet, random-SEED, or own-DIGEST
weights_why=
cache='' head_file='' history_file='' extract_json='' train_json=''

usage() {
  cat <<END
Usage: data/demo.sh

Extracts the features of 70,000 real images with bin/extract, trains a head on them with
bin/train, and sums up. 'make demo' builds the programs and then runs this. Results go to
build/demo/; run again, it uses the feature cache that is there.

Data: \$MNIST, or MNIST in data/ (fetched if possible), or Debian's Fashion-MNIST.
Weights: \$VGG16_WEIGHTS, or the ImageNet weights in data/ (fetched if possible), or a
seeded random backbone.

Environment
  MNIST          folder with the four IDX files, each plain or .gz
  VGG16_WEIGHTS  a Keras weights file, or random[:SEED]
  FASHION_MNIST  where Fashion-MNIST is (/usr/share/datasets/fashion-mnist, where the
                 package dataset-fashion-mnist puts it)
  BIN            folder with the programs extract and train (bin)
  and those of data/get.sh, see data/get.sh --help

Exit status: 0 done; 1 failed; 2 wrong command line; 130 interrupted (run it again to go on).
END
}

die() {
  printf '%s: %s\n' "$PROGRAM" "$1" >&2
  exit 1
}

parse_arguments() {
  case ${1-} in
    '') ;;
    -h | --help) usage; exit 0 ;;
    *)
      printf "%s: unknown argument '%s'; try 'data/demo.sh --help'\n" "$PROGRAM" "$1" >&2
      exit 2
      ;;
  esac
}

# The user's paths, relative to where they were typed, as seen from the top folder: every command below runs there.
enter_root() {
  [[ -z ${MNIST:-} ]] || MNIST=$(from_root "$MNIST")
  [[ -z ${VGG16_WEIGHTS:-} ]] || is_random "$VGG16_WEIGHTS" || VGG16_WEIGHTS=$(from_root "$VGG16_WEIGHTS")
  if [[ -n ${BIN:-} ]]; then BIN=$(from_root "$BIN"); else BIN=bin; fi
  FASHION_MNIST=$(from_root "${FASHION_MNIST:-/usr/share/datasets/fashion-mnist}")
  cd -- "$root"
}

read_table() {
  local table=${VGGCACHE_FILES:-data/files.txt} set name md5
  [[ -r $table ]] || die "cannot read $table, the table of files; take it from the project's sources"
  while read -r set name _ md5 _; do
    [[ $set != weights ]] || { imagenet_name=$name; imagenet_md5=$md5; }
  done <"$table"
}

from_root() {
  realpath -ms --relative-base="$root" -- "$1"
}

check_tools() {
  command -v jq >/dev/null || die "jq is missing: install the package jq (make deps does)"
  local program
  for program in extract train; do
    [[ -x $BIN/$program ]] || die "$BIN/$program is missing: build it with make"
  done
}

# ---- which data ----

# Prints the path of one IDX file of FOLDER, plain or .gz; fails when there is none.
idx_path() {
  local path
  for path in "$1/$2" "$1/$2.gz"; do
    [[ -f $path ]] && echo "$path" && return 0
  done
  return 1
}

# Prints the first of the four files that FOLDER lacks; nothing when all are there.
lacking() {
  local name
  for name in "${IDX_FILES[@]}"; do
    idx_path "$1" "$name" >/dev/null || { echo "$name"; return 0; }
  done
}

# Sets the tag that goes into the names of the results, from the contents and not from a folder's name.
identify_data() {
  local name digest
  digest=$(for name in "${IDX_FILES[@]}"; do
    # gzip -f passes on what is not compressed. What is damaged is for extract to refuse, with a better message.
    gzip -cdf -- "$(idx_path "$dataset" "$name")" 2>/dev/null || true
  done | sha256sum)
  case ${digest%% *} in
    "$MNIST_SHA256") data_tag=mnist ;;
    "$FASHION_SHA256") data_tag=fashion ;;
    *) data_tag=own-${digest:0:8} ;;
  esac
}

choose_data() {
  local missing
  if [[ -n ${MNIST:-} ]]; then
    [[ -d $MNIST ]] || die "MNIST=$MNIST: no such folder; name the one with the four IDX files"
    missing=$(lacking "$MNIST")
    [[ -z $missing ]] || die "MNIST=$MNIST: $missing is missing there, plain and .gz; name the folder with the four IDX files"
    dataset=$MNIST
    data_why="because MNIST= names it"
  elif [[ -z $(lacking data) ]]; then
    dataset=data
    data_why="from data/"
  else
    missing=$(lacking "$FASHION_MNIST")
    [[ -z $missing ]] || die "no data set: MNIST is not in data/ and Fashion-MNIST not in $FASHION_MNIST; \
run data/get.sh with a network, or install the package dataset-fashion-mnist, or set MNIST=FOLDER"
    dataset=$FASHION_MNIST
    data_why="because MNIST is not in data/ and could not be fetched"
  fi
  identify_data
}

data_title() {
  case $data_tag in
    mnist) echo "MNIST, handwritten digits" ;;
    fashion) echo "Fashion-MNIST, pictures of clothes in MNIST's format" ;;
    *) echo "your own data set" ;;
  esac
}

# ---- which weights ----

is_random() {
  [[ $1 == random || $1 == random:* ]]
}

choose_weights() {
  if [[ -n ${VGG16_WEIGHTS:-} ]]; then
    weights=$VGG16_WEIGHTS
    weights_why="because VGG16_WEIGHTS= names it"
    is_random "$weights" || [[ -f $weights && -r $weights ]] ||
      die "VGG16_WEIGHTS=$weights: no such file; name a Keras weights file, or random[:SEED]"
  elif [[ -f data/$imagenet_name ]]; then
    weights=data/$imagenet_name
    weights_why="from data/"
  else
    weights=$RANDOM_WEIGHTS
    weights_why="because the ImageNet weights are not in data/ and could not be fetched"
  fi
  identify_weights
}

identify_weights() {
  local digest
  if is_random "$weights"; then
    weights_tag=${weights//:/-}
    weights_tag=${weights_tag//\//-}
    return 0
  fi
  digest=$(md5sum <"$weights")
  case ${digest%% *} in
    "$imagenet_md5") weights_tag=imagenet ;;
    *) weights_tag=own-${digest:0:8} ;;
  esac
}

weights_title() {
  case $weights_tag in
    imagenet) echo "VGG16's ImageNet weights" ;;
    random*) echo "a random backbone ($weights), never trained on anything" ;;
    *) echo "your own weights" ;;
  esac
}

# ---- what to expect ----

# Figures that were measured or published; where there is none, it says so.
expectation() {
  case $data_tag/${weights_tag%%-*} in
    mnist/imagenet) echo "more than 86.6 % of the test images, which the original exercise had after 2 epochs" ;;
    mnist/random) echo "92 to 97 % of the test images: Adam is at 92.0 % after 5 epochs, a converged head at 97.0 %" ;;
    fashion/random) echo "about 85 % of the test images; a converged, regularised head is at 85.7 %" ;;
    *) echo "nothing in particular: no figure is known for this combination" ;;
  esac
}

# ---- the job ----

# Fetches what data/ lacks and nobody named. Failing is no error: there are stand-ins, and the choice says so.
fetch_missing() {
  local status=0
  local -a sets=()
  [[ -n ${MNIST:-} || -z $(lacking data) ]] || sets+=(mnist)
  [[ -n ${VGG16_WEIGHTS:-} || -f data/$imagenet_name ]] || sets+=(weights)
  ((${#sets[@]})) || return 0
  printf 'Fetching what data/ lacks (without a network this fails at once, and a stand-in is used)\n'
  data/get.sh "${sets[@]}" || status=$?
  ((status < 128)) || exit "$status"
  printf '\n'
}

name_results() {
  local stem=build/demo/$data_tag-$weights_tag
  mkdir -p build/demo || die "cannot make the folder build/demo; look at the permissions of $root"
  cache=$stem.h5
  head_file=$stem.head.h5
  history_file=$stem.history.csv
  extract_json=$stem.extract.json
  train_json=$stem.train.json
  rm -f -- "$extract_json" "$train_json" # the summary must not speak of an earlier run
}

announce() {
  printf 'Data     %s (%s), %s\n' "$(data_title)" "$dataset" "$data_why"
  printf 'Weights  %s, %s\n' "$(weights_title)" "$weights_why"
  printf 'Expect   %s\n\n' "$(expectation)"
}

# Runs a command after showing it; its failure, which it has explained itself, ends the demo with its status.
run() {
  local status=0
  printf '$%s\n' "$(printf ' %q' "$@")"
  "$@" || status=$?
  ((status == 0)) || exit "$status"
  printf '\n'
}

# ---- the summary ----

# Prints what FILTER gives for a JSON report; a report without it is a failure, not an empty place in the summary.
field() {
  jq -er "$2" "$1" 2>/dev/null || die "$1: not the report that was expected (it lacks $2); run 'make' and then this again"
}

speed_of_extract() {
  local images rate engine isa threads resumed
  images=$(field "$extract_json" .images) || exit 1
  if ((images == 0)); then
    echo "the feature cache was already there, complete"
    return 0
  fi
  rate=$(field "$extract_json" .images_per_second) || exit 1
  engine=$(field "$extract_json" .engine) || exit 1
  isa=$(field "$extract_json" .isa) || exit 1
  threads=$(field "$extract_json" .threads) || exit 1
  resumed=$(field "$extract_json" .resumed) || exit 1
  ((resumed == 0)) || images+=", after $resumed that were there"
  printf '%.0f images per second (images: %s; engine %s, %s, threads: %d)\n' "$rate" "$images" "$engine" "$isa" "$threads"
}

speed_of_train() {
  local epochs seconds rate
  epochs=$(field "$train_json" .epochs) || exit 1
  seconds=$(field "$train_json" .seconds) || exit 1
  rate=$(field "$train_json" "(if .seconds > 0 then .epochs / .seconds else 0 end)") || exit 1
  if [[ $rate == 0 ]]; then # too quick for the clock, or no epoch at all
    printf '%d epochs in %.1f s\n' "$epochs" "$seconds"
  else
    printf '%.1f epochs per second (%d epochs in %.1f s)\n' "$rate" "$epochs" "$seconds"
  fi
}

result_on() {
  local loss accuracy rows
  loss=$(field "$train_json" ".$1.loss") || exit 1
  accuracy=$(field "$train_json" "(.$1.accuracy * 100)") || exit 1
  rows=$(field "$train_json" ".$1.rows") || exit 1
  printf 'loss %.4f, accuracy %.2f %% (%d images)\n' "$loss" "$accuracy" "$rows"
}

line() {
  printf '  %-14s %s\n' "$1" "$2"
}

summary() {
  local extract_speed train_speed on_train on_test
  extract_speed=$(speed_of_extract) || exit 1
  train_speed=$(speed_of_train) || exit 1
  on_train=$(result_on train) || exit 1
  on_test=$(result_on test) || exit 1
  printf 'Summary\n'
  line data "$(data_title)"
  line backbone "$(weights_title)"
  line extract "$extract_speed"
  line train "$train_speed"
  line "training set" "$on_train"
  line "test set" "$on_test"
  line expected "$(expectation)"
  line cache "$cache"
  line head "$head_file"
  line history "$history_file"
  line reports "$extract_json, $train_json"
  printf '\nTry next, from %s\n' "$root"
  suggestions
}

suggestions() {
  command_line "$BIN/train" --optimizer=sgd --momentum=0.9 --output="${head_file%.h5}-sgd.h5" "$cache"
  command_line "$BIN/train" --predict="$head_file" "$cache"
  if [[ $weights_tag == random* ]]; then
    printf '  data/get.sh && make demo\n'
  else
    command_line "$BIN/extract" --preprocess=caffe --weights="$weights" --output="${cache%.h5}-caffe.h5" "$dataset"
  fi
}

command_line() {
  local words
  words=$(printf ' %q' "$@")
  printf '  %s\n' "${words# }"
}

main() {
  parse_arguments "$@"
  enter_root
  read_table
  check_tools
  # What was named and is wrong is said before anything is fetched.
  [[ -z ${MNIST:-} ]] || choose_data
  [[ -z ${VGG16_WEIGHTS:-} ]] || choose_weights
  fetch_missing
  [[ -n $dataset ]] || choose_data
  [[ -n $weights ]] || choose_weights
  name_results
  announce
  run "$BIN/extract" --output="$cache" --weights="$weights" --json="$extract_json" "$dataset"
  run "$BIN/train" --json="$train_json" --history="$history_file" --output="$head_file" "$cache"
  summary
}

main "$@"
