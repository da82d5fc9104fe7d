/*
 * test_garbage: what strangers may send, before and after login. Each case must get the protocol's
 * error or PostgreSQL's own answer; meanwhile another client is served; and afterwards nothing is
 * left: the same worker processes, no client, buffer, backend or file descriptor too many.
 */
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/e2e/raw.h"
#include "tests/e2e/rig.h"

#define V3	    196608
#define POOL_SIZE   4
#define LOGIN_MS    8000 /* client_login_timeout */
#define ANSWER_MS   30000
#define BAD_LENGTH  "08P01 invalid length of startup packet"
#define RSS_GROW_KB (rig.asan ? 400 * 1024L : 32 * 1024L)

static struct pooler pooler;
static struct target direct, through;
static const uint8_t zeroes[8192];

/* --- another client -------------------------------------------------------------------------- */

static atomic_bool enough;
static atomic_int served, unserved;
static atomic_long slowest_ms;

/* Comes, asks, leaves; and asks again on a connection that stays. */
static void *
witness(void *arg)
{
	struct raw stays, comes;
	bool up = raw_login(&stays, &through);

	(void)arg;
	while (!enough) {
		int64_t start = now_ms();
		bool ok = up && raw_query(&stays, "select 1");

		if (raw_login(&comes, &through))
			ok = ok && raw_query(&comes, "select 2");
		else
			ok = false;
		raw_close(&comes);
		if (now_ms() - start > slowest_ms)
			slowest_ms = now_ms() - start;
		served += ok;
		unserved += !ok;
		sleep_ms(5);
	}
	raw_close(&stays);
	return NULL;
}

/* --- what must not grow ---------------------------------------------------------------------- */

struct look {
	long pid, restarts, fds, rss_kb;
};

static struct look before[POOLER_WORKERS];

static long
count_fds(long pid)
{
	char path[64];
	long n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%ld/fd", pid);
	d = opendir(path);
	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		(void)closedir(d);
	return n;
}

