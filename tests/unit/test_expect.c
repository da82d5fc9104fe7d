/* expect: conversations as strings: upper-case groups after '>' are sent, after '<' received; the
 * end says if it is empty. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "worker/expect.h"

static bool
play(struct expect *x, const char *talk)
{
	bool sending = true;

	for (; *talk != '\0'; talk++) {
		if (*talk == '>' || *talk == '<')
			sending = *talk == '>';
		else if (sending)
			assert_true(expect_sent(x, (uint8_t)*talk));
		else if (!expect_got(x, (uint8_t)*talk))
			return false;
	}
	return true;
}

static void
check(const char *talk, bool empty)
{
	struct expect x;

	expect_init(&x);
	assert_true(play(&x, talk));
	assert_int_equal(expect_empty(&x), empty);
	expect_fini(&x);
}

static void
test_simple(void **state)
{
	(void)state;
	check(">Q", false);
	check(">Q<TDCZ", true);
	check(">Q<TDCTDC", false);
	check(">Q<EZ", true);
	check(">QQ<CZ", false);
	check(">QQ<CZCZ", true);
	check(">F<VZ", true);
	check(">Q<IZ", true);
}

static void
test_extended(void **state)
{
	(void)state;
	check(">PBDES<12TDC", false);
	check(">PBDES<12TDCZ", true);
	check(">PBDESPBE<12CZ", false); /* a second group without its Sync keeps the backend */
	check(">PBESPBES<12CZ12CZ", true);
	check(">PBEPBES<12CE", false);
	check(">PBEPBES<12CEZ", true);
	check(">PBESPBES<EZ", false); /* the error ends the first group only */
	check(">PBESPBES<EZ12CZ", true);
	check(">BEH<2s",
	    true); /* suspended, but the client holds a portal: kept by the transaction's status */
	check(">P", false);
	check(">SS<ZZ", true);
}

static void
test_copy(void **state)
{
	(void)state;
	check(">Q<G>ddc<C", false);
	check(">Q<G>ddc<CZ", true);
	check(">Q<G>dd<EZ>dc", true);	  /* the server gave up; late data are no answers owed */
	check(">PBES<12G>ddcS<C", false); /* the first Sync was swallowed by COPY */
	check(">PBES<12G>ddcS<CZ", true);
	check(">PBES<12G>fS<EZ", true);
	check(">PBES<12G>ddS<EZ", true);
	check(">Q<H><ddcCZ", true);
}

static void
test_out_of_step(void **state)
{
	struct expect x;

	(void)state;
	expect_init(&x);
	assert_false(play(&x, "<Z"));
	assert_false(play(&x, "<C"));
	assert_true(play(&x, ">Q<CZ"));
	assert_false(play(&x, "<Z"));
	expect_fini(&x);
}

static void
test_long_pipeline(void **state)
{
	struct expect x;
	int i;

	(void)state;
	expect_init(&x);
	for (i = 0; i < 10000; i++)
		assert_true(play(&x, ">PBES"));
	for (i = 0; i < 10000; i++) {
		assert_false(expect_empty(&x));
		assert_true(play(&x, "<12DCZ"));
	}
	assert_true(expect_empty(&x));
	assert_null(x.ring); /* its memory went with it */
	expect_fini(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_simple),
	    cmocka_unit_test(test_extended), cmocka_unit_test(test_copy),
	    cmocka_unit_test(test_out_of_step), cmocka_unit_test(test_long_pipeline)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
