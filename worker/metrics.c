/*
 * metrics: see metrics.h. The HTTP that it takes is the least that a scraper needs: GET or HEAD,
 * one request a connection, a head of HEAD_MAX bytes, no body. Whoever is slow is cut off at
 * DEADLINE_US, and no more than SCRAPERS are served at a time: others wait in the kernel's queue.
 * So a hostile one costs a little memory and no worker anything.
 */
#include "worker/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/address.h"
#include "conf/log.h"
#include "worker/loop.h"
#include "worker/state.h"
#include "worker/steward.h"

#define HEAD_MAX    4096
#define SCRAPERS    16
#define DEADLINE_US 10000000
#define RETRY_US    1000000
#define TEXT_US	    200000  /* what is asked for again so soon is not made anew */
#define FRESH_US    5000000 /* a heartbeat of the master's; it beats every second */

struct scraper {
	struct loop_source src;
	struct timer deadline;
	size_t used;
	char *answer; /* NULL = the request is still being read */
	size_t len, sent;
	bool whole;    /* it has said what it wanted and no more */
	bool dropping; /* all is sent: what it still says is dropped up to its end */
	char head[HEAD_MAX];
};

static struct loop_source listener = {.fd = -1};
static struct timer retry;
static char *listening; /* the text of metrics_listen in force */
static bool complained;
static unsigned int nscrapers;

/* --- answers ---------------------------------------------------------------------------------- */

static void
scraper_close(struct scraper *s)
{
	timer_stop(&s->deadline);
	loop_del(&s->src);
	close(s->src.fd);
	s->src.fd = -1;
	free(s->answer);
	s->answer = NULL;
	loop_free_later(s);
	if (nscrapers-- == SCRAPERS && listener.fd != -1)
		loop_again(&listener);
}

static void
scraper_late(struct timer *t)
{
	scraper_close(LOOP_CONTAINER(t, struct scraper, deadline));
}

static void
answer(struct scraper *s, const char *status, const char *body, size_t len, bool head_only)
{
	int n = asprintf(&s->answer,
	    "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
	    "Content-Length: %zu\r\nConnection: close\r\n\r\n",
	    status, len);
	char *all = n == -1 ? NULL : realloc(s->answer, (size_t)n + len + 1);

	if (all == NULL)
		fatal("answer to a scraper");
	s->answer = all;
	s->len = (size_t)n;
	if (!head_only) {
		memcpy(all + n, body, len);
		s->len += len;
	}
}

static void
answer_text(struct scraper *s, const char *status, const char *text, bool head_only)
{
	answer(s, status, text, strlen(text), head_only);
}

static bool
master_beats(void)
{
	return loop_now() - stats_master_heartbeat(wk->stats) < FRESH_US;
}

static bool
somebody_serves(void)
{
	uint32_t w;

	for (w = 0; w < wk->boot->nworkers; w++)
		if (stats_get(&stats_worker(wk->stats, w)->state) == STATS_SERVING)
			return true;
	return false;
}

/* The metrics, of now or nearly; NULL: no memory. */
static const char *
metrics_now(size_t *len)
{
	static char *text;
	static size_t size;
	static int64_t made_us;

	if (text == NULL || loop_now() - made_us >= TEXT_US) {
		free(text);
		steward_carry_now();
		text = metrics_text(&size);
		made_us = loop_now();
	}
	*len = size;
	return text;
}

static void
answer_path(struct scraper *s, const char *path, bool head_only)
{
	const char *text;
	size_t len;

	if (strcmp(path, "/metrics") == 0) {
		text = metrics_now(&len);
		if (text == NULL)
			answer_text(s, "503 Service Unavailable", "no memory\n", head_only);
		else
			answer(s, "200 OK", text, len, head_only);
	} else if (strcmp(path, "/healthz") == 0) {
		if (master_beats())
			answer_text(s, "200 OK", "ok\n", head_only);
		else
			answer_text(
			    s, "503 Service Unavailable", "the master does not beat\n", head_only);
	} else if (strcmp(path, "/readyz") == 0) {
		if (master_beats() && stats_state(wk->stats) == STATS_READY && somebody_serves())
			answer_text(s, "200 OK", "ok\n", head_only);
		else
			answer_text(s, "503 Service Unavailable", "no worker serves\n", head_only);
	} else {
		answer_text(s, "404 Not Found", "try /metrics, /healthz or /readyz\n", head_only);
	}
}

/* "GET /path?query HTTP/1.1": the rest of the head says nothing that matters here. */
static void
answer_request(struct scraper *s)
{
	char *save, *method, *path, *version;

	s->head[strcspn(s->head, "\r\n")] = '\0';
	method = strtok_r(s->head, " ", &save);
	path = strtok_r(NULL, " ", &save);
	version = strtok_r(NULL, " ", &save);
	if (version == NULL || strncmp(version, "HTTP/1.", 7) != 0 || path[0] != '/') {
		answer_text(s, "400 Bad Request", "not HTTP/1.x\n", false);
		return;
	}
	path[strcspn(path, "?#")] = '\0';
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		answer_text(s, "405 Method Not Allowed", "GET or HEAD only\n", false);
	else
		answer_path(s, path, strcmp(method, "HEAD") == 0);
}

