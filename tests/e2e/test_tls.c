/*
 * test_tls: TLS by a client that does what psql and s_client do not: sends what it should not, at
 * the wrong time, in pieces, or leaves in the middle; and a server of the same kind.
 *
 * The matrix of modes and certificates is tests/e2e/tls.sh.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tests/e2e/raw.h"
#include "tests/e2e/rig.h"

#define CROWD 200

static struct pooler pooler;
static SSL_CTX *plain_ctx;
static int fake_port;

/* --- a client with TLS ------------------------------------------------------------------------ */

struct tls_client {
	int fd;
	SSL *ssl;
};

static int
tcp(int port)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval patience = {.tv_sec = 20};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1 || connect(fd, (struct sockaddr *)&in, sizeof(in)) == -1)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static const uint8_t ssl_request[] = {0, 0, 0, 8, 4, 210, 22, 47};

/* After SSLRequest and its answer. -1: the answer was not S. */
static int
asked(void)
{
	char answer = 0;
	int fd = tcp(pooler.port);

	if (fd == -1 || send(fd, ssl_request, 8, MSG_NOSIGNAL) != 8 ||
	    recv(fd, &answer, 1, 0) != 1 || answer != 'S') {
		close(fd);
		return -1;
	}
	return fd;
}

static bool
tls_open(struct tls_client *c, SSL_SESSION *session, int version)
{
	c->ssl = NULL;
	c->fd = asked();
	if (c->fd == -1)
		return false;
	c->ssl = SSL_new(plain_ctx);
	if (version != 0)
		(void)SSL_set_max_proto_version(c->ssl, version);
	if (session != NULL)
		(void)SSL_set_session(c->ssl, session);
	(void)SSL_set_fd(c->ssl, c->fd);
	return SSL_connect(c->ssl) == 1;
}

static void
tls_end(struct tls_client *c)
{
	ERR_clear_error();
	if (c->ssl != NULL) /* else its session would count as broken */
		SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(c->ssl);
	if (c->fd != -1)
		close(c->fd);
}

static bool
tls_put(struct tls_client *c, struct bytes *b)
{
	bool good = SSL_write(c->ssl, b->p, (int)b->len) == (int)b->len;

	bytes_free(b);
	*b = (struct bytes){0};
	return good;
}

static bool
read_all(struct tls_client *c, uint8_t *to, size_t n)
{
	while (n > 0) {
		int got = SSL_read(c->ssl, to, n > 1 << 20 ? 1 << 20 : (int)n);
		if (got <= 0)
			return false;
		to += got;
		n -= (size_t)got;
	}
	return true;
}

