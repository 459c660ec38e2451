# vggcache: VGG16 features once (extract), a classifier head as often as you like (train).
#
# Variables of the user:
#   CONFIG    release (the default, into bin/), debug, asan, tsan; the others build into build/CONFIG/bin/
#   CC        the compiler, gcc or clang
#   CFLAGS    added last, for instance -O3 -march=native
#   PREFIX    where install puts things (/usr/local); DESTDIR is put before it
#   OPENBLAS  the file of OpenBLAS that the programs load, a name or a path (libopenblas.so.0)
#   PYTHON    the python3 that has Debian's python3-* packages
#   T         a word: make test, asan and tsan run the files with it in their names
#   V=1       shows the commands

CONFIG ?= release
CFLAGS ?=
PREFIX ?= /usr/local
PYTHON ?= /usr/bin/python3
OPENBLAS ?= libopenblas.so.0
VERSION := 1.0.0

# The packages of Debian 12, in one place: to build and run, and what the tests and checks need on top.
PACKAGES := gcc libc6-dev pkg-config libhdf5-dev libopenblas-openmp-dev zlib1g-dev libssl-dev libisal-dev libcjson-dev \
            libprotobuf-c-dev protobuf-c-compiler ca-certificates curl jq
PACKAGES_TEST := libcmocka-dev python3 python3-numpy python3-h5py python3-opencv python3-torch python3-sklearn liblinear-tools \
                 clang libomp-dev clang-format shellcheck binutils procps help2man dataset-fashion-mnist python3-onnx \
                 chromium chromium-driver \
                 $(if $(shell command -v npm),,nodejs npm)
PACKAGES_DEMO := dataset-fashion-mnist

Q := $(if $(filter 1,$(V)),,@)
BUILD := build/$(CONFIG)
BIN := $(if $(filter release,$(CONFIG)),bin,$(BUILD)/bin)

OPTIMISE_release := -O3 -g
OPTIMISE_debug := -O0 -g3
OPTIMISE_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPTIMISE_tsan := -O1 -g -fsanitize=thread
ifeq ($(origin OPTIMISE_$(CONFIG)),undefined)
$(error CONFIG=$(CONFIG): must be release, debug, asan or tsan)
endif

WARNINGS := -Wall -Wextra -Wshadow -Wundef -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wformat=2 \
            -Wwrite-strings $(if $(findstring clang,$(CC)),,-Wno-format-truncation)
MODULES := hdf5 openblas zlib libcrypto libisal libcjson libprotobuf-c

# What protoc-c makes of the .proto files; the same for every configuration.
PROTO := build/proto

# Evaluated in the recipes, because on a bare machine pkg-config comes with `make deps`.
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DVGGCACHE_VERSION='"$(VERSION)"' -DBLAS_LIBRARY='"$(OPENBLAS)"' -I. -I$(PROTO) -fopenmp $(OPTIMISE_$(CONFIG)) $(WARNINGS) \
             $(shell pkg-config --cflags $(MODULES)) $(CFLAGS)
# OpenBLAS is loaded when it is needed (common/base/blas.h), not linked.
LIBS = $(shell pkg-config --libs $(filter-out openblas,$(MODULES))) -ldl -lm

MACHINE := $(shell uname -m)
ifeq ($(MACHINE),x86_64)
%_kernels_avx2.o: ISA_FLAGS := -mavx2 -mfma -mprfchw
%_kernels_avx512.o: ISA_FLAGS := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprfchw -mprefer-vector-width=512
endif

