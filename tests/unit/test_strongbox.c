/*
 * test_strongbox: blocks of all sizes are aligned, come zeroed, keep what is in them and go wiped;
 * they lie in no core dump; what others free is wiped. Includes the source, to look at classes.
 */
#include "conf/strongbox.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <cmocka.h>

#define SEATS 500
#define TURNS 200000

static uint32_t
next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Mostly small, now and then around the largest class and past it. */
static size_t
any_size(uint32_t *seed)
{
	return next(seed) % 50 == 0 ? 30000 + next(seed) % 5000 : 1 + next(seed) % 1500;
}

static void
assert_all(const uint8_t *p, uint8_t byte, size_t size)
{
	for (size_t i = 0; i < size; i++)
		assert_int_equal(p[i], byte);
}

static void
keeps_what_is_in_it(void **state)
{
	static struct {
		uint8_t *p, byte;
		size_t size;
	} seats[SEATS];
	uint32_t seed = 4711;
	int i, turn;

	(void)state;
	for (turn = 0; turn < TURNS; turn++) {
		i = (int)(next(&seed) % SEATS);
		if (seats[i].p != NULL) {
			if (turn % 16 == 0)
				assert_all(seats[i].p, seats[i].byte, seats[i].size);
			assert_int_equal(seats[i].p[seats[i].size - 1], seats[i].byte);
			strongbox_put(seats[i].p);
		}
		seats[i].size = any_size(&seed);
		seats[i].byte = (uint8_t)(turn % 255 + 1);
		seats[i].p = strongbox_take(seats[i].size);
		assert_int_equal((uintptr_t)seats[i].p % 16, 0);
		if (turn % 16 == 0)
			assert_all(seats[i].p, 0, seats[i].size);
		memset(seats[i].p, seats[i].byte, seats[i].size);
	}
	for (i = 0; i < SEATS; i++)
		strongbox_put(seats[i].p);
	strongbox_put(NULL);
}

static void
grows(void **state)
{
	uint8_t *p = openssl_malloc(10, "", 0);

	(void)state;
	memset(p, 7, 10);
	for (size_t size = 11; size < 200000; size = size * 5 / 4) {
		p = openssl_realloc(p, size, "", 0);
		assert_non_null(p);
		assert_all(p, 7, 10);
	}
	p = openssl_realloc(p, 5, "", 0);
	assert_all(p, 7, 5);
	assert_null(openssl_realloc(p, 0, "", 0));
	p = openssl_realloc(NULL, 5, "", 0);
	openssl_free(p, "", 0);
	openssl_free(NULL, "", 0);
	assert_null(openssl_malloc(0, "", 0));
}

#ifndef PLAIN_MALLOC
static void
classes(void **state)
{
	unsigned int class, last = 0;
	size_t size, room;

	(void)state;
	for (size = 1; size <= LARGEST; size++) {
		room = size;
		class = class_of(&room);
		assert_true(class == last || class == last + 1);
		assert_true(class < CLASSES && room >= size && room % STEP == 0);
		assert_true(size <= SMALL ? room - size < STEP : room <= size + size / 8 + 1);
		last = class;
	}
	assert_int_equal(last, CLASSES - 1);
}

/* The flags of the mapping that holds the address. */
static bool
is_dumped(const void *p)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	char line[512];
	unsigned long from = 0, to = 0, a, b;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps) != NULL) {
		if (sscanf(line, "%lx-%lx ", &a, &b) == 2) {
			from = a;
			to = b;
		}
		if (strncmp(line, "VmFlags:", 8) == 0 && (uintptr_t)p >= from && (uintptr_t)p < to)
			break;
	}
	fclose(maps);
	assert_int_equal(strncmp(line, "VmFlags:", 8), 0);
	return strstr(line, " dd") == NULL;
}

static void
left_out_of_dumps(void **state)
{
	void *small = strongbox_take(20), *large = strongbox_take(100000), *other = malloc(20);

	(void)state;
	assert_false(is_dumped(small));
	assert_false(is_dumped(large));
	assert_true(is_dumped(other));
	strongbox_put(small);
	strongbox_put(large);
	free(other);
}

/* Looks at freed memory, on purpose. */
static void
freed_is_wiped(void **state)
{
	static const size_t sizes[] = {40, 133, 700, 1032, 1100, 5000, 20000};
	char *blocks[7], *after[7];
	volatile char *gone;
	size_t i;

	(void)state;
	strongbox_wipe_freed(true);
	for (i = 0; i < 7; i++) {
		blocks[i] = malloc(sizes[i]);
		after[i] = malloc(16); /* so that it does not fall back to the top */
		memset(blocks[i], 'x', sizes[i]);
	}
	for (i = 0; i < 7; i++)
		free(blocks[i]);
	strongbox_wipe_freed(false);
	for (i = 0; i < 7; i++) {
		gone = blocks[i];
		/* malloc's own links are before, and in what it has cut off since; a byte of a
		 * pointer may well be an x. */
		for (size_t at = 32; at + 1 < sizes[i]; at++)
			if (gone[at] == 'x' && gone[at + 1] == 'x')
				fail_msg("%zu of %zu bytes: not wiped", at, sizes[i]);
		free(after[i]);
	}
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keeps_what_is_in_it),
	    cmocka_unit_test(grows),
#ifndef PLAIN_MALLOC
	    cmocka_unit_test(classes),
	    cmocka_unit_test(left_out_of_dumps),
	    cmocka_unit_test(freed_is_wiped),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