/* Reads messages up to one of this type; its body in `body` (cut). False: the end came before. */
static bool
read_to(struct tls_client *c, char type, char *body, size_t size)
{
	uint8_t head[5], *text;
	size_t len;
	bool good;

	do {
		if (!read_all(c, head, 5))
			return false;
		len =
		    (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
		text = malloc(len);
		good = text != NULL && len >= 4 && read_all(c, text, len - 4);
		if (good && body != NULL && (char)head[0] == type)
			snprintf(body, size, "%.*s", (int)(len - 4), (char *)text);
		free(text);
	} while (good && (char)head[0] != type);
	return good;
}

static bool
tls_login(struct tls_client *c, const char *db)
{
	struct bytes b = {0};
	char pairs[64];
	int n = snprintf(pairs, sizeof(pairs), "user%cpostgres%cdatabase%c%s%c", 0, 0, 0, db, 0);

	pairs[n] = '\0';
	put_startup(&b, 196608, pairs);
	return tls_put(c, &b) && read_to(c, 'Z', NULL, 0);
}

static bool
tls_query(struct tls_client *c, const char *sql)
{
	struct bytes b = {0};

	put_msg(&b, 'Q', "s", sql);
	return tls_put(c, &b) && read_to(c, 'Z', NULL, 0);
}

static bool
serves(void *arg)
{
	struct tls_client c;
	bool good = tls_open(&c, NULL, 0) && tls_login(&c, "app") && tls_query(&c, "select 1");

	(void)arg;
	tls_end(&c);
	return good;
}

static bool
nobody_left(void *arg)
{
	(void)arg;
	return pooler_get(&pooler, "clients") == 0;
}

/* --- what is sent in clear must not count as sent by TLS -------------------------------------- */

static void
injected_by_a_client(void)
{
	struct target t = {.host = "127.0.0.1", .port = pooler.port};
	struct bytes b = {0};
	struct raw r;

	put(&b, ssl_request, 8);
	put_startup(&b, 196608, "user\0postgres\0database\0app\0");
	if (check(raw_open(&r, &t), "injection: connected") && raw_put(&r, &b))
		check_text(raw_last_words(&r, 20000),
		    "08P01 received unencrypted data after SSL request",
		    "injection: a startup packet behind SSLRequest");
	raw_close(&r);
	put(&b, ssl_request, 8);
	put(&b, "\x16", 1);
	if (check(raw_open(&r, &t), "injection: connected") && raw_put(&r, &b))
		check_text(raw_last_words(&r, 20000),
		    "08P01 received unencrypted data after SSL request",
		    "injection: one byte behind SSLRequest");
	raw_close(&r);
	bytes_free(&b);
}

static void
asked_again_inside(void)
{
	struct bytes b = {0};
	struct tls_client c;
	char error[256] = "";

	if (check(tls_open(&c, NULL, 0), "SSLRequest within TLS: connected")) {
		put(&b, ssl_request, 8);
		check(tls_put(&c, &b) && read_to(&c, 'E', error, sizeof(error)) &&
			  SSL_read(c.ssl, error, 1) <= 0,
		    "SSLRequest within TLS: refused");
	}
	tls_end(&c);
}

/* --- a server that answers what a test says ----------------------------------------------------
 */

static const char *fake_answer;
static size_t fake_len;
static atomic_int fake_asked, fake_clear, fake_after;

/* Answers each SSLRequest so; counts who goes on after it, and who comes in clear. */
static void *
fake_server(void *arg)
{
	int listener = *(int *)arg, fd;

	while ((fd = accept(listener, NULL, NULL)) != -1) {
		uint8_t first[512];
		ssize_t n = recv(fd, first, sizeof(first), 0);
		if (n == 8 && memcmp(first, ssl_request, 8) == 0) {
			fake_asked++;
			(void)send(fd, fake_answer, fake_len, MSG_NOSIGNAL);
			fake_after += recv(fd, first, sizeof(first), 0) > 0;
		} else if (n > 0) {
			fake_clear++;
		}
		close(fd);
	}
	return NULL;
}

static int
fake_start(void)
{
	static int listener;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	pthread_t thread;
	int port = free_port();

	in.sin_port = htons((uint16_t)port);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener == -1 || bind(listener, (struct sockaddr *)&in, sizeof(in)) == -1 ||
	    listen(listener, 16) == -1 ||
	    pthread_create(&thread, NULL, fake_server, &listener) != 0)
		abort();
	return port;
}

struct asked {
	const char *db;
	char words[1024];
};

static bool
none_connects(void *arg)
{
	(void)arg;
	return pooler_get(&pooler, "sv_login") == 0;
}

/* What a client is told who wants this database. False: that the host has failed and is left alone
 * for a moment, so that nobody asked it. */
static bool
answered_by_host(void *arg)
{
	struct asked *a = arg;
	struct target t = {
	    .host = "127.0.0.1", .port = pooler.port, .user = "postgres", .db = a->db};
	struct bytes b = {0};
	struct raw r;

	a->words[0] = '\0';
	put_startup(&b, 196608,
	    strcmp(a->db, "fake_require") == 0 ? "user\0postgres\0database\0fake_require\0"
					       : "user\0postgres\0database\0fake_prefer\0");
	if (raw_open(&r, &t) && raw_put(&r, &b))
		(void)strlcpy(a->words, raw_last_words(&r, 20000), sizeof(a->words));
	raw_close(&r);
	bytes_free(&b);
	return strstr(a->words, "being tried again") == NULL;
}

static void
fake_case(const char *name, const char *db, const char *answer, size_t len, const char *wanted)
{
	struct asked a = {.db = db};

	(void)until(none_connects, NULL, 10000); /* the one before is over */
	fake_answer = answer;
	fake_len = len;
	(void)until(answered_by_host, &a, 20000);
	check(strstr(a.words, wanted) != NULL, "%s: %s", name, a.words);
}

static bool
goes_on_in_clear(void *arg)
{
	(void)answered_by_host(arg);
	return fake_clear > 0;
}

