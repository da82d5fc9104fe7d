/*
 * console_gather: see console_gather.h. Called by console.c, and by inbox.c with what others ask
 * and answer.
 *
 * A worker writes its clients and backends as plain structs, without formatting, into a memfd: that
 * is a copy of some hundred bytes each, and its loop goes on. The one that asked formats. All
 * processes are the same binary, so the structs need no description; what comes is checked for its
 * size all the same.
 */
#include "worker/console_gather.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <bsd/string.h>

#include "conf/log.h"
#include "worker/client.h"
#include "worker/console.h"
#include "worker/console_sheet.h"
#include "worker/inbox.h"
#include "worker/pool.h"
#include "worker/resolve.h"
#include "worker/tls.h"

#define PATIENCE_US 1000000

/* A client or a backend. */
struct who {
	bool server;
	bool tls;
	bool close_needed;
	char state[24];
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	char application[CONF_NAME_SIZE];
	char addr[96], local_addr[64];
	uint16_t port, local_port;
	int64_t since_us, request_us, wait_us; /* monotonic times; a duration */
	int32_t id, link;		       /* numbers as clients know them; of PostgreSQL */
};

struct gather {
	uint64_t ticket;
	uint32_t missing;
	struct who *who;
	size_t n;
	struct timer timer;
	LIST_ENTRY(gather) entry;
};

static LIST_HEAD(gather_list, gather) gathers = LIST_HEAD_INITIALIZER(gathers);

/* --- telling ------------------------------------------------------------------------------------
 */

struct list {
	struct who *v;
	size_t n, size;
};

static struct who *
add(struct list *l)
{
	if (l->n == l->size) {
		l->size = l->size == 0 ? 64 : 2 * l->size;
		l->v = reallocarray(l->v, l->size, sizeof(*l->v));
		if (l->v == NULL)
			fatal("console");
	}
	memset(&l->v[l->n], 0, sizeof(*l->v));
	return &l->v[l->n++];
}

static void
put_endpoint(int fd, bool local, char *text, size_t size, uint16_t *port)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if ((local ? getsockname(fd, (struct sockaddr *)&ss, &len)
		   : getpeername(fd, (struct sockaddr *)&ss, &len)) == -1)
		return;
	strlcpy(text, "unix", size);
	if (ss.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)&ss;
		(void)inet_ntop(AF_INET, &in->sin_addr, text, (socklen_t)size);
		*port = ntohs(in->sin_port);
	} else if (ss.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)&ss;
		(void)inet_ntop(AF_INET6, &in->sin6_addr, text, (socklen_t)size);
		*port = ntohs(in->sin6_port);
	}
}

static const char *
client_state(const struct client *c)
{
	if (c->state == CLIENT_ACTIVE)
		return "active";
	return c->state == CLIENT_WAITING || c->state == CLIENT_LOGIN ? "waiting" : "idle";
}

static void
add_client(struct client *c, void *arg)
{
	int name = params_index("application_name");
	struct who *w;

	if (c->pool == NULL || c->row == TABLE_NONE)
		return;
	w = add(arg);
	strlcpy(w->state, client_state(c), sizeof(w->state));
	strlcpy(w->db, c->pool->db, sizeof(w->db));
	strlcpy(w->user, c->user == NULL ? c->pool->user : c->user, sizeof(w->user));
	if (name != -1 && c->params.v[name] != NULL)
		strlcpy(w->application, c->params.v[name], sizeof(w->application));
	put_endpoint(c->conn.src.fd, false, w->addr, sizeof(w->addr), &w->port);
	put_endpoint(c->conn.src.fd, true, w->local_addr, sizeof(w->local_addr), &w->local_port);
	w->tls = c->conn.tls != NULL;
	w->since_us = c->born_us;
	w->request_us = c->state == CLIENT_WAITING ? c->since_us : c->active_us;
	w->wait_us = c->state == CLIENT_WAITING ? loop_now() - c->since_us : 0;
	w->close_needed = c->dismissed != NULL;
	w->id = c->pid;
	w->link = c->backend == NULL ? 0 : c->backend->facts.pid;
}

static void
add_backend(struct list *l, const struct backend *b, const char *state)
{
	struct who *w = add(l);
	int name = params_index("application_name");

	w->server = true;
	strlcpy(w->state, state, sizeof(w->state));
	strlcpy(w->db, b->pool->db, sizeof(w->db));
	strlcpy(w->user, b->pool->user, sizeof(w->user));
	if (name != -1 && b->params.v[name] != NULL)
		strlcpy(w->application, b->params.v[name], sizeof(w->application));
	put_endpoint(b->conn.src.fd, false, w->addr, sizeof(w->addr), &w->port);
	put_endpoint(b->conn.src.fd, true, w->local_addr, sizeof(w->local_addr), &w->local_port);
	w->tls = b->conn.tls != NULL;
	w->since_us = b->facts.opened_us;
	w->request_us = b->since_us;
	w->close_needed = pool_stale(b);
	w->id = b->facts.pid;
	w->link = b->client == NULL ? 0 : b->client->pid;
}

static struct list *telling;

static void
add_pool(struct pool *p)
{
	const struct backend *b;

	TAILQ_FOREACH (b, &p->idle, list)
		add_backend(telling, b, "idle");
	TAILQ_FOREACH (b, &p->held, list)
		add_backend(telling, b, "active");
}