static long
rss_kb(long pid)
{
	char path[64], line[256];
	long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/status", pid);
	f = fopen(path, "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "VmRSS: %ld", &kb) == 1)
			break;
	if (f != NULL)
		(void)fclose(f);
	return kb;
}

/* File descriptors without those of backends, which come and go by right. */
static struct look
look_at(int w)
{
	struct look l = {.pid = pooler_get(&pooler, "worker.%d.pid", w),
	    .restarts = pooler_get(&pooler, "worker.%d.restarts", w)};

	l.fds = count_fds(l.pid) - pooler_get(&pooler, "worker.%d.backends", w);
	l.rss_kb = rss_kb(l.pid);
	return l;
}

static bool
at_rest(void *arg)
{
	int w;

	(void)arg;
	if (pooler_get(&pooler, "clients") != 0 || pooler_get(&pooler, "buffers") != 0 ||
	    pooler_get(&pooler, "clients_active") != 0 ||
	    pooler_get(&pooler, "clients_waiting") != 0 ||
	    pooler_get(&pooler, "backends") != pooler_get(&pooler, "backends_idle"))
		return false;
	for (w = 0; before[0].pid != 0 && w < POOLER_WORKERS; w++)
		if (look_at(w).fds != before[w].fds)
			return false;
	return true;
}

static bool
server_at_rest(void *arg)
{
	(void)arg;
	return atol(admin("select count(*) from pg_stat_activity where datname = 'app' and "
			  "(state <> 'idle' or wait_event <> 'ClientRead')")) == 0;
}

/* One that was closed has a moment to end. */
static bool
server_counts(void *arg)
{
	return atol(admin("select count(*) from pg_stat_activity where datname = 'app'")) ==
	       *(long *)arg;
}

static void
check_rest(void)
{
	long backends, cl[3];
	int w;

	check(until(at_rest, NULL, 15000), "gauges are back");
	check(until(server_at_rest, NULL, 5000), "no backend is busy");
	backends = pooler_get(&pooler, "backends");
	cl[0] = pooler_get(&pooler, "cl_active");
	cl[1] = pooler_get(&pooler, "cl_waiting");
	cl[2] = pooler_get(&pooler, "cl_idle");
	check(cl[0] == 0 && cl[1] == 0 && cl[2] == 0, "pool rows are back: %ld %ld %ld", cl[0],
	    cl[1], cl[2]);
	check(backends >= 1 && backends <= POOL_SIZE, "%ld backends for pool_size %d", backends,
	    POOL_SIZE);
	check(until(server_counts, &backends, 5000), "PostgreSQL counts as many");
	for (w = 0; w < POOLER_WORKERS; w++) {
		struct look l = look_at(w);
		check(l.pid == before[w].pid && l.restarts == 0, "worker %d was not replaced", w);
		check(l.fds == before[w].fds, "worker %d: %ld descriptors, %ld before", w, l.fds,
		    before[w].fds);
		check(l.rss_kb - before[w].rss_kb < RSS_GROW_KB, "worker %d grew by %ld kB", w,
		    l.rss_kb - before[w].rss_kb);
	}
}

/* --- before login ---------------------------------------------------------------------------- */

/* Sends, optionally says that no more comes, and returns what it got to hear. */
static const char *
say(const void *bytes, size_t n, bool half_close)
{
	const char *words;
	struct raw r;

	if (!raw_open(&r, &through))
		return "no connection";
	(void)raw_send(&r, bytes, n);
	if (half_close)
		(void)shutdown(r.fd, SHUT_WR);
	words = raw_last_words(&r, ANSWER_MS);
	raw_close(&r);
	return words;
}

static void
check_say(const char *name, struct bytes *b, const char *wanted)
{
	check_text(say(b->p, b->len, false), wanted, "%s", name);
	b->len = 0;
}

static void
random_bytes(void)
{
	uint8_t noise[2000];
	int i, bad = 0;
	size_t k, n;

	srand(7);
	for (i = 0; i < 100; i++) {
		n = 1 + (size_t)rand() % sizeof(noise);
		for (k = 0; k < n; k++)
			noise[k] = (uint8_t)rand();
		if (i % 2 == 1 && n > 4) { /* a length that is possible */
			noise[0] = noise[1] = 0;
			noise[2] &= 7;
		}
		bad += strcmp(say(noise, n, true), "late") == 0;
	}
	check(bad == 0, "random bytes");
}

static void
lengths(void)
{
	static const uint32_t words[] = {
	    0, 1, 3, 4, 7, 10001, 65536, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
	struct bytes b = {0};
	char name[64];
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		put32(&b, words[i]);
		put32(&b, V3);
		snprintf(name, sizeof(name), "startup of length %u", words[i]);
		check_say(name, &b, BAD_LENGTH);
	}
	b.len = 0;
	put32(&b, 10001);
	while (b.len < 10001)
		put32(&b, V3);
	check_say("oversized startup, all of it", &b, BAD_LENGTH);
	put(&b, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 35);
	check_say("HTTP", &b, BAD_LENGTH);
	put(&b, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
	check_say("TLS ClientHello", &b, BAD_LENGTH);
	bytes_free(&b);
}

static void
startups(void)
{
	static const struct {
		const char *name, *wanted;
		uint32_t protocol;
		const char *pairs;
	} bad[] = {
	    {"no user", "28000 no PostgreSQL user name specified in startup packet", V3,
		"database\0app\0"},
	    {"empty user", "28000 no PostgreSQL user name specified in startup packet", V3,
		"user\0\0database\0app\0"},
	    {"protocol 1.0", "0A000 unsupported frontend protocol 1.0: server supports 3.0 to 3.2",
		1 << 16, "user\0postgres\0"},
	    {"protocol 2.0", "0A000 unsupported frontend protocol 2.0: server supports 3.0 to 3.2",
		2 << 16, "user\0postgres\0"},
	    {"protocol 4.0", "0A000 unsupported frontend protocol 4.0: server supports 3.0 to 3.2",
		4 << 16, "user\0postgres\0"},
	    {"no such database", "3D000 no such database: nope", V3,
		"user\0postgres\0database\0nope\0"},
	};
	static const char layout[] =
	    "08P01 invalid startup packet layout: expected terminator as last byte";
	struct bytes b = {0};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put_startup(&b, bad[i].protocol, bad[i].pairs);
		check_say(bad[i].name, &b, bad[i].wanted);
	}
	put_msg(&b, 0, "isss", V3, "user", "postgres", "database");
	check_say("startup, a name without value", &b, layout);
	put_msg(&b, 0, "iss", V3, "user", "postgres");
	check_say("startup without terminator", &b, layout);
	put_msg(&b, 0, "ist", V3, "user", "postgres");
	check_say("startup without a NUL", &b, layout);
	put_msg(&b, 0, "issbs", V3, "user", "postgres", 0, "more");
	check_say("startup, bytes behind the terminator", &b, layout);
	bytes_free(&b);
}

static void
many_parameters(void)
{
	struct bytes b = {0}, pairs = {0};
	int i;

	put(&pairs, "user\0postgres", 14);
	for (i = 0; i < 3000; i++)
		put(&pairs, "a\0", 3);
	put(&pairs, "", 1);
	put_msg(&b, 0, "ir", V3, pairs.p, pairs.len);
	check_say("3000 parameters", &b, "08P01 too many parameters in startup packet");
	bytes_free(&pairs);
	bytes_free(&b);
}

/* 3.99 is spoken down to 3.2, and the session works. */
static void
newer_minor(void)
{
	struct bytes b = {0};
	struct raw r;
	struct msg m = {0};
	bool ok;

	put_startup(&b, V3 + 99, "user\0postgres\0database\0app\0");
	ok = raw_open(&r, &through) && raw_put(&r, &b) && raw_next(&r, &m, ANSWER_MS) == RAW_MSG &&
	     m.type == 'v' && m.len == 8 && memcmp(m.body, "\0\3\0\2\0\0\0\0", 8) == 0;
	while (ok && m.type != 'Z')
		ok = raw_next(&r, &m, ANSWER_MS) == RAW_MSG && m.type != 'E';
	check(ok && raw_query(&r, "select 1"), "protocol 3.99 is negotiated");
	raw_close(&r);
	bytes_free(&b);
}

#define SSL    80877103
#define GSSENC 80877104
#define CANCEL 80877102

static void
encryption_requests(void)
{
	struct bytes b = {0};
	struct raw r;
	bool ok;

	put_msg(&b, 0, "i", SSL);
	ok = raw_open(&r, &through) && raw_put(&r, &b) && raw_byte(&r, ANSWER_MS) == 'N';
	put_msg(&b, 0, "i", SSL);
	ok = ok && raw_put(&r, &b);
	check_text(ok ? raw_last_words(&r, ANSWER_MS) : "no N",
	    "0A000 unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2",
	    "SSLRequest twice");
	raw_close(&r);

	put_msg(&b, 0, "i", GSSENC);
	ok = raw_open(&r, &through) && raw_put(&r, &b) && raw_byte(&r, ANSWER_MS) == 'N';
	put_msg(&b, 0, "i", SSL);
	ok = ok && raw_put(&r, &b) && raw_byte(&r, ANSWER_MS) == 'N';
	put_startup(&b, V3, "user\0postgres\0database\0nope\0");
	ok = ok && raw_put(&r, &b);
	check_text(ok ? raw_last_words(&r, ANSWER_MS) : "no N", "3D000 no such database: nope",
	    "GSSENCRequest, SSLRequest, startup");
	raw_close(&r);

	put_msg(&b, 0, "i", SSL);
	put_startup(&b, V3, "user\0postgres\0database\0app\0");
	ok = raw_open(&r, &through) && raw_put(&r, &b) && raw_byte(&r, ANSWER_MS) == 'N';
	check_text(ok ? raw_last_words(&r, ANSWER_MS) : "no N",
	    "08P01 received unencrypted data after SSL request",
	    "SSLRequest with plaintext behind it");
	raw_close(&r);

	put_msg(&b, 0, "i", GSSENC);
	put_startup(&b, V3, "user\0postgres\0database\0app\0");
	ok = raw_open(&r, &through) && raw_put(&r, &b) && raw_byte(&r, ANSWER_MS) == 'N';
	check_text(ok ? raw_last_words(&r, ANSWER_MS) : "no N",
	    "08P01 received unencrypted data after GSSAPI encryption request",
	    "GSSENCRequest with plaintext behind it");
	raw_close(&r);

	put_msg(&b, 0, "ii", SSL, 0);
	check_say("SSLRequest too long", &b, BAD_LENGTH);
	bytes_free(&b);
}

static void
cancel_requests(void)
{
	static uint8_t key[300];
	static const char bad_key[] = "08P01 invalid length of cancel key in cancel request packet";
	struct bytes b = {0};

	put_msg(&b, 0, "i", CANCEL);
	check_say(
	    "cancel request without a pid", &b, "08P01 invalid length of cancel request packet");
	put_msg(&b, 0, "ii", CANCEL, 1);
	check_say("cancel request without a key", &b, bad_key);
	put_msg(&b, 0, "iir", CANCEL, 1, key, (size_t)3);
	check_say("cancel request, key of 3 bytes", &b, bad_key);
	put_msg(&b, 0, "iir", CANCEL, 1, key, (size_t)257);
	check_say("cancel request, key of 257 bytes", &b, bad_key);
	put_msg(&b, 0, "iir", CANCEL, 0x7ffffff0, key, (size_t)4);
	check_say("cancel request, unknown pid", &b, "eof");
	put_msg(&b, 0, "iir", CANCEL, -1, key, (size_t)256);
	check_say("cancel request, negative pid", &b, "eof");
	bytes_free(&b);
}

/* Each prefix of a good startup packet, then the end: by FIN and by RST. */
static void
half_startups(void)
{
	struct bytes b = {0};
	struct raw r;
	size_t n;

	put_startup(&b, V3, "user\0postgres\0database\0app\0");
	for (n = 0; n < b.len; n++) {
		if (raw_open(&r, &through))
			(void)raw_send(&r, b.p, n);
		if (n % 2 == 0)
			raw_close(&r);
		else
			raw_reset(&r);
	}
	check_text(say(b.p, b.len / 2, true), "eof", "half a startup packet, then the end");
	bytes_free(&b);
}

/* One byte each 50 ms is slow but legal; who is not done in time is told so. */
static void
slow_drip(void)
{
	static const char late[] = "57014 client_login_timeout";
	struct raw ok, slow, half, silent;
	struct bytes b = {0}, more = {0};
	int64_t start = now_ms();
	struct msg m = {0};
	bool open;
	size_t i;

	put_startup(&b, V3, "user\0postgres\0database\0app\0");
	put_startup(&more, V3,
	    "user\0postgres\0database\0app\0application_name\0drip, drip, drip, drip, drip, drip, "
	    "drip, drip, drip, drip, drip, drip, drip, drip, drip, drip, drip, drip, drip, drip, "
	    "drip, drip, drip, drip, drip, drip, drip, drip, drip, drip, drip, drip, drip, drip, "
	    "drip\0");
	open = raw_open(&ok, &through) && raw_open(&slow, &through) && raw_open(&half, &through) &&
	       raw_open(&silent, &through);
	check(open && raw_send(&half, b.p, b.len / 2), "four clients that take their time");
	for (i = 0; i < more.len && !slow.eof && now_ms() < start + LOGIN_MS; i++) {
		if (i < b.len)
			(void)raw_send(&ok, b.p + i, 1);
		(void)raw_send(&slow, more.p + i, 1);
		while (now_ms() < start + 50 * (int64_t)(i + 1) && now_ms() < start + LOGIN_MS)
			sleep_ms(5);
	}
	while (m.type != 'Z' && raw_next(&ok, &m, ANSWER_MS) == RAW_MSG)
		;
	check(m.type == 'Z' && raw_query(&ok, "select 1"), "a byte each 50 ms logs in");
	check_text(raw_last_words(&slow, ANSWER_MS), late, "a byte each 50 ms, too late");
	check_text(raw_last_words(&half, ANSWER_MS), late, "half a packet, held");
	check_text(raw_last_words(&silent, ANSWER_MS), late, "silence");
	check(now_ms() - start >= LOGIN_MS - 100, "not before client_login_timeout");
	raw_close(&ok);
	raw_close(&slow);
	raw_close(&half);
	raw_close(&silent);
	bytes_free(&b);
	bytes_free(&more);
}

/* --- after login ----------------------------------------------------------------------------- */

/* What pgdrove itself must refuse. The client asks something first, so that it is served. */
static void
check_refused(const char *name, struct bytes *b, const char *wanted)
{
	struct raw r;
	bool ok = raw_login(&r, &through) && raw_query(&r, "select 1") && raw_put(&r, b);

	check_text(ok ? raw_last_words(&r, ANSWER_MS) : "not sent", wanted, "%s", name);
	raw_close(&r);
	b->len = 0;
}

static void
message_lengths(void)
{
	static const struct {
		char type;
		uint32_t len;
	} bad[] = {{'Q', 0}, {'Q', 3}, {'Q', 0x40000000}, {'Q', 0x7fffffff}, {'Q', 0x80000000},
	    {'Q', 0xffffffff}, {'S', 3}, {'S', 10001}, {'H', 10001}, {'H', 2}, {'E', 10001},
	    {'D', 0x7fffffff}, {'C', 10001}, {'d', 1}, {'d', 0xffffffff}, {'c', 10001},
	    {'f', 10001}, {'B', 0x40000000}, {'P', 0x80000000}, {'F', 0x7fffffff}, {'X', 3},
	    {'X', 10001}};
	struct bytes b = {0};
	char name[64];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put(&b, &bad[i].type, 1);
		put32(&b, bad[i].len);
		put(&b, "select 1", 9);
		snprintf(name, sizeof(name), "'%c' of length %u", bad[i].type, bad[i].len);
		check_refused(name, &b, "08P01 invalid message length");
	}
	bytes_free(&b);
}

