/*
 * expect: conversations as strings. Types after '>' are sent, after '<' received. Before a sent
 * type, '!' makes it ours, '=' lets a Close answer for a Parse, '#' drops its first
 * CommandComplete. Received ones give a verdict each:
 * '.' for the client, '-' for nobody, '1' shown as ParseComplete, 'X' out of step, which ends the
 * talk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "worker/expect.h"

/* What was settled: the sent entry's number (as a letter) and + done, - failed, ~ skipped. */
static char settled[512];
static size_t nsettled;

static void
settle(struct expect *x, const struct expect_entry *e, enum expect_end end)
{
	(void)x;
	assert_true(nsettled + 3 < sizeof(settled));
	settled[nsettled++] = (char)e->op;
	settled[nsettled++] = end == EXPECT_DONE ? '+' : end == EXPECT_FAILED ? '-' : '~';
	settled[nsettled] = '\0';
}

static void
send_one(struct expect *x, char type, char mark, uint8_t *op)
{
	struct expect_entry e = {.type = (uint8_t)type, .op = (*op)++};

	if (mark == '!')
		e.flags = EXPECT_OURS;
	if (mark == '=')
		e.flags = EXPECT_AS_PARSE;
	if (mark == '#')
		e.drop = 1;
	if (strchr("dcfH", type) != NULL || expect_ignored(x)) {
		(*op)--;
		assert_true(expect_sent(x, (uint8_t)type));
	} else {
		assert_true(expect_push(x, &e));
	}
}

/* Verdicts into `out`; false after 'X'. */
static bool
play(struct expect *x, const char *talk, char *out)
{
	static const char verdicts[] = {
	    [EXPECT_PASS] = '.', [EXPECT_DROP] = '-', [EXPECT_SHOW_1] = '1', [EXPECT_BAD] = 'X'};
	bool sending = true;
	uint8_t op = 'a';
	char mark = 0;

	nsettled = 0;
	settled[0] = '\0';
	for (; *talk != '\0'; talk++) {
		if (*talk == '>' || *talk == '<') {
			sending = *talk == '>';
		} else if (!sending) {
			*out = verdicts[expect_got(x, (uint8_t)*talk)];
			if (*out++ == 'X')
				break;
		} else if (strchr("!=#", *talk) != NULL) {
			mark = *talk;
		} else {
			send_one(x, *talk, mark, &op);
			mark = 0;
		}
	}
	*out = '\0';
	return *talk == '\0';
}

/* All is in step and for the client; `empty` at the end. */
static void
check(const char *talk, bool empty)
{
	struct expect x;
	char out[512];

	expect_init(&x, settle);
	if (!play(&x, talk, out) || strspn(out, ".") != strlen(out))
		fail_msg("%s: %s", talk, out);
	if (expect_empty(&x) != empty)
		fail_msg("%s: %s", talk, empty ? "not empty" : "empty");
	expect_fini(&x);
}

static void
verdicts(const char *talk, const char *wanted)
{
	struct expect x;
	char out[512];

	expect_init(&x, settle);
	(void)play(&x, talk, out);
	if (strcmp(out, wanted) != 0)
		fail_msg("%s: %s, not %s", talk, out, wanted);
	expect_fini(&x);
}

static void
ends(const char *talk, const char *wanted)
{
	struct expect x;
	char out[512];

	expect_init(&x, settle);
	if (!play(&x, talk, out))
		fail_msg("%s: out of step: %s", talk, out);
	if (strcmp(settled, wanted) != 0)
		fail_msg("%s: %s, not %s", talk, settled, wanted);
	expect_fini(&x);
}

static void
test_simple(void **state)
{
	(void)state;
	check(">Q<TDCZ", true);
	check(">Q<TDCTDC", false);
	check(">Q<EZ", true);
	check(">QQ<CZ", false);
	check(">QQ<CZCZ", true);
	check(">F<VZ", true);
	check(">F<EZ", true);
	check(">Q<IZ", true);
	check(">Q<NSACZ", true);
	check("<NSA", true);
	check("<E", true); /* FATAL: the server ends the connection */
}

