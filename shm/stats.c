/*
 * stats: see stats.h. The master makes the file, its children inherit the mapping, readers map it
 * read-only. A file that is not ours, or not whole, is refused with a reason.
 *
 * The file; numbers as the machine writes them (little-endian), all offsets from its start:
 *
 *   header, 192 bytes
 *     0 u64 magic "PGDROVS1"      48 u64 size of the file
 *     8 u32 version               56 u64 start time (unix us)
 *    12 u32 size of the header    64 u64 heartbeat of the master (monotonic us)
 *    16 u32 workers               72 u32 pid of the master
 *    20 u32 pools                 76 u32 state: 1 boot, 2 ready, 3 stopping, 4 stopped
 *    24 u32 sections              80 char[32] version of the program
 *    28 u32 fields
 *    32 u64 section table
 *    40 u64 field table
 *   section table, 64 bytes each
 *     0 char[24] name             40 u64 rows
 *    24 u64 first row             48 u32 its first field in the field table
 *    32 u64 size of a row         52 u32 how many fields
 *   field table, 160 bytes each
 *     0 char[32] name             40 u32 size in bytes
 *    32 u32 offset in the row     44 u32 section
 *    36 u32 kind: 1 counter,      48 char[16] unit
 *           2 gauge, 3 text,      64 char[96] help
 *           4 histogram
 *   rows, as sections and fields say: 64-bit numbers, texts padded with zeroes
 *
 * A histogram is its buckets and the sum (fields.h says which).
 *
 * A row of the section pool_name counts only if its `version` is odd and is the same before and
 * after its texts were read; even: the pool has no names, and its rows in `pool` say nothing.
 */
#include "shm/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/string.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf.h"
#include "shm/layout.h"

struct header {
	uint64_t magic;
	uint32_t version, header_size, workers, pools, section_count, field_count;
	uint64_t section_off, field_off, file_size, start_time;
	_Atomic uint64_t heartbeat;
	uint32_t master_pid;
	_Atomic uint32_t state;
	char program[32];
	char pad[80];
};

struct section {
	char name[24];
	uint64_t offset, row_size, row_count;
	uint32_t first_field, field_count;
	char pad[8];
};

struct field {
	char name[32];
	uint32_t offset, kind, size, section;
	char unit[16];
	char help[96];
};

struct pool_name {
	_Atomic uint64_t version; /* as in layout.h; written under the table's mutex */
	_Atomic uint64_t names[LAYOUT_WORDS(sizeof(struct layout_names))];
};

_Static_assert(sizeof(struct header) == 192, "the format says 192");
_Static_assert(sizeof(struct section) == 64, "the format says 64");
_Static_assert(sizeof(struct field) == 160, "the format says 160");
_Static_assert(offsetof(struct header, heartbeat) == 64, "the format says 64");
_Static_assert(offsetof(struct header, program) == 80, "the format says 80");
_Static_assert(offsetof(struct pool_name, names) == 8, "no hole in a name's row");
_Static_assert(sizeof(struct stats_time) == (STATS_BUCKETS + 1) * sizeof(uint64_t), "no hole");

enum { KIND_COUNTER = 1, KIND_GAUGE, KIND_TEXT, KIND_HISTOGRAM };
enum { SECTION_WORKER, SECTION_POOL, SECTION_POOL_TIME, SECTION_POOL_NAME, SECTIONS };

#define NAME_FIELDS 3 /* version, database, user */

#define COUNTER			  true
#define GAUGE			  false
#define X(name, kind, unit, help) {#name, unit, help, kind},
const struct stats_field stats_worker_fields[] = {STATS_WORKER_FIELDS(X)};
const struct stats_field stats_pool_fields[] = {STATS_POOL_FIELDS(X)};
#undef X
#define X(name, help) {#name, "us", help, true},
const struct stats_field stats_time_fields[] = {STATS_TIMES(X)};
#undef X
const size_t stats_ntime_fields = sizeof(stats_time_fields) / sizeof(stats_time_fields[0]);
const size_t stats_nworker_fields = sizeof(stats_worker_fields) / sizeof(stats_worker_fields[0]);
const size_t stats_npool_fields = sizeof(stats_pool_fields) / sizeof(stats_pool_fields[0]);