static void
message_types(void)
{
	static const char types[] = {'z', 'p', 'R', 'K', '1', 0x01, 0x7f, (char)0xff, ' '};
	struct bytes b = {0};
	char name[64], wanted[64];
	size_t i;

	for (i = 0; i < sizeof(types); i++) {
		put(&b, &types[i], 1);
		put32(&b, 12);
		put(&b, "password", 9);
		snprintf(name, sizeof(name), "message type %d", (uint8_t)types[i]);
		snprintf(wanted, sizeof(wanted), "08P01 invalid frontend message type %d",
		    (uint8_t)types[i]);
		check_refused(name, &b, wanted);
	}
	put_msg(&b, 'Q', "s", "begin");
	put_msg(&b, 'Q', "s", "select 1");
	put_msg(&b, 'z', "");
	check_refused("unknown type in a block", &b, "08P01 invalid frontend message type 122");
	bytes_free(&b);
}

/* What PostgreSQL answers is what the client gets, and the session goes on as there. */
static void
check_same(struct script *s)
{
	char *wanted = script_run(s, &direct, PACE_STEPS);
	char *got = script_run(s, &through, PACE_STEPS);

	check_text(got, wanted, "%s", s->name);
	if (!check(strstr(wanted, "08P01") != NULL, "%s: PostgreSQL calls it a violation", s->name))
		printf("%s", wanted);
	free(wanted);
	free(got);
	script_free(s);
}