/* Syncs within a COPY IN that fails: only what comes next tells whether it had read them. */
static void
test_copy_doubt(void **state)
{
	(void)state;
	check(">Q<G>dHSf<EZ>Q<TDCZ", true);
	check(">Q<G>dSSf<EZ>Q<EZ", true);
	check(">Q<G>dSf<EZ>PBS<12Z", true);
	check(">Q<G>dS<EZZ>Q<CZ", true); /* it had not */
	check(">Q<G>dSd<EZZ>Q<CZ", true);
	check(">Q<G>dSf<EZ>S<Z", false); /* one of two */
	check(">Q<G>dSf<EZ>S<Z>Q<TDCZ", true);
	check(">Q<G>dS<EZ>S<ZZ>Q<TDCZ", true);
	check(">Q<G>dSf<EZ", false);
	verdicts(">Q<G>dSf<EZT", "..."
				 "X");
}

/* Replication: CopyBoth ends by CopyDone in either order, an error, or with more answers behind it.
 */
static void
test_copy_both(void **state)
{
	struct expect x;
	char out[32];

	(void)state;
	check(">Q<Wddd>dd<d>c<cCZ", true);
	check(">Q<Wdd>d<dc>c<CZ", true);
	check(">Q<Wd>d<c>dc<TDCCZ", true); /* a standby at the end of a timeline */
	check(">Q<Wd>d<EZ", true);
	check(">Q<Wd>dd<E>dc<Z>dc", true); /* data that cross the error */
	check(">Q<Wd>df<EZ", true);
	check(">Q<Wd>cQ<cCZTDCZ", true);
	check(">Q<TDCHddddcHdcCZ", true); /* BASE_BACKUP */
	check(">Q<Wd>c<c", false);
	verdicts("<W", "X");
	expect_init(&x, settle);
	(void)play(&x, ">Q<Wd>d", out);
	assert_true(x.copy_both);
	(void)play(&x, "<cCZ", out);
	assert_false(x.copy_both);
	expect_fini(&x);
}

static void
test_extended(void **state)
{
	(void)state;
	check(">PBDES<12TDC", false);
	check(">PBDES<12TDCZ", true);
	check(">PDS<1tTZ", true);
	check(">PDS<1tnZ", true);
	check(">CS<3Z", true);
	check(">PBDESPBE<12nCZ", false); /* a second group without its Sync keeps the backend */
	check(">PBESPBES<12CZ12CZ", true);
	check(">PBEPBES<12CE", false);
	check(">PBEPBES<12CEZ", true);
	check(">PBESPBES<EZ", false); /* the error ends the first group only */
	check(">PBESPBES<EZ12CZ", true);
	check(">PBESPBESPBES<12EZ", false);
	check(">PBESPBESPBES<12EZ12CZEZ", true);
	check(">BEH<2s", true); /* suspended; the transaction's status keeps it */
	check(">BEES<2DsDCZ", true);
	check(">BES<2DsZ>ES<DCZ", true);
	check(">P", false);
	check(">SS<ZZ", true);
	check(">S<EZ", true);	 /* COMMIT failed at the Sync */
	check(">BEH<2E", false); /* no Sync on its way: the server skips */
	check(">BEH<2E>BDEPQF", false);
	check(">BEH<2E>BEQ>S<Z", true);
	check(">PBQS<E", false); /* the Query is skipped too */
	check(">PBQS<EZ", true);
	check(">PBQS<12CZZ", true);
	check(">PQS<1EZZ", true);
}

static void
test_copy(void **state)
{
	(void)state;
	check(">Q<G>ddc<C", false);
	check(">Q<G>ddc<CZ", true);
	check(">Qddc<GCZ", true);     /* sent before it was asked for */
	check(">Qddc<CZ", true);      /* it was no COPY at all: the server ignores them */
	check(">Q<G>dd<EZ>dc", true); /* the server gave up; late data are no answers owed */
	check(">Q<G>f<EZ", true);
	check(">Q<G>dcdc<CGCZ", true); /* two COPYs in one Query */
	check(">QQ<G>dc<CZ", false);
	check(">PBES<12G>ddcS<C", false); /* the first Sync was swallowed by COPY */
	check(">PBES<12G>ddcS<CZ", true);
	check(">PBESddcS<12GCZ", true);
	check(">PBEddcS<12GCZ", true);
	check(">PBES<12G>fS<EZ", true);
	check(">PBES<12G>ddS<EZ", true);
	check(">PBES<12G>dd<E>dcS<Z", true);
	check(">PBES<12G>dd<E>dcSPBES<Z12CZ", true);
	check(">PBEHHdHSdcS<12GCZ", true); /* Flush and Sync inside COPY mean nothing */
	check(">PBEdcBES<12GC2CZ", true);  /* on without a Sync */
	check(">Q<HddcCZ", true);
	check(">PBES<12HddcCZ", true);
	check(">cfd", true);
	check(">Sddc<Z", true);
}

