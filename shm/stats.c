/*
 * stats: see stats.h. The file, all numbers little-endian as the machine writes them:
 *
 *   header   192 bytes: u64 magic, u32 version, u32 header_size, u32 workers, u32 pools, u32
 * section_count, u32 field_count, u64 section_table_offset, u64 field_table_offset, u64 file_size,
 * u64 start_time (unix us), u64 heartbeat (monotonic us), u32 master_pid, u32 state (1 boot, 2
 * ready, 3 stopping, 4 stopped), char program_version[32] section  64 bytes each: char name[24],
 * u64 offset of row 0, u64 row_size, u64 row_count, u32 first_field, u32 field_count field    160
 * bytes each: char name[32], u32 offset in the row, u32 kind (1 counter, 2 gauge, 3 text), u32 size
 * in bytes, u32 section, char unit[16], char help[96] rows     as the sections say; 64-bit numbers,
 * texts NUL-terminated
 */
#include "shm/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/string.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf.h"

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
	_Atomic uint32_t named;
	char db[CONF_NAME_SIZE];
	char user[CONF_NAME_SIZE];
};

_Static_assert(sizeof(struct header) == 192, "the format says 192");
_Static_assert(sizeof(struct section) == 64, "the format says 64");
_Static_assert(sizeof(struct field) == 160, "the format says 160");

enum { KIND_COUNTER = 1, KIND_GAUGE, KIND_TEXT };
enum { SECTION_WORKER, SECTION_POOL, SECTION_POOL_NAME, SECTIONS };

#define COUNTER			  true
#define GAUGE			  false
#define X(name, kind, unit, help) {#name, unit, help, kind},
const struct stats_field stats_worker_fields[] = {STATS_WORKER_FIELDS(X)};
const struct stats_field stats_pool_fields[] = {STATS_POOL_FIELDS(X)};
#undef X
const size_t stats_nworker_fields = sizeof(stats_worker_fields) / sizeof(stats_worker_fields[0]);
const size_t stats_npool_fields = sizeof(stats_pool_fields) / sizeof(stats_pool_fields[0]);

