/* stats: rows and their single writers, names that readers never see mixed, files that are refused;
 * and a reader that knows the format from the head of shm/stats.c only, no C struct. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf.h"
#include "shm/stats.h"

#define WORKERS 3
#define POOLS	5

static char dir[] = "/tmp/pgdrove-test-stats-XXXXXX", path[sizeof(dir) + 32];
static struct stats *stats;

static int
dir_make(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/one.stats", dir);
	return 0;
}

static int
dir_unmake(void **state)
{
	(void)state;
	return rmdir(dir);
}

static int
stats_make(void **state)
{
	(void)state;
	stats = stats_create(path, WORKERS, POOLS);
	return stats == NULL ? -1 : 0;
}

static int
stats_unmake(void **state)
{
	(void)state;
	stats_close(stats);
	return unlink(path);
}

/* --- a reader in any language --- */

static char *file;

static uint32_t
get32(size_t at)
{
	uint32_t v;

	memcpy(&v, file + at, sizeof(v));
	return v;
}

static uint64_t
get64(size_t at)
{
	uint64_t v;

	memcpy(&v, file + at, sizeof(v));
	return v;
}

static void
file_map(void)
{
	int fd = open(path, O_RDWR);
	struct stat sb;

	assert_int_not_equal(fd, -1);
	assert_int_equal(fstat(fd, &sb), 0);
	file = mmap(NULL, (size_t)sb.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(file, MAP_FAILED);
	(void)close(fd);
	assert_memory_equal(file, "PGDROVS1", 8);
	assert_int_equal(get32(8), STATS_VERSION);
	assert_int_equal(get32(12), 192);
	assert_int_equal(get64(48), sb.st_size);
}

static void
file_unmap(void)
{
	assert_int_equal(munmap(file, get64(48)), 0);
}

static size_t
section_at(const char *name)
{
	uint32_t i;

	for (i = 0; i < get32(24); i++)
		if (strcmp(file + get64(32) + 64 * (size_t)i, name) == 0)
			return get64(32) + 64 * (size_t)i;
	fail_msg("no section %s", name);
	return 0;
}

static size_t
field_at(size_t section, const char *name)
{
	uint32_t first = get32(section + 48), i;

	for (i = first; i < first + get32(section + 52); i++)
		if (strcmp(file + get64(40) + 160 * (size_t)i, name) == 0)
			return get64(40) + 160 * (size_t)i;
	fail_msg("no field %s", name);
	return 0;
}

/* Where the value of a field stands in the file. */
static size_t
value_at(const char *section, const char *field, uint64_t row)
{
	size_t s = section_at(section), f = field_at(s, field);

	assert_true(row < get64(s + 40));
	return get64(s + 24) + get64(s + 32) * row + get32(f + 32);
}

static void
read_without_a_struct(void **state)
{
	(void)state;
	stats_set(&stats_worker(stats, 2)->clients, 41);
	stats_add(&stats_worker(stats, 2)->clients, 1);
	stats_add(&stats_pool(stats, 4, 1)->xact_count, 1ULL << 40);
	stats_pool_name(stats, 4, "app", "alice");
	stats_set_state(stats, STATS_READY);
	stats_master_beat(stats, 123456789);
	file_map();
	assert_int_equal(get32(16), WORKERS);
	assert_int_equal(get32(20), POOLS);
	assert_int_equal(get64(64), 123456789);
	assert_int_equal(get32(72), getpid());
	assert_int_equal(get32(76), 2);
	assert_string_equal(file + 80, PGDROVE_VERSION);
	assert_int_equal(get64(section_at("worker") + 40), WORKERS);
	assert_int_equal(get64(section_at("pool") + 40), WORKERS * POOLS);
	assert_int_equal(get64(section_at("pool_name") + 40), POOLS);
	assert_int_equal(get64(value_at("worker", "clients", 2)), 42);
	assert_int_equal(get64(value_at("worker", "clients", 1)), 0);
	assert_int_equal(get64(value_at("pool", "xact_count", 4 * WORKERS + 1)), 1ULL << 40);
	assert_int_equal(get64(value_at("pool_name", "version", 4)) & 1, 1);
	assert_int_equal(get64(value_at("pool_name", "version", 3)) & 1, 0);
	assert_string_equal(file + value_at("pool_name", "database", 4), "app");
	assert_string_equal(file + value_at("pool_name", "user", 4), "alice");
	file_unmap();
}

static void
check_field(size_t section, const struct stats_field *want, uint32_t place)
{
	size_t f = field_at(section, want->name);

	assert_int_equal(get32(f + 32), 8 * place);
	assert_int_equal(get32(f + 36), want->counter ? 1 : 2);
	assert_int_equal(get32(f + 40), 8);
	assert_string_equal(file + f + 48, want->unit); /* nothing is cut off */
	assert_string_equal(file + f + 64, want->help);
	assert_int_not_equal(want->help[0], '\0');
}

static void
every_field_is_described(void **state)
{
	size_t i, s;

	(void)state;
	file_map();
	s = section_at("worker");
	assert_int_equal(get32(s + 52), stats_nworker_fields);
	for (i = 0; i < stats_nworker_fields; i++)
		check_field(s, &stats_worker_fields[i], (uint32_t)i);
	s = section_at("pool");
	assert_int_equal(get32(s + 52), stats_npool_fields);
	for (i = 0; i < stats_npool_fields; i++)
		check_field(s, &stats_pool_fields[i], (uint32_t)i);
	s = section_at("pool_time");
	assert_int_equal(get32(s + 52), stats_ntime_fields);
	for (i = 0; i < stats_ntime_fields; i++) {
		size_t f = field_at(s, stats_time_fields[i].name);
		assert_int_equal(get32(f + 32), i * sizeof(struct stats_time));
		assert_int_equal(get32(f + 36), 4);
		assert_int_equal(get32(f + 40), sizeof(struct stats_time));
	}
	s = section_at("pool_name");
	assert_int_equal(get32(s + 52), 3);
	assert_int_equal(get32(field_at(s, "user") + 36), 3);
	assert_int_equal(get32(field_at(s, "user") + 40), CONF_NAME_SIZE);
	assert_int_equal(get32(field_at(s, "version") + 36), 2);
	assert_int_equal(get32(28),
	    stats_nworker_fields + stats_npool_fields + stats_ntime_fields + get32(s + 52));
	file_unmap();
}

/* A duration falls into the first bucket whose bound is not below it. */
static void
times_fall_into_buckets(void **state)
{
	struct stats_time *t = &stats_times(stats, 1, 0)->wait;
	int64_t bound = STATS_BUCKET_US;
	int k;

	(void)state;
	for (k = 0; k < STATS_BUCKETS - 1; k++, bound *= 2) {
		stats_took(t, bound);
		assert_int_equal(stats_get(&t->count[k]), k == 0 ? 1 : 2);
		stats_took(t, bound + 1);
		assert_int_equal(stats_get(&t->count[k + 1]), 1);
	}
	stats_took(t, INT64_MAX);
	assert_int_equal(stats_get(&t->count[STATS_BUCKETS - 1]), 2);
	assert_int_equal(stats_get(&stats_times(stats, 1, 1)->wait.sum_us), 0);
	stats_took(t, -1); /* a clock that went back costs nothing */
	assert_int_equal(stats_get(&t->count[0]), 2);
}

/* --- the file --- */

static void
made_whole_and_renamed(void **state)
{
	char tmp[sizeof(path) + 8], why[256];
	struct stats *old, *second;
	struct stat sb;

	(void)state;
	assert_int_equal(stat(path, &sb), 0);
	assert_int_equal(sb.st_mode & 07777, 0640);
	(void)snprintf(tmp, sizeof(tmp), "%s.new", path);
	assert_int_equal(access(tmp, F_OK), -1);
	old = stats_open(path, why, sizeof(why));
	assert_non_null(old);
	assert_int_equal(stats_state(old), STATS_BOOTING);
	{
		int fd = open(tmp, O_WRONLY | O_CREAT, 0600); /* an attempt that died */
		assert_int_not_equal(fd, -1);
		(void)close(fd);
	}
	assert_true(stats_is_at(old, path));
	second = stats_create(path, 1, 1);
	assert_non_null(second);
	assert_false(stats_is_at(old, path));
	assert_int_equal(access(tmp, F_OK), -1);
	stats_set(&stats_worker(stats, 2)->clients, 7);
	assert_int_equal(stats_get(&stats_worker(old, 2)->clients), 7); /* it reads on */
	assert_int_equal(stats_workers(old), WORKERS);
	stats_close(old);
	old = stats_open(path, why, sizeof(why));
	assert_non_null(old);
	assert_int_equal(stats_workers(old), 1);
	assert_int_equal(stats_pools(old), 1);
	stats_close(old);
	stats_close(second);
}

static void
cannot_be_made(void **state)
{
	char longest[PATH_MAX + 8], inside[sizeof(path) + 8], taken[sizeof(path) + 16];

	(void)state;
	(void)snprintf(inside, sizeof(inside), "%s/no/x", dir);
	errno = 0;
	assert_null(stats_create(inside, 1, 1));
	assert_int_equal(errno, ENOENT);
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_null(stats_create(longest, 1, 1));
	assert_int_equal(errno, ENAMETOOLONG);
	(void)snprintf(inside, sizeof(inside), "%s/dir", dir);
	assert_int_equal(mkdir(inside, 0700), 0);
	assert_null(stats_create(inside, 1, 1)); /* the rename fails */
	assert_int_equal(errno, EISDIR);
	(void)snprintf(taken, sizeof(taken), "%s.new", inside);
	assert_int_equal(access(taken, F_OK), -1); /* and nothing is left lying about */
	assert_int_equal(rmdir(inside), 0);
}

static void
expect_refused(const char *what)
{
	char why[256] = "";

	if (stats_open(path, why, sizeof(why)) != NULL)
		fail_msg("opened: %s", what);
	assert_non_null(strstr(why, path));
}

/* The first two change places, as a binary with another order would write them. */
static void
fields_swapped(void)
{
	char *first = file + get64(40), *second = first + 160, name[32];

	memcpy(name, first, sizeof(name));
	memcpy(first, second, sizeof(name));
	memcpy(second, name, sizeof(name));
}

/* Each number of the header that a reader would follow, made wrong by one and put right again. */
static void
damaged_files_are_refused(void **state)
{
	static const size_t spots[] = {0, 8, 12, 16, 20, 24, 28, 32, 40, 48};
	char why[256];
	struct stats *st;
	size_t i, size;

	(void)state;
	file_map();
	size = get64(48);
	for (i = 0; i < sizeof(spots) / sizeof(spots[0]); i++) {
		file[spots[i]] ^= 1;
		expect_refused("a header with one bit changed");
		file[spots[i]] ^= 1;
	}
	memset(file + 16, 0xff, 8);
	expect_refused("more workers and pools than there can be");
	memcpy(file + 16, (uint32_t[]){0, POOLS}, 8);
	expect_refused("no workers");
	memcpy(file + 16, (uint32_t[]){WORKERS, POOLS}, 8);
	file[section_at("pool") + 24] ^= 1;
	expect_refused("a section that begins elsewhere");
	file[section_at("pool") + 24] ^= 1;
	fields_swapped();
	expect_refused("fields in another order");
	fields_swapped();
	st = stats_open(path, why, sizeof(why));
	assert_non_null(st);
	stats_close(st);
	file_unmap();
	assert_int_equal(truncate(path, (off_t)size - 1), 0);
	expect_refused("a file cut short");
	assert_int_equal(truncate(path, (off_t)size + 1), 0);
	expect_refused("a file too long");
	assert_int_equal(truncate(path, 191), 0);
	expect_refused("half a header");
	assert_int_equal(truncate(path, 0), 0);
	expect_refused("an empty file");
}

static void
other_things_are_refused(void **state)
{
	(void)state;
	expect_refused("nothing");
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_refused("a fifo"); /* at once: nobody will ever write into it */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	expect_refused("a directory");
	assert_int_equal(rmdir(path), 0);
}

static void
readers_cannot_write(void **state)
{
	char why[256];
	struct stats *st;
	struct timespec ts;

	(void)state;
	st = stats_open(path, why, sizeof(why));
	assert_non_null(st);
	assert_int_equal(mprotect((void *)((uintptr_t)stats_worker(st, 0) & ~4095ULL), 4096,
			     PROT_READ | PROT_WRITE),
	    -1);
	assert_int_equal(stats_master_pid(st), getpid());
	assert_int_equal(clock_gettime(CLOCK_REALTIME, &ts), 0);
	assert_true(stats_start_time(st) / 1000000 <= ts.tv_sec);
	assert_true(stats_start_time(st) / 1000000 > ts.tv_sec - 60);
	stats_master_beat(stats, 99);
	stats_set_state(stats, STATS_STOPPED);
	assert_int_equal(stats_master_heartbeat(st), 99);
	assert_int_equal(stats_state(st), STATS_STOPPED);
	stats_close(st);
}

/* --- rows --- */

static _Atomic uint64_t *
values_of(void *row)
{
	return row;
}

static uint64_t
unique(size_t row, size_t field)
{
	return row * 1000 + field + 1;
}

static void
rows_do_not_touch(void **state)
{
	size_t w, p, i;

	(void)state;
	for (w = 0; w < WORKERS; w++) {
		for (i = 0; i < stats_nworker_fields; i++)
			stats_set(&values_of(stats_worker(stats, (uint32_t)w))[i], unique(w, i));
		for (p = 0; p < POOLS; p++)
			for (i = 0; i < stats_npool_fields; i++)
				stats_set(
				    &values_of(stats_pool(stats, (uint32_t)p, (uint32_t)w))[i],
				    unique(100 + w * POOLS + p, i));
	}
	stats_pool_name(stats, 0, "a", "b");
	for (w = 0; w < WORKERS; w++) {
		assert_int_equal((uintptr_t)stats_worker(stats, (uint32_t)w) % 64, 0);
		for (i = 0; i < stats_nworker_fields; i++)
			assert_int_equal(stats_get(&values_of(stats_worker(stats, (uint32_t)w))[i]),
			    unique(w, i));
		for (p = 0; p < POOLS; p++) {
			void *row = stats_pool(stats, (uint32_t)p, (uint32_t)w);
			assert_int_equal((uintptr_t)row % 64, 0);
			for (i = 0; i < stats_npool_fields; i++)
				assert_int_equal(
				    stats_get(&values_of(row)[i]), unique(100 + w * POOLS + p, i));
		}
	}
}

static void
gone_zeroes_gauges_only(void **state)
{
	size_t i;
	uint32_t w;

	(void)state;
	stats_pool_name(stats, 1, "a", "b");
	for (w = 0; w < 2; w++) {
		for (i = 0; i < stats_nworker_fields; i++)
			stats_set(&values_of(stats_worker(stats, w))[i], 5);
		for (i = 0; i < stats_npool_fields; i++)
			stats_set(&values_of(stats_pool(stats, 1, w))[i], 5);
	}
	stats_worker_gone(stats, 0);
	for (i = 0; i < stats_nworker_fields; i++) {
		const struct stats_field *f = &stats_worker_fields[i];
		bool stays = f->counter || strcmp(f->name, "incarnation") == 0;
		assert_int_equal(stats_get(&values_of(stats_worker(stats, 0))[i]), stays ? 5 : 0);
		assert_int_equal(stats_get(&values_of(stats_worker(stats, 1))[i]), 5);
	}
	for (i = 0; i < stats_npool_fields; i++) {
		assert_int_equal(stats_get(&values_of(stats_pool(stats, 1, 0))[i]),
		    stats_pool_fields[i].counter ? 5 : 0);
		assert_int_equal(stats_get(&values_of(stats_pool(stats, 1, 1))[i]), 5);
	}
}

static void
add_and_sub(void **state)
{
	_Atomic uint64_t *f = &stats_worker(stats, 0)->clients;

	(void)state;
	stats_add(f, 3);
	stats_sub(f, 2);
	assert_int_equal(stats_get(f), 1);
	stats_set(f, UINT64_MAX);
	assert_int_equal(stats_get(f), UINT64_MAX);
}

/* --- names --- */

static void
names(void **state)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE], longest[CONF_NAME_SIZE + 20];

	(void)state;
	assert_false(stats_pool_names(stats, 2, db, user));
	stats_pool_name(stats, 2, "app", "alice");
	stats_add(&stats_pool(stats, 2, 0)->xact_count, 9);
	stats_add(&stats_pool(stats, 3, 0)->xact_count, 9);
	stats_pool_name(stats, 2, "app", "alice");
	assert_int_equal(stats_get(&stats_pool(stats, 2, 0)->xact_count), 9);
	stats_pool_name(stats, 2, "app", "bob"); /* another pool: it has done nothing yet */
	assert_true(stats_pool_names(stats, 2, db, user));
	assert_string_equal(db, "app");
	assert_string_equal(user, "bob");
	assert_int_equal(stats_get(&stats_pool(stats, 2, 0)->xact_count), 0);
	assert_int_equal(stats_get(&stats_pool(stats, 3, 0)->xact_count), 9);
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	stats_pool_name(stats, 2, longest, "");
	assert_true(stats_pool_names(stats, 2, db, user));
	assert_int_equal(strlen(db), CONF_NAME_SIZE - 1);
	assert_string_equal(user, "");
}