static void
test_out_of_step(void **state)
{
	static const char *const talks[] = {"<Z", "<C", "<1", "<2", "<3", "<D", "<T", "<G",
	    ">Q<CZZ", ">Q<1", ">PBES<2", ">PBES<1C", ">PBES<12Z", ">BS<1", ">DS<1", ">DS<tC",
	    ">ES<2", ">ES<TC", ">CS<1", ">PS<3", ">S<C", ">BEH<2E>B<2", ">BEH<2EZ", ">F<C", NULL};
	struct expect x;
	char out[512];
	int i;

	(void)state;
	for (i = 0; talks[i] != NULL; i++) {
		expect_init(&x, settle);
		if (play(&x, talks[i], out))
			fail_msg("%s is in step: %s", talks[i], out);
		expect_fini(&x);
	}
}

static void
test_ours(void **state)
{
	(void)state;
	verdicts(">!PBES<12CZ", "-...");
	verdicts(">!C!PBES<3E", "-."); /* what ours would meet is the client's */
	verdicts(">!QQ<SCZTDCZ", "---....");
	verdicts(">!QQ<NEZCZ", "---..");
	verdicts(">=CBS<32Z", "1..");
	verdicts(">=CBS<EZ", "..");
	verdicts(">!C=CBES<3"
		 "32CZ",
	    "-1...");
	verdicts(">#Q<CCZ", "-..");
	verdicts(">#Q<EZ", "..");
	verdicts(">!QQ<ACZCZ", ".--..");
}

static void
test_flagged(void **state)
{
	struct expect x;

	(void)state;
	expect_init(&x, NULL);
	assert_true(expect_push(&x, &(struct expect_entry){.type = 'B'}));
	assert_true(expect_push(&x, &(struct expect_entry){.type = 'D', .flags = EXPECT_LOOKS}));
	assert_true(expect_flagged(&x, EXPECT_LOOKS));
	assert_false(expect_flagged(&x, EXPECT_OURS));
	(void)expect_got(&x, '2');
	assert_true(expect_flagged(&x, EXPECT_LOOKS));
	(void)expect_got(&x, 'n');
	assert_false(expect_flagged(&x, EXPECT_LOOKS));
	expect_fini(&x);
}

static void
test_settle(void **state)
{
	(void)state;
	ends(">PBES<12CZ", "a+b+c+d+");
	ends(">PBES<1EZ", "a+c~b-d+");
	ends(">PBES<E", "c~b~a-");
	ends(">PBESPBES<E", "c~b~a-");
	ends(">PQBS<EZ", "c~b~a-d+");
	ends(">BEH<2E>PBS<Z", "a+b-");
	ends(">Q<CCZ", "a+");
	ends(">PBES<12G>dcS<CZ", "a+b+c+e+"); /* a swallowed Sync decides nothing */
}

static void
test_ends_counted(void **state)
{
	struct expect x;
	char out[512];

	(void)state;
	expect_init(&x, NULL);
	assert_true(play(&x, ">PBESQF<12CZ", out));
	assert_int_equal(x.sent_ends, 3);
	assert_int_equal(x.got_ends, 1);
	assert_int_equal(x.ends, 2);
	assert_true(play(&x, "<CZVZ>BES<2G>dcS<CZ", out));
	assert_int_equal(x.sent_ends, 5);
	assert_int_equal(x.got_ends, 5);
	assert_true(play(&x, ">PQQS<EZ", out));
	assert_int_equal(x.sent_ends, 8);
	assert_int_equal(x.got_ends, 8);
	assert_int_equal(x.ends, 0);
	expect_fini(&x);
}

