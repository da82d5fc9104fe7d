# pgdrove: `make help` lists the targets. Objects are out of tree: build/ for the product, build/asan, build/tsan,
# build/fuzz, build/clang for the others. Adding a .c file to a folder is enough; there is no list to edit.

MODE      ?= release
CC        ?= cc
PREFIX    ?= /usr/local
SBINDIR   ?= $(PREFIX)/sbin
MANDIR    ?= $(PREFIX)/share/man
DOCDIR    ?= $(PREFIX)/share/doc/pgdrove
UNITDIR   ?= $(PREFIX)/lib/systemd/system
SYSCONFDIR ?= /etc
WERROR    ?=
FUZZ_SECONDS ?= 60
E2E_JOBS  ?= $(shell expr $$(nproc) + 1)
VERSION   := 0.1.0

ifeq ($(origin CC),default)
CC := gcc
endif

# --- packages: one line naming what is missing ---------------------------------------------------------------------
PKGS      := openssl libconfig libbsd
DEBS      := libssl-dev libconfig-dev libbsd-dev libcmocka-dev libpq-dev pkg-config
NOBUILD   := help clean fmt fmt-check distclean uninstall
ifneq ($(filter-out $(NOBUILD),$(or $(MAKECMDGOALS),all)),)
ifneq ($(shell pkg-config --exists $(PKGS) cmocka libpq 2>/dev/null && echo yes),yes)
$(error missing development packages: apt-get install $(DEBS))
endif
# PAM and LDAP are used where their headers are; without them auth_type pam and ldap are refused by name. To leave them
# out where they are: make PAM_LIBS= LDAP_LIBS=
has_header  = $(shell printf '\043include <$(1)>\n' | $(CC) -E -x c - >/dev/null 2>&1 && echo yes)
PAM_LIBS   := $(if $(call has_header,security/pam_appl.h),-lpam)
LDAP_LIBS  := $(if $(call has_header,ldap.h),-lldap -llber)
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS)) $(if $(PAM_LIBS),-DHAVE_PAM) $(if $(LDAP_LIBS),-DHAVE_LDAP)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS)) $(PAM_LIBS) $(LDAP_LIBS) -lm -pthread
TEST_CFLAGS := $(shell pkg-config --cflags cmocka libpq)
TEST_LIBS   := $(shell pkg-config --libs cmocka libpq)
endif

# --- flags ------------------------------------------------------------------------------------------------------------
ifneq ($(filter clang fuzz,$(MODE)),)
override CC := clang
endif
IS_CLANG := $(findstring clang,$(shell $(CC) --version 2>/dev/null))
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wpointer-arith -Wcast-qual -Wcast-align -Wwrite-strings -Wformat=2 -Wundef -Wvla -Wnull-dereference \
	-Wimplicit-fallthrough -Wconversion -Wswitch-enum
ifeq ($(IS_CLANG),)
WARN += -Wduplicated-cond -Wlogical-op
else
WARN += -Wno-gnu-zero-variadic-macro-arguments
endif
HARDEN := -fstack-protector-strong -fPIE -fno-common
BASE := -std=c11 -D_GNU_SOURCE -DPGDROVE_VERSION='"$(VERSION)"' -I. $(WARN) $(WERROR) $(HARDEN) -g $(PKG_CFLAGS)
LDBASE := -pie -Wl,-z,relro,-z,now

ifeq ($(MODE),release)
OUT := build
MODEFLAGS := -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fno-plt
# A worker shares its core with PostgreSQL and finds its code cold whenever it runs: small and close together it costs
# a third less time in user space (scripts/bench --fair, 4 workers). Tests are linked from the same objects without.
ifeq ($(IS_CLANG),)
LTO := -flto=auto -ffat-lto-objects
TESTLD := -fno-lto
endif
else ifeq ($(MODE),asan)
OUT := build/asan
MODEFLAGS := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
MODELD := -fsanitize=address,undefined
else ifeq ($(MODE),tsan)
OUT := build/tsan
MODEFLAGS := -O1 -fno-omit-frame-pointer -fsanitize=thread
MODELD := -fsanitize=thread
else ifeq ($(MODE),clang)
override CC := clang
OUT := build/clang
MODEFLAGS := -O2
else ifeq ($(MODE),fuzz)
override CC := clang
OUT := build/fuzz
MODEFLAGS := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined
MODELD := -fsanitize=address,undefined
else
$(error unknown MODE=$(MODE): release asan tsan clang fuzz)
endif

ALL_CFLAGS := $(BASE) $(MODEFLAGS) $(CFLAGS)
ALL_LDFLAGS := $(LDBASE) $(MODELD) $(LDFLAGS)