struct stats {
	struct header *h;
	size_t size;
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
fill_text(struct field *f, const char *name, size_t offset)
{
	strlcpy(f->name, name, sizeof(f->name));
	strlcpy(f->help, "name", sizeof(f->help));
	f->offset = (uint32_t)offset;
	f->kind = KIND_TEXT;
	f->size = CONF_NAME_SIZE;
	f->section = SECTION_POOL_NAME;
}

static void
plan_sections(struct section *s, uint32_t workers, uint32_t pools, size_t at, size_t *end)
{
	static const char *const names[SECTIONS] = {"worker", "pool", "pool_name"};
	const size_t sizes[SECTIONS] = {line(sizeof(struct stats_worker)),
	    line(sizeof(struct stats_pool)), line(sizeof(struct pool_name))};
	const size_t counts[SECTIONS] = {workers, (size_t)workers * pools, pools};
	const size_t fields[SECTIONS] = {stats_nworker_fields, stats_npool_fields, 2};
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

static int
create_file(const char *path, size_t size, void **map)
{
	char tmp[4096];
	int fd;

	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.new", path) >= sizeof(tmp)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	(void)unlink(tmp);
	fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd == -1)
		return -1;
	*map = MAP_FAILED;
	if (ftruncate(fd, (off_t)size) == 0)
		*map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return *map == MAP_FAILED ? -1 : 0;
}

struct stats *
stats_create(const char *path, uint32_t workers, uint32_t pools)
{
	size_t nfields = stats_nworker_fields + stats_npool_fields + 2, size;
	struct section plan[SECTIONS] = {0};
	struct stats *st = calloc(1, sizeof(*st));
	char tmp[4096];
	struct field *f;
	void *map;

	plan_sections(plan, workers, pools,
	    sizeof(struct header) + SECTIONS * sizeof(struct section) +
		nfields * sizeof(struct field),
	    &size);
	if (st == NULL || create_file(path, size, &map) == -1) {
		free(st);
		return NULL;
	}
	st->h = map;
	st->size = size;
	fill_header(st->h, workers, pools, nfields, size);
	memcpy((char *)map + st->h->section_off, plan, sizeof(plan));
	f = (struct field *)(void *)((char *)map + st->h->field_off);
	fill_fields(f, SECTION_WORKER, stats_worker_fields, stats_nworker_fields);
	fill_fields(f + stats_nworker_fields, SECTION_POOL, stats_pool_fields, stats_npool_fields);
	fill_text(f + nfields - 2, "database", offsetof(struct pool_name, db));
	fill_text(f + nfields - 1, "user", offsetof(struct pool_name, user));
	attach_rows(st);
	(void)snprintf(tmp, sizeof(tmp), "%s.new", path);
	if (rename(tmp, path) == 0)
		return st;
	stats_close(st);
	return NULL;
}

/* Everything a reader will follow lies inside the file, and is what this binary knows. */
static bool
sound(const struct header *h, size_t size)
{
	struct section plan[SECTIONS] = {0};
	size_t nfields = stats_nworker_fields + stats_npool_fields + 2, end;

	if (h->header_size != sizeof(*h) || h->section_count != SECTIONS ||
	    h->field_count != nfields || h->section_off != sizeof(*h) || h->workers > 1024 ||
	    h->pools > 65535)
		return false;
	plan_sections(plan, h->workers, h->pools,
	    sizeof(*h) + sizeof(plan) + nfields * sizeof(struct field), &end);
	return end == size && h->file_size == size &&
	       memcmp((const char *)h + h->section_off, plan, sizeof(plan)) == 0;
}

struct stats *
stats_open(const char *path, char *why, size_t why_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stats *st = calloc(1, sizeof(*st));
	struct stat sb;

	if (fd == -1 || st == NULL || fstat(fd, &sb) == -1) {
		snprintf(why, why_size, "%s: %s", path, strerror(errno));
		goto fail;
	}
	st->size = (size_t)sb.st_size;
	if (!S_ISREG(sb.st_mode) || st->size < sizeof(struct header)) {
		snprintf(why, why_size, "%s: not a statistics segment", path);
		goto fail;
	}
	st->h = mmap(NULL, st->size, PROT_READ, MAP_SHARED, fd, 0);
	if (st->h == MAP_FAILED) {
		snprintf(why, why_size, "%s: %s", path, strerror(errno));
		goto fail;
	}
	if (st->h->magic != STATS_MAGIC || st->h->version != STATS_VERSION ||
	    !sound(st->h, st->size)) {
		snprintf(why, why_size, "%s: not a statistics segment of this version", path);
		(void)munmap(st->h, st->size);
		goto fail;
	}
	close(fd);
	attach_rows(st);
	return st;
fail:
	if (fd != -1)
		close(fd);
	free(st);
	return NULL;
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

static struct pool_name *
pool_name(const struct stats *st, uint32_t pool)
{
	return (struct pool_name *)(void *)(st->rows[SECTION_POOL_NAME] +
					    pool * st->row_size[SECTION_POOL_NAME]);
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

static void
zero_gauges(_Atomic uint64_t *row, const struct stats_field *f, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!f[i].counter && strcmp(f[i].name, "incarnation") != 0)
			stats_set(&row[i], 0);
}

void
stats_worker_gone(struct stats *st, uint32_t w)
{
	uint32_t p;

	zero_gauges(&stats_worker(st, w)->pid, stats_worker_fields, stats_nworker_fields);
	for (p = 0; p < st->h->pools; p++)
		if (atomic_load_explicit(&pool_name(st, p)->named, memory_order_acquire) != 0)
			zero_gauges(&stats_pool(st, p, w)->cl_active, stats_pool_fields,
			    stats_npool_fields);
}

void
stats_pool_name(struct stats *st, uint32_t pool, const char *db, const char *user)
{
	struct pool_name *n = pool_name(st, pool);

	if (atomic_load_explicit(&n->named, memory_order_acquire) != 0) {
		if (strcmp(n->db, db) == 0 && strcmp(n->user, user) == 0)
			return;
		atomic_store_explicit(&n->named, 0, memory_order_release);
		memset(stats_pool(st, pool, 0), 0, st->row_size[SECTION_POOL] * st->h->workers);
	}
	strlcpy(n->db, db, sizeof(n->db));
	strlcpy(n->user, user, sizeof(n->user));
	atomic_store_explicit(&n->named, 1, memory_order_release);
}

bool
stats_pool_names(const struct stats *st, uint32_t pool, char *db, char *user)
{
	const struct pool_name *n = pool_name(st, pool);

	if (atomic_load_explicit(&n->named, memory_order_acquire) == 0)
		return false;
	strlcpy(db, n->db, CONF_NAME_SIZE);
	strlcpy(user, n->user, CONF_NAME_SIZE);
	return true;
}
