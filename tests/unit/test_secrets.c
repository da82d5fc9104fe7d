/*
 * test_secrets: the shared keys: found by id, replaced by age, absent after a death in the middle
 * of a write. Includes the source, to die at every step of one.
 */
#include "shm/secrets.c"

#include <setjmp.h>
#include <stdarg.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define VALUE 64

static void
make_id(uint8_t id[SECRETS_ID], int n)
{
	memset(id, 0, SECRETS_ID);
	memcpy(id + 8, &n, sizeof(n)); /* the first 8 bytes choose the set: all in one */
}

static void
put(struct secrets *s, int n, uint8_t byte, int64_t now)
{
	uint8_t id[SECRETS_ID], value[VALUE];

	make_id(id, n);
	memset(value, byte, sizeof(value));
	secrets_put(s, id, now, value);
}

/* The byte the value is made of, -1 = absent; a mixture fails. */
static int
get(struct secrets *s, int n, int64_t now)
{
	uint8_t id[SECRETS_ID], value[VALUE];
	size_t i;

	make_id(id, n);
	if (!secrets_get(s, id, now, value))
		return -1;
	for (i = 1; i < sizeof(value); i++)
		assert_int_equal(value[i], value[0]);
	return value[0];
}

static void
found_and_replaced(void **state)
{
	struct secrets *s = secrets_create(64, VALUE);
	int n;

	(void)state;
	assert_non_null(s);
	assert_int_equal(get(s, 1, 1), -1);
	put(s, 1, 10, 1);
	put(s, 1, 11, 2);
	assert_int_equal(get(s, 1, 3), 11);
	for (n = 2; n <= WAYS; n++)
		put(s, n, (uint8_t)n, 10 + n);
	assert_int_equal(get(s, 1, 100), 11); /* used just now: number 2 is the oldest */
	put(s, 99, 99, 101);
	assert_int_equal(get(s, 1, 102), 11);
	assert_int_equal(get(s, 2, 103), -1);
	assert_int_equal(get(s, 99, 104), 99);
	{
		uint8_t id[SECRETS_ID];
		make_id(id, 99);
		secrets_drop(s, id);
	}
	assert_int_equal(get(s, 99, 105), -1);
	assert_int_equal(get(s, 1, 106), 11);
	secrets_destroy(s);
}

/* A child dies holding the mutex, with the entry half written. */
static void
death_in_the_middle(void **state)
{
	struct secrets *s = secrets_create(64, VALUE);
	pid_t pid;

	(void)state;
	put(s, 1, 10, 1);
	put(s, 2, 20, 1);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		struct entry *e = entry_at(s, 0, 0);
		(void)take(s);
		atomic_fetch_add(&e->version, 1);
		atomic_store(&e->value[3], 12345);
		(void)kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(get(s, 1, 2), -1);
	assert_int_equal(get(s, 2, 2), 20);
	put(s, 1, 11, 3); /* the mutex is had again, and so is the place */
	assert_int_equal(get(s, 1, 4), 11);
	secrets_destroy(s);
}

/* A reader beside a writer sees one value or the other, or none. */
static void
no_mixture(void **state)
{
	struct secrets *s = secrets_create(64, VALUE);
	int i, seen = 0;
	pid_t pid;

	(void)state;
	put(s, 1, 1, 1);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		for (i = 0;; i++)
			put(s, 1, (uint8_t)(1 + i % 200), i);
	}
	for (i = 0; i < 200000; i++)
		seen += get(s, 1, i) != -1;
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(seen > 1000);
	secrets_destroy(s);
}

/* Values of another size lie apart, too. */
static void
long_values(void **state)
{
	struct secrets *s = secrets_create(8, SECRETS_VALUE_MAX);
	uint8_t id[SECRETS_ID], value[SECRETS_VALUE_MAX], got[SECRETS_VALUE_MAX];
	int n;

	(void)state;
	for (n = 0; n < WAYS; n++) {
		make_id(id, n);
		memset(value, n + 1, sizeof(value));
		secrets_put(s, id, n, value);
	}
	for (n = 0; n < WAYS; n++) {
		make_id(id, n);
		memset(value, n + 1, sizeof(value));
		assert_true(secrets_get(s, id, n, got));
		assert_memory_equal(got, value, sizeof(got));
	}
	secrets_destroy(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(found_and_replaced),
	    cmocka_unit_test(death_in_the_middle),
	    cmocka_unit_test(long_values),
	    cmocka_unit_test(no_mixture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