struct stats {
	struct header *h;
	size_t size;
	dev_t dev; /* of the file; of readers only */
	ino_t ino;
	char *rows[SECTIONS];
	size_t row_size[SECTIONS];
};

static size_t
line(size_t n)
{
	return (n + 63) / 64 * 64;
}

static void
fill_fields(struct field *f, uint32_t section, const struct stats_field *from, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++, f++) {
		strlcpy(f->name, from[i].name, sizeof(f->name));
		strlcpy(f->unit, from[i].unit, sizeof(f->unit));
		strlcpy(f->help, from[i].help, sizeof(f->help));
		f->offset = (uint32_t)(i * sizeof(uint64_t));
		f->kind = from[i].counter ? KIND_COUNTER : KIND_GAUGE;
		f->size = sizeof(uint64_t);
		f->section = section;
	}
}

static void
fill_time_fields(struct field *f)
{
	size_t i;

	fill_fields(f, SECTION_POOL_TIME, stats_time_fields, stats_ntime_fields);
	for (i = 0; i < stats_ntime_fields; i++) {
		f[i].kind = KIND_HISTOGRAM;
		f[i].offset = (uint32_t)(i * sizeof(struct stats_time));
		f[i].size = sizeof(struct stats_time);
	}
}

static void
fill_name_fields(struct field *f)
{
	static const struct field names[NAME_FIELDS] = {
	    {"version", offsetof(struct pool_name, version), KIND_GAUGE, sizeof(uint64_t),
		SECTION_POOL_NAME, "count", "odd: the names are whole; other names, other version"},
	    {"database", offsetof(struct pool_name, names) + offsetof(struct layout_names, db),
		KIND_TEXT, CONF_NAME_SIZE, SECTION_POOL_NAME, "", "database the clients ask for"},
	    {"user", offsetof(struct pool_name, names) + offsetof(struct layout_names, user),
		KIND_TEXT, CONF_NAME_SIZE, SECTION_POOL_NAME, "", "user at the server"},
	};

	memcpy(f, names, sizeof(names));
}

static void
plan_sections(struct section *s, uint32_t workers, uint32_t pools, size_t at, size_t *end)
{
	static const char *const names[SECTIONS] = {"worker", "pool", "pool_time", "pool_name"};
	const size_t sizes[SECTIONS] = {line(sizeof(struct stats_worker)),
	    line(sizeof(struct stats_pool)), line(sizeof(struct stats_times)),
	    line(sizeof(struct pool_name))};
	const size_t counts[SECTIONS] = {
	    workers, (size_t)workers * pools, (size_t)workers * pools, pools};
	const size_t fields[SECTIONS] = {
	    stats_nworker_fields, stats_npool_fields, stats_ntime_fields, NAME_FIELDS};
	uint32_t first = 0;
	int i;

	at = (at + 4095) / 4096 * 4096;
	for (i = 0; i < SECTIONS; i++) {
		strlcpy(s[i].name, names[i], sizeof(s[i].name));
		s[i].offset = at;
		s[i].row_size = sizes[i];
		s[i].row_count = counts[i];
		s[i].first_field = first;
		s[i].field_count = (uint32_t)fields[i];
		first += (uint32_t)fields[i];
		at += (sizes[i] * counts[i] + 4095) / 4096 * 4096;
	}
	*end = at;
}

static void
attach_rows(struct stats *st)
{
	struct section *s = (struct section *)(void *)((char *)st->h + st->h->section_off);
	int i;

	for (i = 0; i < SECTIONS; i++) {
		st->rows[i] = (char *)st->h + s[i].offset;
		st->row_size[i] = s[i].row_size;
	}
}