/* One bad message (and a Sync, if it is of the extended protocol), then a good query. */
static void
same(const char *name, char type, const char *body, size_t len)
{
	struct script s = {.name = name};

	if (type == 'B')
		put_msg(script_bytes(&s), 'P', "ssh", "", "select $1::text", 0);
	put_msg(script_bytes(&s), type, "r", body, len);
	if (strchr("PBEDCH", type) != NULL)
		put_msg(script_bytes(&s), 'S', "");
	script_await(&s, 'Z', 1);
	put_msg(script_bytes(&s), 'Q', "s", "select 'still here'");
	script_await(&s, 'Z', 1);
	check_same(&s);
}

static void
broken_bodies(void)
{
	same("Query without NUL", 'Q', "select 1", 8);
	same("empty Query body", 'Q', "", 0);
	same("Query with bytes behind the NUL", 'Q', "select 1\0select 2", 17);
	same("Parse without NUL", 'P', "name", 4);
	same("Parse cut in its types", 'P', "\0select 1\0\0\2\0\0", 14);
	same("Bind cut short", 'B', "\0\0\0", 3);
	same("Bind, parameters missing", 'B', "\0\0\0\0\0\5", 6);
	same("Bind, parameter of 2 GB", 'B', "\0\0\0\0\0\1\x7f\xff\xff\xff", 10);
	same("Execute without rows", 'E', "\0\0", 2);
	same("Describe of nothing", 'D', "", 0);
	same("Close of an unknown kind", 'C', "Q\0", 2);
	same("Flush with a body", 'H', "abc", 3);
	same("Sync with a body", 'S', "abcd", 4);
	same("FunctionCall cut short", 'F', "\0\0", 2);
}