static void
injected_by_a_server(void)
{
	fake_case("a server sends more than S", "fake_require", "SSSSSS", 6,
	    "received unencrypted data behind the answer");
	fake_case("... and N", "fake_prefer", "NR\0\0\0\10\0\0\0\0", 10,
	    "received unencrypted data behind the answer");
	fake_case("a server without TLS, require", "fake_require", "N", 1,
	    "the server has no TLS, and server_tls_sslmode wants it");
	fake_case("a server answers nonsense", "fake_require", "E\0\0\0\10boo", 8,
	    "received unencrypted data behind the answer");
	check(fake_clear == 0 && fake_after == 0, "nobody said anything to it in clear");
	fake_case("prefer, a server without TLS", "fake_prefer", "N", 1, "lost the server");
	check(fake_clear == 0 && fake_after > 0, "... goes on without, by the same connection");
	fake_answer = "S";
	fake_len = 1;
	check(until(goes_on_in_clear, &(struct asked){.db = "fake_prefer"}, 20000),
	    "prefer, a server whose TLS breaks off: goes on without, by another connection");
}

/* --- in the handshake --------------------------------------------------------------------------
 */

static void
garbage_in_handshake(void)
{
	uint8_t junk[600];
	int i, fd, ended = 0;

	for (i = 0; i < 40; i++) {
		size_t k, n = (size_t)(random() % (long)sizeof(junk)) + 1;
		for (k = 0; k < n; k++)
			junk[k] = (uint8_t)random();
		if (i % 2 == 0) { /* the beginning of a record that is right */
			memcpy(junk, "\x16\x03\x01\x00\x40\x01\x00\x00\x3c\x03\x03", 11);
			n = n < 80 ? 80 : n;
		}
		fd = asked();
		if (fd == -1)
			continue;
		(void)send(fd, junk, n, MSG_NOSIGNAL);
		(void)shutdown(fd, SHUT_WR);
		while (recv(fd, junk, sizeof(junk), 0) > 0)
			;
		ended++;
		close(fd);
	}
	check(ended == 40, "garbage in the handshake: each connection ends (%d of 40)", ended);
	check(until(serves, NULL, 10000), "... and others are served");
}

/* The bytes of a ClientHello, cut at every so many, and then the client goes or stays silent. */
static void
left_in_handshake(void)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL *ssl = SSL_new(plain_ctx);
	struct linger rst = {1, 0};
	uint8_t *hello;
	long len;
	int i, fd;

	SSL_set_bio(ssl, in, out);
	(void)SSL_connect(ssl);
	len = BIO_get_mem_data(out, &hello);
	for (i = 0; i < 30; i++) {
		fd = asked();
		if (fd == -1)
			continue;
		(void)send(fd, hello, (size_t)(len * i / 29), MSG_NOSIGNAL);
		if (i % 3 == 0)
			(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
		close(fd);
	}
	check(until(nobody_left, NULL, 10000), "gone in the handshake: nobody is left");
	fd = asked();
	(void)send(fd, hello, (size_t)len, MSG_NOSIGNAL);
	check(until(nobody_left, NULL, 15000), "silent in the handshake: client_login_timeout");
	close(fd);
	SSL_free(ssl);
	ERR_clear_error();
}

/* --- odd ways to speak TLS ----------------------------------------------------------------------
 */

static void
byte_by_byte(void)
{
	struct bytes b = {0};
	struct tls_client c;
	bool good = true;
	size_t i;

	if (check(tls_open(&c, NULL, 0) && tls_login(&c, "app"), "byte by byte: logged in")) {
		put_msg(&b, 'Q', "s", "select 'a record for each byte'");
		for (i = 0; i < b.len; i++)
			good &= SSL_write(c.ssl, b.p + i, 1) == 1;
		check(good && read_to(&c, 'Z', NULL, 0), "a record for each byte");
		bytes_free(&b);
	}
	tls_end(&c);
}