static void
test_after(void **state)
{
	struct expect x;
	struct stmt_name *n = (struct stmt_name *)(void *)&x;
	struct expect_entry e = {.type = 'P', .op = 1, .name = n};
	const struct expect_entry *head;

	(void)state;
	expect_init(&x, NULL);
	assert_true(expect_push(&x, &e));
	assert_true(expect_sent(&x, 'S'));
	e.op = 2;
	assert_true(expect_push(&x, &e));
	head = expect_head(&x);
	assert_int_equal(expect_after(&x, head, n)->op, 2);
	assert_null(expect_after(&x, expect_after(&x, head, n), n));
	expect_fini(&x);
}

/* Is something of the extended protocol without its Sync? Then a vanished client's part must not be
 * committed by ours. */
static void
test_open(void **state)
{
	static const struct {
		const char *talk;
		bool open;
	} cases[] = {{">Q", false}, {">P", true}, {">PBE", true}, {">PBES", false},
	    {">PBESP", true}, {">PBESPS<12CZ1Z", false}, {">PBE<12C", true}, {">Qd", false},
	    {">Q<G>dc", false}, {">PBE<12G>dc", true}, {">PH", true}, {">PS<1Z", false},
	    {">P!S<1", false}, {">F", false}, {">PQ", false}};
	struct expect x;
	char out[32];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		expect_init(&x, NULL);
		assert_true(play(&x, cases[i].talk, out));
		if (x.open != cases[i].open)
			fail_msg("%s: open is %d", cases[i].talk, x.open);
		expect_fini(&x);
		assert_false(x.open);
	}
}

/* What a Parse of ours makes the server remark is not for the client: it has heard it before. */
static void
test_notices(void **state)
{
	struct expect x;
	char out[32];

	(void)state;
	expect_init(&x, NULL);
	assert_true(play(&x, ">!PBES<N12NCNZN", out));
	assert_string_equal(out, "--......");
	assert_true(play(&x, ">PS<N1Z", out));
	assert_string_equal(out, "...");
	assert_true(play(&x, ">!Q<NSCAZ", out));
	assert_string_equal(out, "---.-");
	expect_fini(&x);
}

/* A Query behind something of ours that failed is skipped up to a Sync of ours, whose end is the
 * Query's; one that is not skipped has its own. */
static void
test_skipped_query(void **state)
{
	struct expect x;
	char out[32];

	(void)state;
	expect_init(&x, settle);
	assert_true(play(&x, ">!PQ!S<EZ", out));
	assert_string_equal(out, "..");
	assert_string_equal(settled, "b~a-c+");
	assert_true(expect_empty(&x));
	assert_true(play(&x, ">!PQ!S<1CZZ", out));
	assert_string_equal(out, "-..-");
	assert_string_equal(settled, "a+b+c+");
	assert_true(expect_empty(&x));
	assert_int_equal(x.sent_ends, x.got_ends);
	expect_fini(&x);
}

static void
test_long_pipeline(void **state)
{
	struct expect x;
	char out[16];
	int i;

	(void)state;
	expect_init(&x, NULL);
	for (i = 0; i < 10000; i++)
		assert_true(play(&x, ">PBES", out));
	for (i = 0; i < 10000; i++) {
		assert_false(expect_empty(&x));
		assert_true(play(&x, "<12DCZ", out));
	}
	assert_true(expect_empty(&x));
	assert_null(x.ring); /* its memory went with it */
	expect_fini(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_simple),
	    cmocka_unit_test(test_copy_both), cmocka_unit_test(test_copy_doubt),
	    cmocka_unit_test(test_extended), cmocka_unit_test(test_copy),
	    cmocka_unit_test(test_out_of_step), cmocka_unit_test(test_ours),
	    cmocka_unit_test(test_flagged), cmocka_unit_test(test_settle),
	    cmocka_unit_test(test_ends_counted), cmocka_unit_test(test_after),
	    cmocka_unit_test(test_long_pipeline), cmocka_unit_test(test_open),
	    cmocka_unit_test(test_notices), cmocka_unit_test(test_skipped_query)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