static void
copy_out_of_place(void)
{
	struct script s = {.name = "COPY's messages without COPY, and broken"};
	struct bytes *b = script_bytes(&s);
	int i;

	for (i = 0; i < 1000; i++) {
		put_msg(b, 'd', "t", "1\t2\n");
		put_msg(b, i % 2 == 0 ? 'c' : 'f', "");
	}
	put_msg(b, 'S', "b", 1);
	put_msg(b, 'd', "");
	put_msg(b, 'Q', "s", "select 1");
	script_await(&s, 'Z', 2);
	check_same(&s);
}

/* The client leaves in the middle of each kind of message; what came of it must not run. */
static void
cut_messages(void)
{
	static const char sql[] = "insert into t values (1); --xxxxx";
	struct bytes b = {0}, begin = {0};
	struct raw r;
	size_t cut;
	bool n;

	put_msg(&begin, 'Q', "s", "select pg_sleep(0.01)");
	put_msg(&b, 'Q', "s", sql);
	for (cut = 1; cut < b.len; cut++) {
		struct bytes part = {0};

		put(&part, begin.p, cut % 3 == 0 ? begin.len : 0);
		put(&part, b.p, cut);
		if (raw_login(&r, &through))
			(void)raw_put(&r, &part);
		if (cut % 2 == 0)
			raw_close(&r);
		else
			raw_reset(&r);
		bytes_free(&part);
	}
	bytes_free(&b);
	put_msg(&b, 'Q', "s", "select pg_sleep(600)");
	put_msg(&b, 'Q', "s", sql);
	if (raw_login(&r, &through))
		(void)raw_send(&r, b.p, b.len - 4);
	sleep_ms(200);
	raw_close(&r);
	check(until(server_at_rest, NULL, 8000), "cut messages: nothing runs on");
	n = raw_login(&r, &direct) && raw_query(&r, "do $$ begin if exists (select from t) then "
						    "raise exception 'ran'; end if; end $$");
	check(n, "cut messages: none was run");
	raw_close(&r);
	bytes_free(&b);
	bytes_free(&begin);
}