# All C files below a folder; the objects of all but main.c.
sources = $(sort $(wildcard $(1)/*.c $(1)/*/*.c $(1)/*/*/*.c))
objects = $(filter-out %/main.o,$(patsubst %.c,$(BUILD)/%.o,$(call sources,$(1))))
COMMON := $(call objects,common)
EXTRACT := $(call objects,extract)
PROTO_FILES := $(wildcard train/*/*.proto)
PROTOS := $(patsubst %.proto,$(PROTO)/%.pb-c.h,$(PROTO_FILES))
TRAIN := $(call objects,train) $(patsubst %.proto,$(BUILD)/proto/%.pb-c.o,$(PROTO_FILES))
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(call sources,tests/unit))
TOOLS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/interop/*_tool.c))
PYTHON_TESTS := $(sort $(wildcard tests/*/test_*.py))
C_FILES := $(sort $(foreach folder,common extract train tests,$(wildcard $(addprefix $(folder)/,*.[ch] */*.[ch] */*/*.[ch]))))

.PHONY: all help deps deps-test data demo test asan tsan lint bench bench-train format install uninstall clean man check-tools
.DELETE_ON_ERROR:

## all: builds bin/extract and bin/train (the default)
all: check-tools $(BIN)/extract $(BIN)/train

## help: lists the targets
help:
	@echo "make TARGET [CONFIG=release|debug|asan|tsan] [CC=...] [CFLAGS=...] [V=1]"
	@sed -n 's/^## \([a-z-]*\): \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

## deps: installs the Debian packages to build and run that are missing (with sudo when not root)
deps:
	@.ci/install $(PACKAGES)

deps-test:
	@.ci/install $(PACKAGES) $(PACKAGES_TEST)

## data: fetches MNIST and the ImageNet weights into data/ (data/get.sh --help tells how to use local copies)
data: deps
	$(Q)data/get.sh all

## demo: the whole job on 70,000 real images; MNIST= and VGG16_WEIGHTS= name local copies
demo:
	@.ci/install $(PACKAGES) $(PACKAGES_DEMO)
	@$(MAKE) --no-print-directory all
	@data/demo.sh

check-tools:
	@command -v pkg-config protoc-c >/dev/null && pkg-config --exists $(MODULES) || \
	  { echo "make: libraries, pkg-config or protoc-c are missing; run 'make deps' first" >&2; exit 1; }

# Objects of other flags are never mixed: when the flags of a configuration change, all of it is built again.
FLAGS_FILE := $(BUILD)/flags
$(FLAGS_FILE): force
	@mkdir -p $(@D)
	@echo '$(CC) $(subst ','\'',$(ALL_CFLAGS))' | cmp -s - $@ || echo '$(CC) $(subst ','\'',$(ALL_CFLAGS))' > $@
.PHONY: force
force:

$(BUILD)/%.o: %.c $(FLAGS_FILE)
	@mkdir -p $(@D)
	$(if $(Q),@echo "CC    $<")
	$(Q)$(CC) $(ALL_CFLAGS) $(ISA_FLAGS) -MMD -MP -c $< -o $@

$(PROTO)/%.pb-c.c $(PROTO)/%.pb-c.h: %.proto
	@mkdir -p $(PROTO)
	$(if $(Q),@echo "PROTO $<")
	$(Q)protoc-c --c_out=$(PROTO) $<
$(BUILD)/train/export/export_onnx.o $(BUILD)/tests/unit/export/test_export.o: $(PROTO)/train/export/onnx.pb-c.h
$(BUILD)/train/results/tensorboard.o $(BUILD)/tests/unit/results/test_tensorboard.o: $(PROTO)/train/results/tensorboard.pb-c.h
$(BUILD)/proto/%.o: $(PROTO)/%.c $(FLAGS_FILE)
	@mkdir -p $(@D)
	$(if $(Q),@echo "CC    $<")
	$(Q)$(CC) $(ALL_CFLAGS) -w -c $< -o $@

# The report's page goes into the program as it is.
$(BUILD)/train/report/report_page.o: train/report/report.html

define link
	@mkdir -p $(@D)
	$(if $(Q),@echo "LINK  $@")
	$(Q)$(CC) $(ALL_CFLAGS) $(filter %.o,$^) $(LIBS) $(1) -o $@
endef

$(BIN)/extract: $(BUILD)/extract/main.o $(EXTRACT) $(COMMON)
	$(call link)
$(BIN)/train: $(BUILD)/train/main.o $(TRAIN) $(COMMON)
	$(call link)
$(filter $(addprefix $(BUILD)/tests/unit/,$(addsuffix /%,$(notdir $(wildcard train/*)))),$(UNIT_TESTS)): $(BUILD)/%: $(BUILD)/%.o $(TRAIN) $(COMMON)
	$(call link,-lcmocka)
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(EXTRACT) $(COMMON)
	$(call link,-lcmocka)
$(BUILD)/tests/interop/%: $(BUILD)/tests/interop/%.o $(EXTRACT) $(COMMON)
	$(call link)
$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(EXTRACT) $(COMMON)
	$(call link)

-include $(wildcard $(addprefix $(BUILD)/,*/*.d */*/*.d */*/*/*.d))

# Built with every object at hand, so that `make test` needs no second look at what is out of date.
tests-built: all $(UNIT_TESTS) $(TOOLS)
.PHONY: tests-built
.SECONDARY:

## test: installs what the tests need, builds, and runs all tests; T=WORD: the files with WORD in their names
test: deps-test
	@$(MAKE) --no-print-directory tests-built
	@$(PYTHON) tests/run.py --build=$(BUILD) --bin=$(BIN) --only='$(T)' $(UNIT_TESTS) $(PYTHON_TESTS)

## asan: the tests under AddressSanitizer and UndefinedBehaviorSanitizer
asan:
	@$(MAKE) --no-print-directory CONFIG=asan test

## tsan: the unit tests under ThreadSanitizer (clang's, with LLVM's OpenMP, which it can follow)
tsan: deps-test
	@$(MAKE) --no-print-directory CONFIG=tsan CC=clang tests-built
	@$(PYTHON) tests/run.py --build=build/tsan --bin=build/tsan/bin --tsan --only='$(T)' $(patsubst $(BUILD)/%,build/tsan/%,$(UNIT_TESTS))

## lint: format, layers, symbol prefixes, shell scripts, and no warning from gcc or clang
lint: deps-test
	@$(MAKE) --silent --no-print-directory $(PROTOS)
	@$(PYTHON) tests/lint.py $(C_FILES)
	@clang-format --dry-run -Werror $(C_FILES)
	@shellcheck .ci/run .ci/install data/*.sh
	@$(MAKE) --no-print-directory BUILD=build/lint-gcc BIN=build/lint-gcc/bin CC=gcc CFLAGS=-Werror tests-built
	@$(MAKE) --no-print-directory BUILD=build/lint-clang BIN=build/lint-clang/bin CC=clang CFLAGS=-Werror tests-built
	@echo "lint: nothing to complain about"

## bench: images per second beside other software, and where the time goes (tests/bench/README.md)
bench: deps-test
	@$(MAKE) --no-print-directory tests-built
	@$(PYTHON) tests/bench/bench.py

## bench-train: train beside the machine's bounds, PyTorch and scikit-learn (tests/bench/README.md)
bench-train: deps-test
	@$(MAKE) --no-print-directory all
	@$(PYTHON) tests/bench/bench_train.py

## format: lays out all C files by .clang-format
format:
	$(Q)clang-format -i $(C_FILES)

# The manual pages are --help and --version, laid out: they cannot drift from the programs.
MAN_NAME_extract := fill a cache of VGG16 features
MAN_NAME_train := fit a classifier head on cached features
$(BUILD)/vggcache-%.1: $(BIN)/%
	$(Q)ln -sf $(abspath $<) $(BUILD)/vggcache-$*
	$(Q)help2man --no-info --version-string='$(VERSION)' --name='$(MAN_NAME_$*)' $(BUILD)/vggcache-$* | sed -E 's/^(extract|train) /vggcache-\1 /' > $@

man: $(BUILD)/vggcache-extract.1 $(BUILD)/vggcache-train.1

## install: programs vggcache-extract and vggcache-train and their manual pages below PREFIX
install: all
	@.ci/install help2man
	@$(MAKE) --no-print-directory man
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(BIN)/extract $(DESTDIR)$(PREFIX)/bin/vggcache-extract
	install -m 755 $(BIN)/train $(DESTDIR)$(PREFIX)/bin/vggcache-train
	install -m 644 $(BUILD)/vggcache-extract.1 $(BUILD)/vggcache-train.1 $(DESTDIR)$(PREFIX)/share/man/man1

## uninstall: removes what install put there
uninstall:
	rm -f $(foreach p,extract train,$(DESTDIR)$(PREFIX)/bin/vggcache-$(p) $(DESTDIR)$(PREFIX)/share/man/man1/vggcache-$(p).1)

## clean: removes all that was built (data/ and caches stay)
clean:
	rm -rf build bin
