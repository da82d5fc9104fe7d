/*
 * test_master: the supervisor's pure parts: the back-off clock, a status in words, the watch's
 * arithmetic, and the messages to the service manager.
 */
#include "master/master.h"
#include "master/signals.h"
#include "master/watch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "worker/worker.h"

#define SEC 1000000LL

/* --- back-off -------------------------------------------------------------------------------- */

static void
early_deaths_double_the_pause(void **state)
{
	static const int64_t want_ms[] = {
	    100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000};
	struct reap_backoff b = {0};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof want_ms / sizeof want_ms[0]; i++)
		assert_int_equal(reap_delay(&b, 10000), want_ms[i] * 1000);
}

static void
proven_workers_are_replaced_at_once(void **state)
{
	struct reap_backoff b = {0};

	(void)state;
	assert_int_equal(reap_delay(&b, 10 * SEC), 0);
	assert_int_equal(reap_delay(&b, 10 * SEC - 1), REAP_FIRST_US);
}

/* 10 s excuse this death but forget nothing; 60 s forget all. */
static void
only_a_minute_resets_the_clock(void **state)
{
	struct reap_backoff b = {0};

	(void)state;
	(void)reap_delay(&b, 0);
	(void)reap_delay(&b, 0);
	assert_int_equal(reap_delay(&b, 59 * SEC), 0);
	assert_int_equal(reap_delay(&b, 0), 400000);
	assert_int_equal(reap_delay(&b, 60 * SEC), 0);
	assert_int_equal(reap_delay(&b, 0), REAP_FIRST_US);
}

static void
backwards_life_is_a_short_one(void **state)
{
	struct reap_backoff b = {0};

	(void)state;
	assert_int_equal(reap_delay(&b, -5), REAP_FIRST_US);
}

/* --- status in words ------------------------------------------------------------------------- */

#define EXITED(code) ((code) << 8)
#define CORE	     0x80

static void
statuses_in_words(void **state)
{
	char buf[160];

	(void)state;
	reap_describe(EXITED(0), buf, sizeof buf);
	assert_string_equal(buf, "left");
	reap_describe(EXITED(3), buf, sizeof buf);
	assert_string_equal(buf, "exited with status 3");
	reap_describe(EXITED(WORKER_EXIT_CONFIG), buf, sizeof buf);
	assert_non_null(strstr(buf, "exited with status 78: "));
	reap_describe(SIGKILL, buf, sizeof buf);
	assert_string_equal(buf, "was killed by signal 9 (Killed)");
	reap_describe(SIGSEGV | CORE, buf, sizeof buf);
	assert_string_equal(buf, "was killed by signal 11 (Segmentation fault), core dumped");
	reap_describe(SIGABRT, buf, 8);
	assert_string_equal(buf, "was kil");
}

static void
signals_have_names(void **state)
{
	(void)state;
	assert_string_equal(signals_name(SIGTERM), "SIGTERM");
	assert_string_equal(signals_name(SIGUSR2), "SIGUSR2");
	assert_string_equal(signals_name(SIGWINCH), "unknown signal");
}

/* --- the heartbeat watch --------------------------------------------------------------------- */

static void
silence_counts_from_the_latest_sign_of_life(void **state)
{
	const int64_t now = 1000 * SEC, limit = 10 * SEC;

	(void)state;
	/* never a heartbeat: from the start */
	assert_false(watch_is_silent(now, now - limit, 0, 0, limit));
	assert_true(watch_is_silent(now, now - limit - 1, 0, 0, limit));
	/* a heartbeat */
	assert_false(watch_is_silent(now, 0, 0, now - limit, limit));
	assert_true(watch_is_silent(now, 0, 0, now - limit - 1, limit));
	/* the master itself was asleep until just now */
	assert_false(watch_is_silent(now, 0, now - 1, now - 100 * SEC, limit));
	/* a heartbeat of the near future is a race, of the far future a lie */
	assert_false(watch_is_silent(now, 0, 0, now + 1000, limit));
	assert_true(watch_is_silent(now, 0, 0, now + 100 * SEC, limit));
}