/* TLS's own messages are no reason to hold a backend. */
static void
new_keys(void)
{
	struct tls_client c;
	char error[256];

	if (check(tls_open(&c, NULL, 0) && tls_login(&c, "one"), "new keys: logged in")) {
		(void)SSL_key_update(c.ssl, SSL_KEY_UPDATE_REQUESTED);
		check(SSL_do_handshake(c.ssl) == 1 && tls_query(&c, "select 1"),
		    "new keys, then a query");
		(void)SSL_key_update(c.ssl, SSL_KEY_UPDATE_REQUESTED);
		(void)SSL_do_handshake(c.ssl);
		{
			struct tls_client other;
			check(tls_open(&other, NULL, 0) && tls_login(&other, "one") &&
				  tls_query(&other, "select 1"),
			    "new keys while idle hold no backend");
			tls_end(&other);
		}
	}
	tls_end(&c);
	if (check(tls_open(&c, NULL, TLS1_2_VERSION) && tls_login(&c, "app"),
		"renegotiation: logged in with TLS 1.2")) {
		(void)SSL_renegotiate(c.ssl);
		(void)SSL_do_handshake(c.ssl);
		check(!tls_query(&c, "select 1") || SSL_read(c.ssl, error, 0) <= 0,
		    "renegotiation is refused");
	}
	tls_end(&c);
	check(until(serves, NULL, 10000), "... and others are served");
}

/* --- resumption ----------------------------------------------------------------------------------
 */

static SSL_SESSION *ticket;

static int
keep_ticket(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(ticket);
	ticket = session;
	return 1;
}

/* How many of `n` connections with the same ticket are taken up again. */
static int
resumed(int n, int version)
{
	SSL_SESSION *first = SSL_SESSION_dup(ticket), *mine;
	struct tls_client c;
	int i, again = 0;

	for (i = 0; i < n; i++) {
		mine = SSL_SESSION_dup(first); /* OpenSSL uses one of TLS 1.3 only once */
		if (tls_open(&c, mine, version) && tls_login(&c, "app"))
			again += SSL_session_reused(c.ssl);
		tls_end(&c);
		SSL_SESSION_free(mine);
	}
	SSL_SESSION_free(first);
	return again;
}

static bool
worker_is_new(void *arg)
{
	return pooler_get(&pooler, "worker.0.pid") != *(long *)arg &&
	       pooler_get(&pooler, "worker.0.state") == 2;
}

static void
resumption(int version, const char *name)
{
	long workers = 0, before[POOLER_WORKERS], old = pooler_get(&pooler, "worker.0.pid");
	struct tls_client c;
	int w;

	for (w = 0; w < POOLER_WORKERS; w++)
		before[w] = pooler_get(&pooler, "worker.%d.tls_resumed", w);
	check(tls_open(&c, NULL, version) && tls_login(&c, "app") && ticket != NULL,
	    "%s: a ticket comes", name);
	tls_end(&c);
	w = resumed(24, version);
	check(w == 24, "%s: taken up again, %d of 24", name, w);
	for (w = 0; w < POOLER_WORKERS; w++)
		workers += pooler_get(&pooler, "worker.%d.tls_resumed", w) > before[w];
	check(workers > 1, "%s: ... by %ld workers", name, workers);
	if (version != TLS1_3_VERSION)
		return;
	(void)kill((pid_t)old, SIGKILL);
	check(until(worker_is_new, &old, 20000), "a worker is killed and replaced");
	w = resumed(24, version);
	check(w == 24, "... and tickets are still good, %d of 24", w);
}

/* --- much data
 * ------------------------------------------------------------------------------------ */

#define BIG (64 << 20)

/* Reads nothing for a while: one backend is busy, others are served, memory stays small. */
static void
slow_reader(void)
{
	struct bytes b = {0};
	struct tls_client c;
	uint8_t *all = malloc(BIG);
	size_t i, wrong = 0;
	long buffers;

	if (all == NULL ||
	    !check(tls_open(&c, NULL, 0) && tls_login(&c, "app"), "slow reader: logged in"))
		return;
	put_msg(&b, 'Q', "s", "select repeat('x', 67108864)");
	(void)tls_put(&c, &b);
	sleep_ms(300);
	check(until(serves, NULL, 10000), "slow reader: others are served");
	buffers = pooler_get(&pooler, "buffers");
	check(buffers < 16, "slow reader: %ld buffers hold it", buffers);
	if (check(read_all(&c, all, 5) && all[0] == 'T' && read_all(&c, all, (size_t)all[4] - 4) &&
		      read_all(&c, all, 11) && all[0] == 'D' && read_all(&c, all, BIG),
		"slow reader: 64 MB arrive")) {
		for (i = 0; i < BIG; i++)
			wrong += all[i] != 'x';
		check(wrong == 0 && read_to(&c, 'Z', NULL, 0), "... every byte");
	}
	tls_end(&c);
	free(all);
}