# --- what is built -------------------------------------------------------------------------------------------------------
SRCS := $(wildcard conf/*.c proto/*.c shm/*.c worker/*.c master/*.c)
OBJS := $(SRCS:%.c=$(OUT)/obj/%.o)
LIB  := $(OUT)/libpgdrove.a
BIN  := $(OUT)/pgdrove

UNIT_SRCS  := $(wildcard tests/unit/test_*.c)
CRASH_SRCS := $(wildcard tests/crash/test_*.c)
E2E_SRCS   := $(wildcard tests/e2e/test_*.c)
E2E_TOOLS  := $(patsubst %.c,$(OUT)/%,$(wildcard tests/e2e/tool_*.c))
# The product with later records of an upgrade, for layouts.sh.
E2E_NEXT   := $(OUT)/tests/e2e/pgdrove_next
NEXT_OBJS  := $(patsubst %.c,$(OUT)/obj/next/%.o,$(shell grep -lE 'MOVE_VERSION|INHERIT_LAYOUT' $(SRCS)))
E2E_SHELL  := $(filter-out %/lib.sh,$(wildcard tests/e2e/*.sh))
E2E_LIB    := $(patsubst %.c,$(OUT)/obj/%.o,\
	$(filter-out $(E2E_SRCS) tests/e2e/tool_%,$(wildcard tests/e2e/*.c)))
FUZZ_SRCS  := $(wildcard tests/fuzz/fuzz_*.c)
BENCH_SRCS := $(wildcard tests/bench/*.c)
UNIT_BINS  := $(UNIT_SRCS:%.c=$(OUT)/%)
CRASH_BINS := $(CRASH_SRCS:%.c=$(OUT)/%)
E2E_BINS   := $(E2E_SRCS:%.c=$(OUT)/%)
FUZZ_BINS  := $(FUZZ_SRCS:%.c=$(OUT)/%)
BENCH_BINS := $(BENCH_SRCS:%.c=$(OUT)/%)

.DEFAULT_GOAL := all
.PHONY: all help check unit crash e2e asan tsan clang fuzz fuzz-build bench tests fmt fmt-check lint install uninstall \
	clean distclean
.SECONDARY:

all: $(BIN) ## build build/pgdrove (the default)

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  variables: CC MODE=release|asan|tsan|clang|fuzz WERROR=-Werror PREFIX DESTDIR CFLAGS LDFLAGS FUZZ_SECONDS E2E_JOBS"

$(OUT)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(if $(filter tests/%,$<),$(TEST_CFLAGS),$(LTO)) -MMD -MP -c -o $@ $<

$(OUT)/obj/next/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -DMOVE_VERSION=65535 -MMD -MP -c -o $@ $<

$(LIB): $(filter-out $(OUT)/obj/master/main.o,$(OBJS))
	@rm -f $@
	ar rcs $@ $^

$(BIN): $(OUT)/obj/master/main.o $(LIB)
	$(CC) $(ALL_LDFLAGS) $(LTO) -o $@ $^ $(PKG_LIBS)

$(OUT)/tests/unit/%: $(OUT)/obj/tests/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $(TESTLD) -o $@ $^ $(PKG_LIBS) $(TEST_LIBS)

$(OUT)/tests/crash/%: $(OUT)/obj/tests/crash/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $(TESTLD) -o $@ $^ $(PKG_LIBS) $(TEST_LIBS)

$(OUT)/tests/e2e/%: $(OUT)/obj/tests/e2e/%.o $(E2E_LIB) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $(TESTLD) -o $@ $^ $(PKG_LIBS) $(TEST_LIBS)

$(OUT)/tests/e2e/tool_%: $(OUT)/obj/tests/e2e/tool_%.o
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $(TESTLD) -o $@ $^ $(PKG_LIBS) $(TEST_LIBS)

$(E2E_NEXT): $(OUT)/obj/master/main.o $(NEXT_OBJS) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $(TESTLD) -o $@ $^ $(PKG_LIBS)

# Linked as the product is: what is measured is what serves.
$(OUT)/tests/bench/scan: TESTLD := $(LTO)
$(OUT)/tests/bench/scan: $(LIB)
$(OUT)/tests/bench/%: $(OUT)/obj/tests/bench/%.o
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $(TESTLD) -o $@ $^ $(PKG_LIBS) $(TEST_LIBS)

$(OUT)/tests/fuzz/%: $(OUT)/obj/tests/fuzz/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $(TESTLD) -fsanitize=fuzzer -o $@ $^ $(PKG_LIBS)

tests: $(BIN) $(UNIT_BINS) $(CRASH_BINS) $(E2E_BINS) $(E2E_TOOLS) $(E2E_NEXT) ## build the tests of this MODE

unit: $(UNIT_BINS) ## run the unit tests of this MODE
	@tests/run-all $(UNIT_BINS)

crash: $(CRASH_BINS) ## run the kill sweeps of this MODE
	@tests/run-all $(CRASH_BINS)

e2e: $(BIN) $(E2E_BINS) $(E2E_TOOLS) $(E2E_NEXT) ## run the end-to-end tests of this MODE (needs PostgreSQL's binaries)
	@PGDROVE_BIN=$(BIN) JOBS=$(E2E_JOBS) ALONE=test_fairness tests/run-all $(E2E_BINS) $(E2E_SHELL)

check: ## everything scripts/check runs, without installing packages
	scripts/check --no-install

asan: ## build with AddressSanitizer and UBSan into build/asan
	$(MAKE) MODE=asan all tests

tsan: ## build with ThreadSanitizer into build/tsan
	$(MAKE) MODE=tsan all

clang: ## build with clang into build/clang
	$(MAKE) MODE=clang all tests

fuzz-build:
	$(MAKE) MODE=fuzz fuzz-bins

.PHONY: fuzz-bins
fuzz-bins: $(FUZZ_BINS)

fuzz: ## run every fuzz target for FUZZ_SECONDS each (clang, libFuzzer)
	$(MAKE) MODE=fuzz fuzz-bins
	tests/fuzz/run $(FUZZ_SECONDS)

bench: $(BIN) $(BENCH_BINS) ## side by side with PgBouncer: see scripts/bench --help
	scripts/bench

FMT_FILES = $(shell git ls-files '*.c' '*.h' 2>/dev/null)
fmt: ## format the C sources in place
	clang-format -i $(FMT_FILES)

fmt-check: ## fail if a C source is not formatted
	clang-format --dry-run -Werror $(FMT_FILES)

lint: ## shellcheck, man page and static checks
	tests/lint

CONFDIR := $(SYSCONFDIR)/pgdrove
TOOLS   := pgdrove-top pgdrove-check pgdrove-upgrade

install: $(BIN) ## install under $(DESTDIR)$(PREFIX); a configuration that exists is kept
	install -d $(addprefix $(DESTDIR),$(SBINDIR) $(MANDIR)/man8 $(MANDIR)/man5 $(UNITDIR) $(DOCDIR) $(CONFDIR) \
		$(SYSCONFDIR)/logrotate.d)
	install -m 0755 $(BIN) $(DESTDIR)$(SBINDIR)/pgdrove
	install -m 0755 $(TOOLS:%=scripts/%) $(DESTDIR)$(SBINDIR)
	test -e $(DESTDIR)$(SYSCONFDIR)/logrotate.d/pgdrove || \
		install -m 0644 scripts/pgdrove.logrotate $(DESTDIR)$(SYSCONFDIR)/logrotate.d/pgdrove
	install -m 0644 master/pgdrove.8 $(DESTDIR)$(MANDIR)/man8/pgdrove.8
	install -m 0644 conf/pgdrove.conf.5 $(DESTDIR)$(MANDIR)/man5/pgdrove.conf.5
	install -m 0644 README.md LICENSE conf/pgdrove.conf $(DESTDIR)$(DOCDIR)
	sed -e 's,/usr/local/sbin/,$(SBINDIR)/,' -e 's,/etc/pgdrove,$(CONFDIR),' scripts/pgdrove.service \
		>$(DESTDIR)$(UNITDIR)/pgdrove.service
	chmod 0644 $(DESTDIR)$(UNITDIR)/pgdrove.service
	test -e $(DESTDIR)$(CONFDIR)/pgdrove.conf || \
		install -m 0640 conf/pgdrove.conf $(DESTDIR)$(CONFDIR)/pgdrove.conf

uninstall: ## remove what install put there, but not the configuration
	rm -f $(addprefix $(DESTDIR),$(SBINDIR)/pgdrove $(TOOLS:%=$(SBINDIR)/%) $(MANDIR)/man8/pgdrove.8 $(MANDIR)/man5/pgdrove.conf.5 \
		$(SYSCONFDIR)/logrotate.d/pgdrove $(UNITDIR)/pgdrove.service $(DOCDIR)/README.md $(DOCDIR)/LICENSE $(DOCDIR)/pgdrove.conf)
	! test -d $(DESTDIR)$(DOCDIR) || rmdir $(DESTDIR)$(DOCDIR)

clean: ## remove this MODE's objects and programs
	rm -rf $(OUT)/obj $(OUT)/tests $(LIB) $(BIN)

distclean: ## remove build/
	rm -rf build

-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)
