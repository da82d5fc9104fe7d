/*
 * test_gucs: equal sets are one pointer, whatever way they were made; references end.
 */
#include "worker/gucs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void
equal_is_one(void **state)
{
	const struct gucs *a = NULL, *b = NULL;

	(void)state;
	a = gucs_put(a, "work_mem", "64MB");
	a = gucs_put(a, "a.b", "");
	a = gucs_put(a, "search_path", "x, y");
	b = gucs_put(b, "search_path", "z");
	b = gucs_put(b, "a.b", "");
	b = gucs_put(b, "work_mem", "64MB");
	assert_ptr_not_equal(a, b);
	b = gucs_put(b, "search_path", "x, y");
	assert_ptr_equal(a, b);
	assert_string_equal(gucs_get(a, "a.b"), "");
	assert_null(gucs_get(a, "a"));
	b = gucs_put(b, "no", NULL);
	assert_ptr_equal(a, b);
	b = gucs_put(b, "a.b", NULL);
	assert_ptr_not_equal(a, b);
	b = gucs_put(b, "work_mem", NULL);
	b = gucs_put(b, "search_path", NULL);
	assert_null(b);
	gucs_drop(a);
}

static void
serial_form(void **state)
{
	const struct gucs *a = NULL, *b = NULL;
	const char *bytes, *name, *value;
	size_t len, at = 0;

	(void)state;
	a = gucs_put(gucs_put(a, "b", "2"), "a", "1");
	bytes = gucs_bytes(a, &len);
	assert_int_equal(len, 8);
	assert_memory_equal(bytes, "a\0001\0b\0002", 8);
	assert_true(gucs_of(bytes, len, &b));
	assert_ptr_equal(a, b);
	assert_true(gucs_next(a, &at, &name, &value));
	assert_string_equal(name, "a");
	assert_true(gucs_next(a, &at, &name, &value));
	assert_string_equal(value, "2");
	assert_false(gucs_next(a, &at, &name, &value));
	gucs_drop(b);
	assert_true(gucs_of("", 0, &b));
	assert_null(b);
	assert_false(gucs_of("a", 1, &b));
	assert_false(gucs_of("a\0", 2, &b));
	assert_false(gucs_of("b\0001\0a\0002", 8, &b));
	gucs_drop(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(equal_is_one),
	    cmocka_unit_test(serial_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
