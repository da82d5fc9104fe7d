/*
 * test_log: lines as text and JSON, what hostile text becomes, a pipe that nobody reads, a full
 * disk, the system's log, repeats.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/log.h"
#include "conf/log_line.h"

static char dir[] = "/tmp/test_log.XXXXXX";

static char *
path_of(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* The whole file, NUL-terminated, static. */
static char *
contents(const char *name)
{
	static char text[65536];
	FILE *f = fopen(path_of(name), "r");

	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	return text;
}

static int
count(const char *text, const char *part)
{
	int n = 0;

	for (; (text = strstr(text, part)) != NULL; text++)
		n++;
	return n;
}

static void
json_escapes(void **state)
{
	struct log_line l;

	(void)state;
	log_line_init(&l);
	log_line_json(&l, "a\"b\\c\nd\x01"
			  "e\xc3\xa9\xff\xe2\x82\xc0\x80\xed\xa0\x80z");
	l.bytes[l.len] = '\0';
	assert_string_equal(l.bytes, "a\\\"b\\\\c\\nd\\u0001e\xc3\xa9\\ufffd\\ufffd\\ufffd\\ufffd"
				     "\\ufffd\\ufffd\\ufffd\\ufffdz");
}

static void
long_line_is_cut(void **state)
{
	struct log_line l;
	size_t n;

	(void)state;
	log_line_init(&l);
	for (int i = 0; i < 3000; i++)
		log_line_json(&l, "\n");
	n = log_line_end(&l, "\"}");
	assert_true(n <= LOG_LINE_SIZE);
	assert_memory_equal(l.bytes + n - 8, "\\n...\"}\n", 8);
}

static void
text_and_json(void **state)
{
	const struct log_pair pairs[] = {
	    {"event", "closed", 0}, {"age_us", NULL, 17}, {NULL, NULL, 0}};
	char *text;

	(void)state;
	assert_int_equal(log_open(path_of("lines")), 0);
	log_set_name("worker 1");
	log_info("a \"name\"\nwith a line");
	log_set_format(LOG_FORMAT_JSON);
	log_pairs(pairs, "gone: \"%s\"", "x");
	log_set_format(LOG_FORMAT_TEXT);
	text = contents("lines");
	assert_non_null(strstr(text, "] worker 1 info: a \"name\"\\nwith a line\n"));
	assert_non_null(strstr(text, "\"process\":\"worker 1\",\"event\":\"closed\",\"age_us\":17,"
				     "\"message\":\"gone: \\\"x\\\"\"}\n"));
}

static void
reopen_after_rotation(void **state)
{
	char old[80];

	(void)state;
	assert_int_equal(log_open(path_of("rotated")), 0);
	log_info("before");
	snprintf(old, sizeof(old), "%s.1", path_of("rotated"));
	assert_int_equal(rename(path_of("rotated"), old), 0);
	log_info("between");
	assert_int_equal(log_reopen(), 0);
	log_info("after");
	assert_int_equal(count(contents("rotated.1"), "be"), 2);
	assert_int_equal(count(contents("rotated"), "after"), 1);
}

/* More lines than a pipe holds: none of them waits, the rest is counted, and told of later. */
static void
pipe_that_nobody_reads(void **state)
{
	struct log_counts n;
	static char buf[1 << 21];
	ssize_t len;
	int fd;

	(void)state;
	assert_int_equal(mkfifo(path_of("pipe"), 0600), 0);
	fd = open(path_of("pipe"), O_RDONLY | O_NONBLOCK);
	assert_int_not_equal(fd, -1);
	assert_int_equal(log_open(path_of("pipe")), 0);
	log_limit_repeats();
	log_tick(&n);
	for (int i = 0; i < 4000; i++)
		log_pairs((const struct log_pair[]){{NULL, NULL, 0}}, "line %1000d", i);
	log_tick(&n);
	assert_in_range(n.dropped, 3000, 4000);
	len = read(fd, buf, sizeof(buf) / 2);
	assert_true(len > 0);
	log_tick(&n); /* its summary may have had room before: it is shorter than those lines */
	assert_int_equal(n.dropped, 0);
	(void)!read(fd, buf + len, sizeof(buf) / 2 - 1);
	assert_non_null(strstr(buf, "lines of the log could not be written"));
	close(fd);
}

static void
full_disk(void **state)
{
	struct log_counts n;

	(void)state;
	assert_int_equal(log_open("/dev/full"), 0);
	log_tick(&n);
	log_warnx("one");
	log_warnx("two");
	log_tick(&n);
	assert_int_equal(n.dropped, 2);
	log_tick(&n); /* telling of it fails too, and is no loss of its own */
	assert_int_equal(n.dropped, 0);
	assert_int_equal(log_open(path_of("again")), 0);
	log_tick(&n);
	assert_non_null(
	    strstr(contents("again"), "2 lines of the log could not be written: No space"));
}

static void
repeats(void **state)
{
	struct log_counts n;
	char *text;

	(void)state;
	assert_int_equal(log_open(path_of("repeats")), 0);
	log_tick(&n);
	for (int i = 0; i < 200; i++)
		log_info("the same %d", i);
	log_info("another");
	log_tick(&n);
	assert_in_range(n.repeats, 140, 150);
	text = contents("repeats");
	assert_int_equal(count(text, "the same") + (int)n.repeats, 201); /* the summary has one */
	assert_non_null(strstr(text, "more lines of this kind, the last: the same 199\n"));
	assert_int_equal(count(text, "another"), 1);
}

static void
system_log(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char got[512];
	ssize_t len;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	struct log_counts n;

	(void)state;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path_of("dev-log"));
	log_tick(&n);
	log_set_syslog(a.sun_path, "pooler", LOG_TO_LOCAL0);
	log_warnx("nobody listens");
	log_tick(&n);
	assert_int_equal(n.dropped, 1);
	assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	log_set_syslog(a.sun_path, "pooler", LOG_TO_LOCAL0);
	log_warnx("hello");
	len = recv(fd, got, sizeof(got) - 1, 0);
	assert_true(len > 0);
	got[len] = '\0';
	assert_int_equal(strncmp(got, "<132>pooler[", 12), 0);
	assert_non_null(strstr(got, "warning: hello"));
	for (int i = 0; i < 5000; i++) /* its queue fills up: nobody waits */
		log_pairs((const struct log_pair[]){{NULL, NULL, 0}}, "line %d", i);
	log_tick(&n);
	assert_true(n.dropped > 1000);
	log_set_syslog(NULL, "", LOG_TO_USER);
	close(fd);
}

static int
set_up(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
	static const char *const names[] = {
	    "lines", "rotated", "rotated.1", "pipe", "again", "repeats", "dev-log"};

	(void)state;
	(void)log_open(NULL);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)unlink(path_of(names[i]));
	return rmdir(dir);
}

int
main(void)
{
	/* repeats are only limited from pipe_that_nobody_reads on */
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(json_escapes),
	    cmocka_unit_test(long_line_is_cut),
	    cmocka_unit_test(text_and_json),
	    cmocka_unit_test(reopen_after_rotation),
	    cmocka_unit_test(pipe_that_nobody_reads),
	    cmocka_unit_test(full_disk),
	    cmocka_unit_test(repeats),
	    cmocka_unit_test(system_log),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
