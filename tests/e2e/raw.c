/*
 * raw: see raw.h. Every wait has a deadline, so that a silent peer is a failed check and no hung
 * test. Called by the test programs of this folder only; out of memory ends them.
 */
#include "tests/e2e/raw.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/e2e/rig.h"

#define PATIENCE_MS 20000

/* --- bytes ----------------------------------------------------------------------------------- */

void
put(struct bytes *b, const void *p, size_t n)
{
	if (b->size - b->len < n) {
		b->size = (b->len + n) * 2;
		b->p = realloc(b->p, b->size);
		if (b->p == NULL)
			abort();
	}
	if (n > 0)
		memcpy(b->p + b->len, p, n);
	b->len += n;
}

static void
put_be(struct bytes *b, uint32_t v, int size)
{
	uint8_t word[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

	put(b, word + 4 - size, (size_t)size);
}

void
put32(struct bytes *b, uint32_t v)
{
	put_be(b, v, 4);
}

void
put_msg(struct bytes *b, char type, const char *fmt, ...)
{
	size_t start;
	uint32_t len;
	va_list ap;
	const char *s;

	if (type != 0)
		put(b, &type, 1);
	start = b->len;
	put32(b, 0);
	va_start(ap, fmt);
	for (; *fmt != '\0'; fmt++) {
		switch (*fmt) {
		case 's':
		case 't':
			s = va_arg(ap, const char *);
			put(b, s, strlen(s) + (*fmt == 's'));
			break;
		case 'r':
			s = va_arg(ap, const void *);
			put(b, s, va_arg(ap, size_t));
			break;
		default:
			put_be(b, (uint32_t)va_arg(ap, int), *fmt == 'i' ? 4 : *fmt == 'h' ? 2 : 1);
		}
	}
	va_end(ap);
	len = htonl((uint32_t)(b->len - start));
	memcpy(b->p + start, &len, sizeof(len));
}

void
put_startup(struct bytes *b, uint32_t protocol, const char *pairs)
{
	size_t n = 0;

	while (pairs[n] != '\0') {
		n += strlen(pairs + n) + 1; /* name */
		n += strlen(pairs + n) + 1; /* value, which may be empty */
	}
	put_msg(b, 0, "ir", (int)protocol, pairs, n + 1);
}

void
bytes_free(struct bytes *b)
{
	free(b->p);
	memset(b, 0, sizeof(*b));
}

/* --- connection ------------------------------------------------------------------------------ */

static socklen_t
address(const struct target *t, struct sockaddr_storage *ss)
{
	struct sockaddr_in *in = (void *)ss;
	struct sockaddr_in6 *in6 = (void *)ss;
	struct sockaddr_un *un = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	if (t->host[0] == '/') {
		un->sun_family = AF_UNIX;
		snprintf(un->sun_path, sizeof(un->sun_path), "%s/.s.PGSQL.%d", t->host, t->port);
		return sizeof(*un);
	}
	if (inet_pton(AF_INET, t->host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)t->port);
		return sizeof(*in);
	}
	(void)inet_pton(AF_INET6, t->host, &in6->sin6_addr);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t)t->port);
	return sizeof(*in6);
}

bool
raw_open(struct raw *r, const struct target *t)
{
	struct sockaddr_storage ss;
	socklen_t len = address(t, &ss);
	int on = 1;

	memset(r, 0, sizeof(*r));
	r->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (r->fd == -1 || connect(r->fd, (struct sockaddr *)&ss, len) == -1 ||
	    fcntl(r->fd, F_SETFL, O_NONBLOCK) == -1) {
		printf("  connect to %s: %s\n", t->host, strerror(errno));
		raw_close(r);
		return false;
	}
	(void)setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return true;
}

void
raw_close(struct raw *r)
{
	if (r->fd != -1)
		close(r->fd);
	r->fd = -1;
	bytes_free(&r->in);
}

void
raw_reset(struct raw *r)
{
	struct linger now = {.l_onoff = 1};

	(void)setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	raw_close(r);
}

/* Takes what is there. */
static void
raw_fill(struct raw *r)
{
	uint8_t part[65536];
	ssize_t n;

	while (!r->eof) {
		n = recv(r->fd, part, sizeof(part), 0);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			r->eof = true;
			return;
		}
		if (r->at > (1 << 20)) {
			memmove(r->in.p, r->in.p + r->at, r->in.len - r->at);
			r->in.len -= r->at;
			r->at = 0;
		}
		put(&r->in, part, (size_t)n);
	}
}