static void
collect(struct list *l)
{
	telling = l;
	clients_each(add_client, l);
	pools_each(add_pool);
	telling = NULL;
}

void
console_tell(uint32_t to, uint64_t ticket)
{
	struct list l = {NULL, 0, 0};
	int fd = memfd_create("pgdrove.who", MFD_CLOEXEC);

	collect(&l);
	if (fd == -1 ||
	    (l.n > 0 && write(fd, l.v, l.n * sizeof(*l.v)) != (ssize_t)(l.n * sizeof(*l.v))))
		log_warn("console: cannot tell who is connected");
	else if (!inbox_send_fd(to, CTL_TOLD, 0, ticket, fd))
		log_debug("console: who asked is not there any more");
	if (fd != -1)
		close(fd);
	free(l.v);
}

/* --- asking -------------------------------------------------------------------------------------
 */

static struct gather *
find(uint64_t ticket)
{
	struct gather *g;

	LIST_FOREACH (g, &gathers, entry)
		if (g->ticket == ticket)
			return g;
	return NULL;
}

static void
over(struct timer *t)
{
	console_gathered(LOOP_CONTAINER(t, struct gather, timer)->ticket);
}

void
gather_start(uint64_t ticket)
{
	struct gather *g = calloc(1, sizeof(*g));
	struct list l = {NULL, 0, 0};
	uint32_t w;

	if (g == NULL)
		fatal("console");
	g->ticket = ticket;
	collect(&l);
	g->who = l.v;
	g->n = l.n;
	LIST_INSERT_HEAD(&gathers, g, entry);
	for (w = 0; w < wk->boot->nworkers; w++)
		if (w != wk->self.worker && inbox_send(w, CTL_TELL, 0, ticket))
			g->missing++;
	timer_set(&g->timer, loop_now() + (g->missing == 0 ? 0 : PATIENCE_US), over);
}

static void
take(struct gather *g, int fd)
{
	struct stat st;
	size_t n;

	if (fstat(fd, &st) == -1 || st.st_size % (off_t)sizeof(*g->who) != 0 || st.st_size == 0)
		return;
	n = (size_t)st.st_size / sizeof(*g->who);
	g->who = reallocarray(g->who, g->n + n, sizeof(*g->who));
	if (g->who == NULL)
		fatal("console");
	if (pread(fd, g->who + g->n, (size_t)st.st_size, 0) == (ssize_t)st.st_size)
		g->n += n;
}

void
console_told(uint32_t from, uint64_t ticket, int fd)
{
	struct gather *g = find(ticket);

	(void)from;
	if (g != NULL && fd != -1)
		take(g, fd);
	if (fd != -1)
		close(fd);
	if (g != NULL && --g->missing == 0)
		timer_set(&g->timer, loop_now(), over);
}

void
gather_forget(uint64_t ticket)
{
	struct gather *g = find(ticket);

	if (g == NULL)
		return;
	timer_stop(&g->timer);
	LIST_REMOVE(g, entry);
	free(g->who);
	free(g);
}

/* --- rows ---------------------------------------------------------------------------------------
 */

/* A moment of the monotonic clock as PgBouncer writes it. */
static void
put_time(struct sheet *s, int64_t at_us)
{
	time_t t = time(NULL) - (time_t)((loop_now() - at_us) / 1000000);
	struct tm tm;
	char text[40] = "";

	if (localtime_r(&t, &tm) != NULL)
		(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %Z", &tm);
	sheet_text(s, text);
}

static void
put_number_text(struct sheet *s, int32_t n)
{
	char text[24] = "";

	if (n != 0)
		snprintf(text, sizeof(text), "0x%x", (unsigned int)n);
	sheet_text(s, text);
}

static void
put_who(struct sheet *s, const struct who *w, bool sockets)
{
	int i;

	sheet_text(s, w->server ? "S" : "C");
	sheet_text(s, w->user);
	sheet_text(s, w->db);
	sheet_text(s, "none");
	sheet_text(s, w->state);
	sheet_text(s, w->addr);
	sheet_number(s, w->port);
	sheet_text(s, w->local_addr);
	sheet_number(s, w->local_port);
	put_time(s, w->since_us);
	put_time(s, w->request_us);
	sheet_number(s, (uint64_t)w->wait_us / 1000000);
	sheet_number(s, (uint64_t)w->wait_us % 1000000);
	sheet_number(s, w->close_needed);
	put_number_text(s, w->id);
	put_number_text(s, w->link);
	sheet_number(s, w->server ? (uint64_t)w->id : 0);
	sheet_text(s, w->tls ? "TLS" : "");
	sheet_text(s, w->application);
	sheet_number(s, 0);
	sheet_number(s, (uint64_t)(uint32_t)w->id);
	for (i = 0; sockets && i < 7; i++)
		sheet_number(s, 0);
}

void
gather_fill(uint64_t ticket, struct sheet *s, const char *show)
{
	struct gather *g = find(ticket);
	bool sockets = strstr(show, "SOCKETS") != NULL;
	size_t i;

	for (i = 0; g != NULL && i < g->n; i++) {
		const struct who *w = &g->who[i];
		if (strcmp(show, "CLIENTS") == 0 && w->server)
			continue;
		if (strcmp(show, "SERVERS") == 0 && !w->server)
			continue;
		if (strcmp(show, "ACTIVE_SOCKETS") == 0 && strcmp(w->state, "active") != 0)
			continue;
		put_who(s, w, sockets);
	}
	gather_forget(ticket);
}