static void
fill_header(struct header *h, uint32_t workers, uint32_t pools, size_t nfields, size_t size)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	h->magic = STATS_MAGIC;
	h->version = STATS_VERSION;
	h->header_size = sizeof(*h);
	h->workers = workers;
	h->pools = pools;
	h->section_count = SECTIONS;
	h->field_count = (uint32_t)nfields;
	h->section_off = sizeof(*h);
	h->field_off = sizeof(*h) + SECTIONS * sizeof(struct section);
	h->file_size = size;
	h->start_time = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
	h->master_pid = (uint32_t)getpid();
	h->state = STATS_BOOTING;
	strlcpy(h->program, PGDROVE_VERSION, sizeof(h->program));
}

/* The file under its temporary name, mapped. NULL with errno, and no file. */
static void *
create_file(const char *tmp, size_t size)
{
	void *map = MAP_FAILED;
	int fd, saved;

	(void)unlink(tmp);
	fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd == -1)
		return NULL;
	if (ftruncate(fd, (off_t)size) == 0)
		map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	saved = errno;
	(void)close(fd);
	if (map != MAP_FAILED)
		return map;
	(void)unlink(tmp);
	errno = saved;
	return NULL;
}

static void
fill_tables(struct stats *st, const struct section *plan)
{
	struct field *f = (struct field *)(void *)((char *)st->h + st->h->field_off);

	memcpy((char *)st->h + st->h->section_off, plan, SECTIONS * sizeof(*plan));
	fill_fields(f, SECTION_WORKER, stats_worker_fields, stats_nworker_fields);
	f += stats_nworker_fields;
	fill_fields(f, SECTION_POOL, stats_pool_fields, stats_npool_fields);
	f += stats_npool_fields;
	fill_time_fields(f);
	fill_name_fields(f + stats_ntime_fields);
}

static size_t
head_size(size_t *nfields)
{
	*nfields = stats_nworker_fields + stats_npool_fields + stats_ntime_fields + NAME_FIELDS;
	return sizeof(struct header) + SECTIONS * sizeof(struct section) +
	       *nfields * sizeof(struct field);
}

struct stats *
stats_create(const char *path, uint32_t workers, uint32_t pools)
{
	struct section plan[SECTIONS] = {0};
	struct stats *st;
	char tmp[PATH_MAX];
	size_t nfields;
	int saved;

	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.new", path) >= sizeof(tmp)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	st = calloc(1, sizeof(*st));
	if (st == NULL)
		return NULL;
	plan_sections(plan, workers, pools, head_size(&nfields), &st->size);
	st->h = create_file(tmp, st->size);
	if (st->h == NULL) {
		free(st);
		return NULL;
	}
	fill_header(st->h, workers, pools, nfields, st->size);
	fill_tables(st, plan);
	attach_rows(st);
	if (rename(tmp, path) == 0)
		return st;
	saved = errno;
	(void)unlink(tmp);
	stats_close(st);
	errno = saved;
	return NULL;
}

static bool
has_fields(const struct field *f, const struct stats_field *ours, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strncmp(f[i].name, ours[i].name, sizeof(f[i].name)) != 0)
			return false;
	return true;
}

/* In the same order: rows are read as structs. */
static bool
knows_fields(const struct header *h)
{
	const struct field *f = (const void *)((const char *)h + h->field_off);

	return has_fields(f, stats_worker_fields, stats_nworker_fields) &&
	       has_fields(f + stats_nworker_fields, stats_pool_fields, stats_npool_fields) &&
	       has_fields(f + stats_nworker_fields + stats_npool_fields, stats_time_fields,
		   stats_ntime_fields);
}

/* Everything a reader will follow lies inside the file, and is what this binary knows. */
static bool
sound(const struct header *h, size_t size)
{
	struct section plan[SECTIONS] = {0};
	size_t nfields, head = head_size(&nfields), end;

	if (h->magic != STATS_MAGIC || h->version != STATS_VERSION)
		return false;
	if (h->header_size != sizeof(*h) || h->section_count != SECTIONS ||
	    h->field_count != nfields || h->section_off != sizeof(*h) ||
	    h->field_off != sizeof(*h) + sizeof(plan) || h->workers == 0 || h->workers > 1024 ||
	    h->pools > 65535 || size < head)
		return false;
	plan_sections(plan, h->workers, h->pools, head, &end);
	return end == size && h->file_size == size &&
	       memcmp((const char *)h + h->section_off, plan, sizeof(plan)) == 0 && knows_fields(h);
}