/* --- much at once ---------------------------------------------------------------------------- */

static int
count_ready(struct raw *r, int wanted)
{
	struct msg m;
	int n = 0;

	while (n < wanted && raw_next(r, &m, 20000) == RAW_MSG && m.type != 'E')
		n += m.type == 'Z';
	return n;
}

static void
pipelines(void)
{
	struct bytes b = {0};
	struct raw r;
	int i, n;

	for (i = 0; i < 50000; i++)
		put_msg(&b, 'S', "");
	n = raw_login(&r, &through) && raw_put(&r, &b) ? count_ready(&r, 50000) : -1;
	check(n == 50000, "50,000 Syncs: %d answers", n);
	for (i = 0; i < 10000; i++)
		put_msg(&b, "Hdcf"[i % 4], i % 4 == 3 ? "b" : "", 0);
	put_msg(&b, 'Q', "s", "select 1");
	n = raw_put(&r, &b) ? count_ready(&r, 1) : -1;
	check(n == 1, "10,000 tiny messages that nobody answers");
	for (i = 0; i < 10000; i++)
		put_msg(&b, 'Q', "s", "");
	n = raw_put(&r, &b) ? count_ready(&r, 10000) : -1;
	check(n == 10000, "10,000 empty queries: %d answers", n);
	for (i = 0; i < 5000; i++) {
		put_msg(&b, 'P', "ssh", "", "", 0);
		put_msg(&b, 'B', "sshhh", "", "", 0, 0, 0);
		put_msg(&b, 'E', "si", "", 0);
	}
	put_msg(&b, 'S', "");
	n = raw_put(&r, &b) ? count_ready(&r, 1) : -1;
	check(n == 1, "15,000 messages before one Sync");
	raw_close(&r);
	bytes_free(&b);
}