/* A query of 20 MB; the server hashes it. */
static void
big_writer(void)
{
	size_t len = 20 << 20;
	char *sql = malloc(len + 64);
	struct bytes b = {0};
	struct tls_client c;
	char row[64] = "";

	if (sql == NULL ||
	    !check(tls_open(&c, NULL, 0) && tls_login(&c, "app"), "big writer: logged in"))
		return;
	memcpy(sql, "select length('", 15);
	memset(sql + 15, 'y', len);
	snprintf(sql + 15 + len, 32, "') / 1048576");
	put_msg(&b, 'Q', "s", sql);
	free(sql);
	check(tls_put(&c, &b) && read_to(&c, 'D', row, sizeof(row)) && read_to(&c, 'Z', NULL, 0),
	    "big writer: a query of 20 MB");
	tls_end(&c);
}

/* --- leaving
 * ---------------------------------------------------------------------------------------- */

static bool
no_transaction(void *arg)
{
	(void)arg;
	return strcmp(admin("select count(*) from pg_stat_activity where state like 'idle in%%'"),
		   "0") == 0;
}

static void
leaves_in_transaction(void)
{
	struct tls_client c;

	if (check(tls_open(&c, NULL, 0) && tls_login(&c, "one") && tls_query(&c, "begin") &&
		      tls_query(&c, "create table left_behind (a int)"),
		"close_notify in a transaction: begun"))
		(void)SSL_shutdown(c.ssl);
	check(until(no_transaction, NULL, 10000), "close_notify in a transaction: ROLLBACK");
	tls_end(&c);
	check_text(admin("select count(*) from pg_class where relname = 'left_behind'"), "0",
	    "... and nothing of it is left");
}

/* --- cancel
 * ------------------------------------------------------------------------------------------ */

static bool
sleeps(void *arg)
{
	(void)arg;
	return strcmp(admin("select count(*) from pg_stat_activity where query like "
			    "'%%pg_sleep(77)%%' and "
			    "state = 'active' and pid <> pg_backend_pid()"),
		   "1") == 0;
}

/* Both ways are TLS: the request's here, and, as the backend has it, that to PostgreSQL. */
static void
cancel(void)
{
	struct bytes b = {0};
	struct tls_client c, other;
	uint8_t head[5], key[64];
	char error[256] = "", byte;
	long shakes;

	if (!check(tls_open(&c, NULL, 0), "cancel: connected"))
		return;
	put_startup(&b, 196608, "user\0postgres\0database\0safe\0");
	(void)tls_put(&c, &b);
	do { /* up to BackendKeyData, of 12 bytes */
		if (!read_all(&c, head, 5) || head[4] < 4 ||
		    !read_all(&c, key, (size_t)head[4] - 4U))
			break;
	} while (head[0] != 'K');
	(void)read_to(&c, 'Z', NULL, 0);
	check_text(
	    admin("select count(*) from pg_stat_ssl s join pg_stat_activity a using (pid) where "
		  "a.datname = 'app' and s.ssl"),
	    "1", "cancel: the backend has TLS");
	put_msg(&b, 'Q', "s", "select pg_sleep(77)");
	check(tls_put(&c, &b) && until(sleeps, NULL, 10000), "cancel: a query runs");
	shakes = pooler_get(&pooler, "server_tls_handshakes");
	put_msg(&b, 0, "ir", 80877102, key, (size_t)8);
	check(
	    tls_open(&other, NULL, 0) && tls_put(&other, &b) && SSL_read(other.ssl, &byte, 1) <= 0,
	    "cancel: by TLS, and acknowledged");
	tls_end(&other);
	check(read_to(&c, 'E', error, sizeof(error)) && read_to(&c, 'Z', NULL, 0),
	    "cancel: it was hit");
	check(pooler_get(&pooler, "server_tls_handshakes") == shakes + 1,
	    "cancel: PostgreSQL got it by TLS");
	tls_end(&c);
}

/* --- memory
 * ------------------------------------------------------------------------------------------- */

static long
memory_kb(void)
{
	char path[64], line[256];
	long sum = 0, kb;
	int w;

	for (w = 0; w < POOLER_WORKERS; w++) {
		FILE *f;
		snprintf(path, sizeof(path), "/proc/%ld/smaps_rollup",
		    pooler_get(&pooler, "worker.%d.pid", w));
		f = fopen(path, "r");
		while (f != NULL && fgets(line, sizeof(line), f) != NULL)
			if (sscanf(line, "Private_Dirty: %ld", &kb) == 1)
				sum += kb;
		if (f != NULL)
			(void)fclose(f);
	}
	return sum;
}