/* 0, or -1 with a message in `why`. */
static int
map_file(struct stats *st, const char *path, int fd, char *why, size_t why_size)
{
	struct stat sb;

	if (fd == -1 || fstat(fd, &sb) == -1) {
		(void)snprintf(why, why_size, "%s: %s", path, strerror(errno));
		return -1;
	}
	st->size = (size_t)sb.st_size;
	st->dev = sb.st_dev;
	st->ino = sb.st_ino;
	if (!S_ISREG(sb.st_mode) || st->size < sizeof(struct header)) {
		(void)snprintf(why, why_size, "%s: not a statistics segment", path);
		return -1;
	}
	st->h = mmap(NULL, st->size, PROT_READ, MAP_SHARED, fd, 0);
	if (st->h == MAP_FAILED) {
		(void)snprintf(why, why_size, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (sound(st->h, st->size))
		return 0;
	(void)snprintf(why, why_size, "%s: not a statistics segment of this version", path);
	(void)munmap(st->h, st->size);
	return -1;
}

struct stats *
stats_open(const char *path, char *why, size_t why_size)
{
	struct stats *st = calloc(1, sizeof(*st));
	int fd, rc;

	if (st == NULL) {
		(void)snprintf(why, why_size, "%s: %s", path, strerror(errno));
		return NULL;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	rc = map_file(st, path, fd, why, why_size);
	if (fd != -1)
		(void)close(fd);
	if (rc == -1) {
		free(st);
		return NULL;
	}
	attach_rows(st);
	return st;
}

bool
stats_is_at(const struct stats *st, const char *path)
{
	struct stat now;

	return stat(path, &now) == 0 && now.st_dev == st->dev && now.st_ino == st->ino;
}

void
stats_close(struct stats *st)
{
	(void)munmap(st->h, st->size);
	free(st);
}

uint32_t
stats_workers(const struct stats *st)
{
	return st->h->workers;
}

uint32_t
stats_pools(const struct stats *st)
{
	return st->h->pools;
}

struct stats_worker *
stats_worker(struct stats *st, uint32_t w)
{
	return (struct stats_worker *)(void *)(st->rows[SECTION_WORKER] +
					       w * st->row_size[SECTION_WORKER]);
}

struct stats_pool *
stats_pool(struct stats *st, uint32_t pool, uint32_t w)
{
	size_t row = (size_t)pool * st->h->workers + w;

	return (
	    struct stats_pool *)(void *)(st->rows[SECTION_POOL] + row * st->row_size[SECTION_POOL]);
}

struct stats_times *
stats_times(struct stats *st, uint32_t pool, uint32_t w)
{
	size_t row = (size_t)pool * st->h->workers + w;

	return (struct stats_times *)(void *)(st->rows[SECTION_POOL_TIME] +
					      row * st->row_size[SECTION_POOL_TIME]);
}

static struct pool_name *
pool_name(const struct stats *st, uint32_t pool)
{
	return (struct pool_name *)(void *)(st->rows[SECTION_POOL_NAME] +
					    pool * st->row_size[SECTION_POOL_NAME]);
}

void
stats_error(struct stats_pool *row, const char *sqlstate)
{
	static const struct stats_field classes[] = {
#define X(name, kind, unit, help) {#name, unit, help, kind},
	    STATS_ERROR_FIELDS(X)
#undef X
	};
	const size_t n = sizeof(classes) / sizeof(classes[0]), prefix = strlen("errors_");
	_Atomic uint64_t *fields = &row->errors_08;
	size_t i = 0;

	_Static_assert(offsetof(struct stats_pool, errors_other) ==
			   offsetof(struct stats_pool, errors_08) +
			       (sizeof(classes) / sizeof(classes[0]) - 1) * sizeof(*fields),
	    "one after the other");
	while (
	    i < n - 1 && (sqlstate == NULL || strncmp(classes[i].name + prefix, sqlstate, 2) != 0))
		i++;
	stats_add(&fields[i], 1);
}

void
stats_set_state(struct stats *st, enum stats_state s)
{
	atomic_store_explicit(&st->h->state, s, memory_order_release);
}

void
stats_master_beat(struct stats *st, int64_t now_us)
{
	atomic_store_explicit(&st->h->heartbeat, (uint64_t)now_us, memory_order_relaxed);
}

enum stats_state
stats_state(const struct stats *st)
{
	return (enum stats_state)atomic_load_explicit(&st->h->state, memory_order_acquire);
}

int32_t
stats_master_pid(const struct stats *st)
{
	return (int32_t)st->h->master_pid;
}

int64_t
stats_master_heartbeat(const struct stats *st)
{
	return (int64_t)atomic_load_explicit(&st->h->heartbeat, memory_order_relaxed);
}

int64_t
stats_start_time(const struct stats *st)
{
	return (int64_t)st->h->start_time;
}

/* A row is as many 64-bit numbers as it has fields; of a dead worker the incarnation stays, so that
 * readers can tell that there was one. */
static void
zero_gauges(_Atomic uint64_t *row, const struct stats_field *f, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!f[i].counter && strcmp(f[i].name, "incarnation") != 0)
			stats_set(&row[i], 0);
}

static _Atomic uint64_t *
pool_row(struct stats *st, uint32_t pool, uint32_t w)
{
	return (_Atomic uint64_t *)(void *)stats_pool(st, pool, w);
}

static bool
pool_named(const struct stats *st, uint32_t pool)
{
	return version_is_whole(version_seen(&pool_name(st, pool)->version));
}

void
stats_worker_gone(struct stats *st, uint32_t w)
{
	uint32_t p;

	zero_gauges((_Atomic uint64_t *)(void *)stats_worker(st, w), stats_worker_fields,
	    stats_nworker_fields);
	for (p = 0; p < st->h->pools; p++)
		if (pool_named(st, p))
			zero_gauges(pool_row(st, p, w), stats_pool_fields, stats_npool_fields);
}

static void
zero_pool(struct stats *st, uint32_t pool)
{
	uint32_t w;
	size_t i;

	for (w = 0; w < st->h->workers; w++) {
		_Atomic uint64_t *times = (_Atomic uint64_t *)(void *)stats_times(st, pool, w);
		for (i = 0; i < stats_npool_fields; i++)
			stats_set(&pool_row(st, pool, w)[i], 0);
		for (i = 0; i < sizeof(struct stats_times) / sizeof(*times); i++)
			stats_set(&times[i], 0);
	}
}

void
stats_pool_name(struct stats *st, uint32_t pool, const char *db, const char *user)
{
	struct pool_name *n = pool_name(st, pool);
	struct layout_names names = {0}, have;

	ENSURE(pool < st->h->pools);
	strlcpy(names.db, db, sizeof(names.db));
	strlcpy(names.user, user, sizeof(names.user));
	layout_get(&have, n->names, sizeof(have));
	if (pool_named(st, pool) && memcmp(&have, &names, sizeof(names)) == 0)
		return;
	version_break(&n->version);
	if (have.db[0] != '\0') /* never named: never written, and not worth its pages */
		zero_pool(st, pool);
	layout_put(n->names, &names, sizeof(names));
	version_whole(&n->version);
}

bool
stats_pool_names(const struct stats *st, uint32_t pool, char *db, char *user)
{
	const struct pool_name *n = pool_name(st, pool);
	struct layout_names names;
	uint64_t seen;
	int i;

	for (i = 0; i < LAYOUT_RETRIES; i++) {
		seen = version_seen(&n->version);
		if (!version_is_whole(seen))
			return false;
		layout_get(&names, n->names, sizeof(names));
		if (!version_same(&n->version, seen))
			continue;
		memcpy(db, names.db, sizeof(names.db));
		memcpy(user, names.user, sizeof(names.user));
		return true;
	}
	return false;
}