/* --- connections ------------------------------------------------------------------------------ */

static bool
ends_with(const struct scraper *s, const char *end)
{
	size_t n = strlen(end);

	return s->used >= n && memcmp(s->head + s->used - n, end, n) == 0;
}

/* True once the head is whole, or too large. */
static bool
head_read(struct scraper *s)
{
	ssize_t n;

	while (s->used < HEAD_MAX - 1) {
		n = read(s->src.fd, s->head + s->used, HEAD_MAX - 1 - s->used);
		if (n == -1 && errno == EAGAIN)
			return false;
		if (n <= 0) {
			scraper_close(s);
			return false;
		}
		s->used += (size_t)n;
		s->head[s->used] = '\0';
		if (memchr(s->head, '\0', s->used) != NULL) {
			answer_text(s, "400 Bad Request", "not HTTP/1.x\n", false);
			return true;
		}
		if (strstr(s->head, "\r\n\r\n") != NULL || strstr(s->head, "\n\n") != NULL) {
			s->whole = ends_with(s, "\r\n\r\n") || ends_with(s, "\n\n");
			answer_request(s);
			return true;
		}
	}
	answer_text(s, "431 Request Header Fields Too Large", "the head is too long\n", false);
	return true;
}

/* All is said: waits for the peer's end, so that nothing unread turns the answer into a reset. */
static void
scraper_drop(struct scraper *s)
{
	char junk[512];
	ssize_t n;

	if (!s->dropping)
		(void)shutdown(s->src.fd, SHUT_WR);
	s->dropping = true;
	do
		n = read(s->src.fd, junk, sizeof(junk));
	while (n > 0);
	if (n == 0 || errno != EAGAIN)
		scraper_close(s);
}

static void
scraper_write(struct scraper *s)
{
	ssize_t n;

	while (s->sent < s->len) {
		n = send(s->src.fd, s->answer + s->sent, s->len - s->sent, MSG_NOSIGNAL);
		if (n == -1 && errno == EAGAIN)
			return;
		if (n == -1) {
			scraper_close(s);
			return;
		}
		s->sent += (size_t)n;
	}
	if (s->whole)
		scraper_close(s); /* nothing unread that would make it a reset */
	else
		scraper_drop(s);
}

static void
scraper_event(struct loop_source *src, uint32_t events)
{
	struct scraper *s = LOOP_CONTAINER(src, struct scraper, src);

	(void)events;
	if (s->answer == NULL && !head_read(s))
		return;
	scraper_write(s);
}

/* False: nobody waits, or no more can be taken now. */
static bool
accept_scraper(void)
{
	struct scraper *s;
	int fd = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd == -1)
		return false;
	s = calloc(1, sizeof(*s));
	if (s == NULL) {
		close(fd);
		return false;
	}
	s->src = (struct loop_source){.fd = fd, .fn = scraper_event};
	if (loop_add(&s->src, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) == -1) {
		close(fd);
		free(s);
		return false;
	}
	nscrapers++;
	timer_set(&s->deadline, loop_now() + DEADLINE_US, scraper_late);
	scraper_event(&s->src, EPOLLIN); /* its request is mostly here already */
	return true;
}

static void
listener_event(struct loop_source *src, uint32_t events)
{
	(void)src;
	(void)events;
	while (nscrapers < SCRAPERS && accept_scraper())
		;
}

/* --- listening -------------------------------------------------------------------------------- */

static int
listen_open(const char *text)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int fd, on = 1;

	if (conf_parse_address(text, &ss, &len) == -1) {
		errno = EINVAL;
		return -1;
	}
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&ss, len) == 0 && listen(fd, SCRAPERS) == 0)
		return fd;
	close(fd);
	return -1;
}

static void
listen_try(struct timer *t)
{
	int fd = listen_open(listening);

	if (fd == -1) {
		if (!complained)
			log_warn("metrics_listen %s: tried again every second", listening);
		complained = true;
		timer_set(t, loop_now() + RETRY_US, listen_try);
		return;
	}
	listener = (struct loop_source){.fd = fd, .fn = listener_event};
	if (loop_add(&listener, EPOLLIN | EPOLLET) == -1)
		fatal("metrics listener");
	log_info("metrics: http://%s/metrics", listening);
}

void
metrics_stop(void)
{
	timer_stop(&retry);
	free(listening);
	listening = NULL;
	complained = false;
	if (listener.fd == -1)
		return;
	loop_del(&listener);
	close(listener.fd);
	listener.fd = -1;
}

void
metrics_start(void)
{
	const char *want = wk->conf->metrics_listen;

	if (wk->draining)
		return;
	if (listening != NULL && strcmp(listening, want) == 0)
		return;
	metrics_stop();
	if (want[0] == '\0')
		return;
	listening = strdup(want);
	if (listening == NULL)
		fatal("metrics_listen");
	listen_try(&retry);
}

void
metrics_conf_changed(const struct conf *old)
{
	(void)old;
	if (wk->boot->steward)
		metrics_start();
}