/* The answer may be read before it is given back. */
static bool
no_buffer(void *arg)
{
	(void)arg;
	return pooler_get(&pooler, "buffers") == 0;
}

static void
idle_memory(void)
{
	static struct tls_client crowd[CROWD];
	long before = memory_kb(), after;
	int i, in = 0;

	for (i = 0; i < CROWD; i++)
		in += tls_open(&crowd[i], NULL, 0) && tls_login(&crowd[i], "app") &&
		      tls_query(&crowd[i], "select 1");
	after = memory_kb();
	check(in == CROWD, "idle memory: %d of %d logged in", in, CROWD);
	check(rig.asan || (after - before) / CROWD < 48, "idle memory: %.1f KiB for each client",
	    (double)(after - before) / CROWD);
	check(until(no_buffer, NULL, 5000), "idle memory: no buffer is held");
	for (i = 0; i < CROWD; i++)
		tls_end(&crowd[i]);
}

/* --- all
 * ------------------------------------------------------------------------------------------------
 */

static void
run(const char *command)
{
	if (system(command) != 0) {
		printf("FAIL %s\n", command);
		exit(1);
	}
}

/* One certificate for both: PostgreSQL's key must be its own, so there are two copies. */
static void
certificates(char *conf, size_t size)
{
	char command[1024];

	snprintf(command, sizeof(command),
	    "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "
	    "tls.key "
	    "-out tls.crt -subj /CN=localhost -days 2 2>/dev/null && chmod 0600 tls.key && "
	    "install -m 0600 tls.key tls.crt data && chown --reference=data/PG_VERSION tls.key "
	    "data/tls.key data/tls.crt",
	    rig.dir);
	run(command);
	(void)admin("alter system set ssl_cert_file = 'tls.crt'");
	(void)admin("alter system set ssl_key_file = 'tls.key'");
	(void)admin("alter system set ssl = on");
	(void)admin("select pg_reload_conf()");
	(void)admin("create database app");
	snprintf(conf, size,
	    "pool_mode = \"transaction\"; client_login_timeout = \"8s\"; server_login_retry = "
	    "\"100ms\";\n"
	    "server_tls_sslmode = \"disable\"; client_tls_sslmode = \"prefer\";\n"
	    "client_tls_key_file = \"%s/tls.key\"; client_tls_cert_file = \"%s/tls.crt\";\n"
	    "users = ( { name = \"postgres\"; } );\n"
	    "databases = ( { name = \"app\"; port = %d; },\n"
	    "  { name = \"one\"; port = %d; dbname = \"app\"; pool_size = 1; },\n"
	    "  { name = \"safe\"; port = %d; dbname = \"app\"; server_tls_sslmode = \"require\"; "
	    "},\n"
	    "  { name = \"fake_require\"; port = %d; server_tls_sslmode = \"require\"; },\n"
	    "  { name = \"fake_prefer\"; port = %d; server_tls_sslmode = \"prefer\"; } );\n",
	    rig.dir, rig.dir, rig.pg_port, rig.pg_port, rig.pg_port, fake_port, fake_port);
}

int
main(int argc, char **argv)
{
	char conf[2048];

	(void)argc;
	rig_start("trust", argv);
	(void)signal(SIGPIPE, SIG_IGN);
	plain_ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_session_cache_mode(
	    plain_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(plain_ctx, keep_ticket);
	fake_port = fake_start();
	certificates(conf, sizeof(conf));
	if (!pooler_start(&pooler, "tls", conf))
		return rig_end();
	check(until(serves, NULL, 10000), "a query by TLS");
	cancel();
	injected_by_a_client();
	asked_again_inside();
	injected_by_a_server();
	garbage_in_handshake();
	left_in_handshake();
	byte_by_byte();
	new_keys();
	big_writer();
	slow_reader();
	leaves_in_transaction();
	idle_memory();
	resumption(TLS1_3_VERSION, "TLS 1.3");
	resumption(TLS1_2_VERSION, "TLS 1.2");
	pooler_stop(&pooler);
	SSL_SESSION_free(ticket);
	SSL_CTX_free(plain_ctx);
	return rig_end();
}