/* Asks for more than it reads, and then goes. */
static void
never_reads(void)
{
	struct bytes b = {0};
	struct raw r;
	int i;

	for (i = 0; i < 20; i++)
		put_msg(&b, 'Q', "s", "select repeat('x', 1000000) from generate_series(1, 20)");
	check(raw_login(&r, &through) && raw_put(&r, &b), "20 big answers, none is read");
	sleep_ms(500);
	raw_reset(&r);
	bytes_free(&b);
}

/* Who is refused has 8 MB more on the way and reads nothing before all is sent: the text comes
 * whole, and behind it the end, no reset. */
static void
last_words(void)
{
	static char got[65536];
	struct bytes b = {0};
	struct raw r;
	size_t sent = 0, n = 0;
	ssize_t k = -1;
	int i;

	if (!check(raw_login(&r, &through), "8 MB behind what is refused: logged in"))
		return;
	put_msg(&b, 'y', "");
	for (i = 0; i < 1024; i++)
		put_msg(&b, 'Q', "r", zeroes, sizeof(zeroes));
	for (;;) {
		struct pollfd pfd = {.fd = r.fd, .events = sent < b.len ? POLLOUT : POLLIN};
		if (poll(&pfd, 1, ANSWER_MS) != 1)
			break;
		k = sent < b.len ? send(r.fd, b.p + sent, b.len - sent, MSG_NOSIGNAL)
				 : recv(r.fd, got + n, sizeof(got) - n, 0);
		if (k <= 0)
			break;
		*(sent < b.len ? &sent : &n) += (size_t)k;
	}
	check(sent == b.len, "... all are taken (%zu of %zu bytes)", sent, b.len);
	check(k == 0 && memmem(got, n, "C08P01", 7) != NULL,
	    "... it reads why, and the end, no reset (%zu bytes, %s)", n,
	    k == 0 ? "the end" : strerror(errno));
	raw_close(&r);
	bytes_free(&b);
}

/* --- all of it ------------------------------------------------------------------------------- */

static void
start(void)
{
	char conf[1024];
	struct raw r;
	int w;

	(void)admin("create database app");
	snprintf(conf, sizeof(conf),
	    "pool_mode = \"transaction\"; pool_size = %d; client_login_timeout = \"%dms\";\n"
	    "log_connections = false; log_disconnections = false;\n"
	    "databases = ( { name = \"app\"; host = \"127.0.0.1\"; port = %d; } );\n"
	    "users = ( { name = \"postgres\"; } );",
	    POOL_SIZE, LOGIN_MS, rig.pg_port);
	if (!pooler_start(&pooler, "garbage", conf))
		exit(rig_end());
	direct = (struct target){"direct", "127.0.0.1", rig.pg_port, "postgres", "app"};
	through = (struct target){"pgdrove", "127.0.0.1", pooler.port, "postgres", "app"};
	check(raw_login(&r, &through) && raw_query(&r, "create table t (a int)"), "table");
	raw_close(&r);
	check(until(at_rest, NULL, 10000), "at rest before it begins");
	for (w = 0; w < POOLER_WORKERS; w++)
		before[w] = look_at(w);
}

int
main(int argc, char **argv)
{
	static void (*const parts[])(void) = {random_bytes, lengths, startups, many_parameters,
	    newer_minor, encryption_requests, cancel_requests, half_startups, slow_drip,
	    message_lengths, message_types, broken_bodies, copy_out_of_place, cut_messages,
	    pipelines, never_reads, last_words};
	pthread_t other;
	size_t i;

	(void)argc;
	rig_start("trust", argv);
	start();
	if (pthread_create(&other, NULL, witness, NULL) != 0)
		return 1;
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		parts[i]();
	enough = true;
	(void)pthread_join(other, NULL);
	check(unserved == 0 && served > 50, "another client: served %d times, %d failures", served,
	    unserved);
	check(slowest_ms < 20000, "another client: slowest turn %ld ms", slowest_ms);
	check_rest();
	pooler_stop(&pooler);
	return rig_end();
}