/* --- messages to the service manager --------------------------------------------------------- */

static void
ready_message(void **state)
{
	char buf[128];
	size_t n;

	(void)state;
	n = notify_message(buf, sizeof buf, "READY=1", 42, "serving");
	assert_string_equal(buf, "READY=1\nMAINPID=42\nSTATUS=serving");
	assert_int_equal(n, strlen(buf));
	(void)notify_message(buf, sizeof buf, NULL, 0, "a\nREADY=1");
	assert_string_equal(buf, "STATUS=a READY=1");
	(void)notify_message(buf, sizeof buf, "WATCHDOG=1", 0, NULL);
	assert_string_equal(buf, "WATCHDOG=1\n");
}

static void
long_messages_are_cut(void **state)
{
	char buf[16];
	size_t n;

	(void)state;
	n = notify_message(buf, sizeof buf, NULL, 0, "a status that is too long");
	assert_int_equal(n, sizeof buf - 1);
	assert_string_equal(buf, "STATUS=a status");
	n = notify_message(buf, 4, "READY=1", 1, "x");
	assert_int_equal(n, 3);
}

static void
notify_addresses(void **state)
{
	struct sockaddr_un addr;
	char path[sizeof addr.sun_path + 1];
	socklen_t len;

	(void)state;
	assert_int_equal(notify_address("/run/x", &addr, &len), 0);
	assert_string_equal(addr.sun_path, "/run/x");
	assert_int_equal(len, offsetof(struct sockaddr_un, sun_path) + 7);
	assert_int_equal(notify_address("@x", &addr, &len), 0);
	assert_memory_equal(addr.sun_path, "\0x", 2);
	assert_int_equal(len, offsetof(struct sockaddr_un, sun_path) + 2);
	assert_int_equal(notify_address("relative", &addr, &len), -1);
	assert_int_equal(notify_address("/", &addr, &len), -1);
	assert_int_equal(notify_address("", &addr, &len), -1);
	memset(path, 'a', sizeof path);
	path[0] = '/';
	path[sizeof path - 1] = '\0';
	assert_int_equal(notify_address(path, &addr, &len), -1);
}

static void
watchdog_is_for_the_pid_it_names(void **state)
{
	struct notify nt;

	(void)state;
	assert_int_equal(setenv("NOTIFY_SOCKET", "@test", 1), 0);
	assert_int_equal(setenv("WATCHDOG_USEC", "3000000", 1), 0);
	notify_init(&nt);
	assert_true(nt.enabled);
	assert_int_equal(nt.watchdog_us, 1500000);
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_null(getenv("WATCHDOG_USEC"));
	assert_int_equal(setenv("NOTIFY_SOCKET", "@test", 1), 0);
	assert_int_equal(setenv("WATCHDOG_USEC", "3000000", 1), 0);
	assert_int_equal(setenv("WATCHDOG_PID", "1", 1), 0);
	notify_init(&nt);
	assert_int_equal(nt.watchdog_us, 0);
	notify_init(&nt);
	assert_false(nt.enabled);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(early_deaths_double_the_pause),
	    cmocka_unit_test(proven_workers_are_replaced_at_once),
	    cmocka_unit_test(only_a_minute_resets_the_clock),
	    cmocka_unit_test(backwards_life_is_a_short_one),
	    cmocka_unit_test(statuses_in_words),
	    cmocka_unit_test(signals_have_names),
	    cmocka_unit_test(silence_counts_from_the_latest_sign_of_life),
	    cmocka_unit_test(ready_message),
	    cmocka_unit_test(long_messages_are_cut),
	    cmocka_unit_test(notify_addresses),
	    cmocka_unit_test(watchdog_is_for_the_pid_it_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