bool
raw_send(struct raw *r, const void *bytes, size_t n)
{
	int64_t end = now_ms() + PATIENCE_MS;
	const uint8_t *p = bytes;

	while (n > 0 && !r->eof && now_ms() < end) {
		struct pollfd pfd = {.fd = r->fd, .events = POLLIN | POLLOUT};
		ssize_t sent = send(r->fd, p, n, MSG_NOSIGNAL);

		if (sent > 0) {
			p += sent;
			n -= (size_t)sent;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return false;
		(void)poll(&pfd, 1, 1000);
		if ((pfd.revents & POLLIN) != 0)
			raw_fill(r);
	}
	return n == 0;
}

bool
raw_put(struct raw *r, struct bytes *b)
{
	bool ok = raw_send(r, b->p, b->len);

	b->len = 0;
	return ok;
}

/* False: late. */
static bool
raw_wait(struct raw *r, int64_t end)
{
	struct pollfd pfd = {.fd = r->fd, .events = POLLIN};
	int64_t left = end - now_ms();

	if (left < 0)
		return false;
	(void)poll(&pfd, 1, (int)left);
	raw_fill(r);
	return true;
}

enum raw_got
raw_next(struct raw *r, struct msg *m, int ms)
{
	int64_t end = now_ms() + ms;
	uint32_t len;

	for (;;) {
		if (r->in.len - r->at >= 5) {
			memcpy(&len, r->in.p + r->at + 1, 4);
			len = ntohl(len);
			if (r->in.len - r->at > len) {
				m->type = (char)r->in.p[r->at];
				m->body = r->in.p + r->at + 5;
				m->len = len - 4;
				r->at += len + 1;
				return RAW_MSG;
			}
		}
		if (r->eof)
			return RAW_EOF;
		if (!raw_wait(r, end))
			return RAW_LATE;
	}
}

int
raw_byte(struct raw *r, int ms)
{
	int64_t end = now_ms() + ms;

	while (r->in.len == r->at)
		if (r->eof || !raw_wait(r, end))
			return -1;
	return r->in.p[r->at++];
}

static bool
raw_ready(struct raw *r)
{
	struct msg m;

	while (raw_next(r, &m, PATIENCE_MS) == RAW_MSG) {
		if (m.type == 'Z')
			return true;
		if (m.type == 'E') {
			printf("  error: %s\n", error_field(&m, 'M'));
			return false;
		}
	}
	return false;
}

bool
raw_login(struct raw *r, const struct target *t)
{
	struct bytes b = {0};
	bool ok;

	if (!raw_open(r, t))
		return false;
	put_msg(&b, 0, "issssb", 196608, "user", t->user, "database", t->db, 0);
	ok = raw_put(r, &b) && raw_ready(r);
	bytes_free(&b);
	return ok;
}

bool
raw_query(struct raw *r, const char *sql)
{
	struct bytes b = {0};
	bool ok;

	put_msg(&b, 'Q', "s", sql);
	ok = raw_put(r, &b) && raw_ready(r);
	bytes_free(&b);
	return ok;
}

const char *
error_field(const struct msg *m, char field)
{
	static char text[512];
	const uint8_t *p = m->body, *end = m->body + m->len;

	text[0] = '\0';
	while (p < end && *p != 0) {
		const uint8_t *nul = memchr(p, 0, (size_t)(end - p));
		if (nul == NULL)
			break;
		if ((char)*p == field)
			snprintf(text, sizeof(text), "%s", (const char *)p + 1);
		p = nul + 1;
	}
	return text;
}

const char *
raw_last_words(struct raw *r, int ms)
{
	static char words[600];
	int64_t end = now_ms() + ms;
	enum raw_got got;
	struct msg m;

	snprintf(words, sizeof(words), "eof");
	while ((got = raw_next(r, &m, (int)(end - now_ms()))) == RAW_MSG)
		if (m.type == 'E') {
			int n = snprintf(words, sizeof(words), "%s ", error_field(&m, 'C'));
			snprintf(words + n, sizeof(words) - (size_t)n, "%s", error_field(&m, 'M'));
		}
	return got == RAW_LATE ? "late" : words;
}

/* --- dialogues ------------------------------------------------------------------------------- */

struct bytes *
script_bytes(struct script *s)
{
	return &s->step[s->nsteps].send;
}

void
script_await(struct script *s, char type, int n)
{
	if (s->nsteps == SCRIPT_STEPS)
		abort();
	s->step[s->nsteps].await = type;
	s->step[s->nsteps++].count = n;
}

void
script_free(struct script *s)
{
	int i;

	for (i = 0; i < SCRIPT_STEPS; i++)
		bytes_free(&s->step[i].send);
}

void
note(struct bytes *out, const char *fmt, ...)
{
	char text[640];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	put(out, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

/* Short bodies in full, long ones by their length, beginning and hash. */
static void
note_message(struct bytes *out, const struct msg *m, bool fatal)
{
	size_t i, shown = m->len < 300 ? m->len : 60;
	uint64_t hash = 14695981039346656037U;

	note(out, "%c ", m->type);
	if (m->type == 'E' && fatal) {
		note(out, "%s ", error_field(m, 'V'));
		note(out, "%s ", error_field(m, 'C'));
		note(out, "%s\n", error_field(m, 'M'));
		return;
	}
	for (i = 0; i < m->len; i++)
		hash = (hash ^ m->body[i]) * 1099511628211U;
	for (i = m->type == 'A' ? 4 : 0; i < shown; i++) /* without the notifier's pid */
		note(out, isgraph(m->body[i]) || m->body[i] == ' ' ? "%c" : "\\%02x", m->body[i]);
	if (shown < m->len)
		note(out, "... %zu bytes, hash %016llx", m->len, (unsigned long long)hash);
	note(out, "\n");
}

bool
raw_heard(struct raw *r, struct msg *m, struct bytes *out, int ms)
{
	switch (raw_next(r, m, ms)) {
	case RAW_EOF:
		note(out, "-- closed\n");
		return false;
	case RAW_LATE:
		note(out, "-- no answer\n");
		return false;
	case RAW_MSG:
		break;
	}
	return true;
}

/* Reads answers until the step is satisfied. False: it ended otherwise, which is noted. */
static bool
await(struct raw *r, struct bytes *out, char type, int n, bool fatal)
{
	struct msg m;

	while (n > 0) {
		if (!raw_heard(r, &m, out, PATIENCE_MS))
			return false;
		note_message(out, &m, fatal);
		n -= m.type == type;
	}
	return true;
}

static char *
finish(struct raw *r, struct bytes *out, bool alive)
{
	if (alive)
		note(out, r->in.len == r->at ? "-- open\n" : "-- more came than was expected\n");
	put(out, "", 1);
	raw_close(r);
	return (char *)out->p;
}

static bool
send_step(struct raw *r, const struct step *step, enum pace pace)
{
	size_t i;

	if (pace != PACE_BYTES)
		return raw_send(r, step->send.p, step->send.len);
	for (i = 0; i < step->send.len; i++)
		if (!raw_send(r, step->send.p + i, 1))
			return false;
	return true;
}

char *
script_run(const struct script *s, const struct target *t, enum pace pace)
{
	struct bytes out = {0}, all = {0};
	struct raw r;
	bool alive = raw_login(&r, t);
	int i;

	if (!alive)
		note(&out, "-- no login\n");
	for (i = 0; i < s->nsteps && pace == PACE_GLUED; i++)
		put(&all, s->step[i].send.p, s->step[i].send.len);
	if (alive && pace == PACE_GLUED)
		(void)raw_send(&r, all.p, all.len);
	for (i = 0; i < s->nsteps && alive; i++) {
		/* A peer that closes may have answered before: read on whatever became of it. */
		if (pace != PACE_GLUED)
			(void)send_step(&r, &s->step[i], pace);
		alive = await(&r, &out, s->step[i].await, s->step[i].count, s->fatal);
	}
	bytes_free(&all);
	return finish(&r, &out, alive);
}

char *
script_run_split(const struct script *s, const struct target *t, size_t split)
{
	struct bytes out = {0}, all = {0};
	struct raw r;
	bool alive = raw_login(&r, t);
	int i;

	for (i = 0; i < s->nsteps; i++)
		put(&all, s->step[i].send.p, s->step[i].send.len);
	if (alive)
		(void)raw_send(&r, all.p, split);
	sleep_ms(2);
	if (alive)
		(void)raw_send(&r, all.p + split, all.len - split);
	for (i = 0; i < s->nsteps && alive; i++)
		alive = await(&r, &out, s->step[i].await, s->step[i].count, s->fatal);
	bytes_free(&all);
	return finish(&r, &out, alive);
}
