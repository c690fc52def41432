# SPDX-License-Identifier: Apache-2.0
# A thin front to CMake: see `make help`. The build itself is CMakeLists.txt and CMakePresets.json.

PRESET ?= release
BUILD := build/$(PRESET)
# Given to CMake at every configuration, as in: make CMAKE_ARGS=-DWHORL_MPI=OFF
CMAKE_ARGS ?=
# Given to ctest, as in: make asan TESTS="-R unit"
TESTS ?=
# As in: make demo NRANKS=8
NCPUS := $(shell nproc 2>/dev/null || echo 2)
NRANKS ?= $(shell n=$(NCPUS); [ $$n -lt 2 ] && n=2; [ $$n -gt 4 ] && n=4; echo $$n)
DEMO := $(BUILD)/perf-tests/all_reduce_perf -b 8 -e 16M -f 4 -P $(NRANKS)

.PHONY: all build demo check deps asan tsan clean install peers peers-tcp peers-deps docs format help

all: build

build:
	@cmake --preset $(PRESET) $(CMAKE_ARGS)
	@cmake --build $(BUILD)

demo:
	@sh tools/install_deps.sh build
	@$(MAKE) --no-print-directory build
	@echo
	@echo "$$ $(DEMO)"
	@$(DEMO)

check:
	@sh tools/install_deps.sh test
	@$(MAKE) --no-print-directory build
	@python3 tools/run_tests.py $(BUILD) $(TESTS)

deps:
	@sh tools/install_deps.sh all

asan tsan:
	@$(MAKE) --no-print-directory build PRESET=$@
	@python3 tools/run_tests.py build/$@ --no-checks $(TESTS)

install: build
	@cmake --install $(BUILD) $(if $(PREFIX),--prefix $(PREFIX))

peers: build
	@python3 perf-tests/peers/compare.py $(BUILD) $(if $(PEERS),--peers "$(PEERS)") \
		$(if $(filter-out file,$(origin NRANKS)),--nranks "$(NRANKS)") \
		$(if $(OPS),--ops "$(OPS)") $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(SVG),--svg $(SVG)) $(PEERS_ARGS)

peers-tcp: build
	@python3 perf-tests/peers/compare.py $(BUILD) --hosts "$(or $(HOSTS),all)" \
		$(if $(PEERS),--peers "$(PEERS)") $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(SVG),--svg $(SVG)) $(PEERS_ARGS)

peers-deps:
	@bash perf-tests/peers/install.sh build/peers $(PEERS)

docs: build
	@mkdir -p docs/reference
	@for page in config results log algorithms; do \
		$(BUILD)/tools/gen_docs $$page > docs/reference/$$page.md || exit 1; done

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build

help:
	@echo "make            build into $(BUILD); PRESET=debug|asan|tsan for others"
	@echo "make demo       install what is missing, build, measure AllReduce ($(NRANKS) processes)"
	@echo "make check      install what is missing, build, run every test and check"
	@echo "make deps       install everything, optional packages too (apt or dnf)"
	@echo "make asan       build with Address- and UndefinedBehaviorSanitizer, run the tests; also: tsan"
	@echo "make install    install the release build; PREFIX=/where/to"
	@echo "make peers      against the other libraries that are here, in turns, as ratios (12 minutes);"
	@echo "                PEERS='openmpi gloo' NRANKS='2 4' OPS=all_reduce ROUNDS=5 PEERS_ARGS=--quick"
	@echo "make peers-tcp  the same over TCP, between network namespaces; HOSTS='2x1 2x2', as root"
	@echo "make peers-deps get the other libraries: Debian's MPIs, and wheels below build/peers"
	@echo "make docs       write docs/reference/ from the library's tables"
	@echo "make format     clang-format every tracked C file"
	@echo "make clean      remove build/"