/* A writer that died between taking back the old names and publishing the new ones. */
static void
names_half_written(void **state)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	uint64_t version;

	(void)state;
	stats_pool_name(stats, 2, "app", "alice");
	stats_add(&stats_pool(stats, 2, 1)->xact_count, 9);
	file_map();
	version = get64(value_at("pool_name", "version", 2)) + 1;
	memcpy(file + value_at("pool_name", "version", 2), &version, sizeof(version));
	memcpy(file + value_at("pool_name", "database", 2), "zz", 2);
	assert_false(stats_pool_names(stats, 2, db, user));
	stats_worker_gone(stats, 1);
	stats_pool_name(stats, 2, "zzp", "alice");
	assert_true(stats_pool_names(stats, 2, db, user));
	assert_string_equal(db, "zzp");
	assert_int_equal(stats_get(&stats_pool(stats, 2, 1)->xact_count), 0);
	assert_true(get64(value_at("pool_name", "version", 2)) > version);
	file_unmap();
}

static _Atomic bool over;

static void *
churn_names(void *arg)
{
	char name[CONF_NAME_SIZE];
	uint32_t i;

	(void)arg;
	for (i = 0; !over; i++) {
		memset(name, 'a' + (int)(i % 26), sizeof(name));
		name[10 + i % 50] = '\0';
		stats_pool_name(stats, 0, name, name);
	}
	return NULL;
}

static void
names_are_never_mixed(void **state)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	time_t end = time(NULL) + 2;
	pthread_t thread;
	long got = 0;

	(void)state;
	over = false;
	assert_int_equal(pthread_create(&thread, NULL, churn_names, NULL), 0);
	while (time(NULL) < end)
		if (stats_pool_names(stats, 0, db, user)) {
			assert_string_equal(db, user);
			assert_int_equal(db[0], db[strlen(db) - 1]);
			got++;
		}
	over = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(got > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stats_make, stats_unmake)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(read_without_a_struct),
	    TEST(every_field_is_described),
	    TEST(times_fall_into_buckets),
	    TEST(made_whole_and_renamed),
	    cmocka_unit_test(cannot_be_made),
	    TEST(damaged_files_are_refused),
	    cmocka_unit_test(other_things_are_refused),
	    TEST(readers_cannot_write),
	    TEST(rows_do_not_touch),
	    TEST(gone_zeroes_gauges_only),
	    TEST(add_and_sub),
	    TEST(names),
	    TEST(names_half_written),
	    TEST(names_are_never_mixed),
	};

	return cmocka_run_group_tests(tests, dir_make, dir_unmake);
}
