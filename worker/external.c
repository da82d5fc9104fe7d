/*
 * external: see external.h. Called by client_auth_password.c.
 *
 * Up to auth_helpers processes for each worker, started when they are needed: our own program once
 * more, so that nothing of our memory is in them. Each answers one question at a time; the others
 * wait in order. A helper that has not answered in time, or died, is replaced, and its question has
 * failed. They end with the worker: their socket closes, and the kernel kills who does not look.
 */
#include "worker/external.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf/log.h"
#include "conf/strongbox.h"
#include "worker/loop.h"
#include "worker/state.h"

#define WAIT_US	 60000000 /* for an answer, if client_login_timeout is 0 */
#define AGAIN_US 100000

struct external_task {
	struct external_wait *wait; /* NULL: nobody waits any more */
	uint8_t *msg;
	size_t len;
	TAILQ_ENTRY(external_task) queue;
};

struct helper {
	struct loop_source src;
	pid_t pid;
	struct external_task *task; /* NULL = idle */
	struct timer timer;
	LIST_ENTRY(helper) all;
};

static TAILQ_HEAD(, external_task) todo = TAILQ_HEAD_INITIALIZER(todo);
static LIST_HEAD(, helper) helpers = LIST_HEAD_INITIALIZER(helpers);
static LIST_HEAD(, helper) dying = LIST_HEAD_INITIALIZER(dying);
static int nhelpers;
static struct timer start_timer; /* no helper could be started: again */

static void work(void);

/* --- tasks ------------------------------------------------------------------------------------ */

static void
task_end(struct external_task *t, enum external_verdict verdict, const char *why)
{
	struct external_wait *w = t->wait;

	strongbox_put(t->msg);
	free(t);
	if (w == NULL)
		return;
	w->task = NULL;
	w->fn(w, verdict, why);
}

static bool
add(struct external_task *t, const char *text, size_t n)
{
	if (t->len + n > EXTERNAL_MESSAGE_MAX)
		return false;
	memcpy(t->msg + t->len, text, n);
	t->len += n;
	return true;
}

/* Method, user, password, address, then the options: each ended by its NUL. */
static bool
write_message(struct external_task *t, const struct external_question *q)
{
	const char *method = auth_type_name(q->method);

	t->msg = strongbox_take(EXTERNAL_MESSAGE_MAX);
	return add(t, method, strlen(method) + 1) && add(t, q->user, strlen(q->user) + 1) &&
	       add(t, q->password, strlen(q->password) + 1) &&
	       add(t, q->from, strlen(q->from) + 1) &&
	       (q->options->len == 0 || add(t, q->options->text, q->options->len));
}

/* --- processes -------------------------------------------------------------------------------- */

/* Takes those who have died from the kernel, without waiting for the others. Nobody else does, so
 * that a pid of ours stays ours until then. */
static void
reap(void)
{
	struct helper *h, *next;

	LIST_FOREACH_SAFE(h, &dying, all, next)
	{
		if (waitpid(h->pid, NULL, WNOHANG) == 0)
			continue;
		LIST_REMOVE(h, all);
		loop_free_later(h);
	}
}

/* Its question has failed. */
static void
helper_lost(struct helper *h, const char *why)
{
	struct external_task *t = h->task;

	log_warnx("auth helper %d: %s", (int)h->pid, why);
	LIST_REMOVE(h, all);
	nhelpers--;
	timer_stop(&h->timer);
	loop_del(&h->src);
	close(h->src.fd);
	h->src.fd = -1;
	(void)kill(h->pid, SIGKILL);
	LIST_INSERT_HEAD(&dying, h, all);
	reap();
	if (t != NULL)
		task_end(t, EXTERNAL_FAILED, why);
	work();
}

static void
helper_timeout(struct timer *t)
{
	helper_lost(LOOP_CONTAINER(t, struct helper, timer), "no answer in time");
}

static void
helper_event(struct loop_source *s, uint32_t events)
{
	struct helper *h = LOOP_CONTAINER(s, struct helper, src);
	struct external_task *t = h->task;
	struct external_answer a;
	ssize_t n = recv(s->fd, &a, sizeof(a), MSG_DONTWAIT);

	(void)events;
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != sizeof(a) || t == NULL || a.verdict > EXTERNAL_FAILED) {
		helper_lost(h, n == 0 ? "it has ended" : "broken answer");
		return;
	}
	a.why[sizeof(a.why) - 1] = '\0';
	h->task = NULL;
	timer_stop(&h->timer);
	task_end(t, (enum external_verdict)a.verdict, a.why);
	work();
}

/* The program that we are, even if its file was replaced meanwhile. */
static int
spawn(int sock, pid_t *pid)
{
	char *argv[] = {(char[]){"pgdrove"}, (char[]){"auth-helper"}, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int rc;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	if (posix_spawn_file_actions_init(&files) != 0)
		return -1;
	if (posix_spawnattr_init(&attr) != 0) {
		(void)posix_spawn_file_actions_destroy(&files);
		return -1;
	}
	rc = posix_spawn_file_actions_adddup2(&files, sock, STDIN_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &all);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (rc == 0)
		rc = posix_spawn(pid, "/proc/self/exe", &files, &attr, argv, environ);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&files);
	errno = rc;
	return rc == 0 ? 0 : -1;
}

static struct helper *
helper_start(void)
{
	struct helper *h = calloc(1, sizeof(*h));
	int pair[2];

	reap();
	if (h == NULL || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
		fatal("auth helper");
	h->src = (struct loop_source){.fd = pair[0], .fn = helper_event};
	if (spawn(pair[1], &h->pid) == -1 || loop_add(&h->src, EPOLLIN) == -1) {
		log_warn("cannot start an auth helper");
		close(pair[0]);
		close(pair[1]);
		free(h);
		return NULL;
	}
	close(pair[1]);
	LIST_INSERT_HEAD(&helpers, h, all);
	nhelpers++;
	return h;
}

static struct helper *
helper_idle(void)
{
	struct helper *h;

	LIST_FOREACH (h, &helpers, all)
		if (h->task == NULL)
			return h;
	return nhelpers < wk->conf->auth_helpers ? helper_start() : NULL;
}

/* --- the queue -------------------------------------------------------------------------------- */

static void
work_again(struct timer *t)
{
	(void)t;
	work();
}

static void
work(void)
{
	int64_t wait = wk->conf->client_login_timeout_us;
	struct external_task *t;
	struct helper *h;

	while ((t = TAILQ_FIRST(&todo)) != NULL && (h = helper_idle()) != NULL) {
		TAILQ_REMOVE(&todo, t, queue);
		h->task = t;
		timer_set(&h->timer, loop_now() + (wait > 0 ? wait : WAIT_US), helper_timeout);
		if (send(h->src.fd, t->msg, t->len, MSG_DONTWAIT | MSG_NOSIGNAL) == -1) {
			helper_lost(h, strerror(errno));
			return;
		}
		explicit_bzero(t->msg, t->len);
	}
	if (t != NULL && nhelpers == 0)
		timer_set(&start_timer, loop_now() + AGAIN_US, work_again);
}

bool
external_ask(struct external_wait *w, const struct external_question *q,
    void (*fn)(struct external_wait *, enum external_verdict, const char *why))
{
	struct external_task *t = calloc(1, sizeof(*t));

	if (t == NULL)
		fatal("login");
	if (!write_message(t, q)) {
		task_end(t, EXTERNAL_FAILED, "");
		return false;
	}
	t->wait = w;
	w->task = t;
	w->fn = fn;
	TAILQ_INSERT_TAIL(&todo, t, queue);
	work();
	return true;
}

void
external_cancel(struct external_wait *w)
{
	struct external_task *t = w->task;
	struct helper *h;

	if (t == NULL)
		return;
	t->wait = NULL;
	w->task = NULL;
	LIST_FOREACH (h, &helpers, all)
		if (h->task == t)
			return;
	TAILQ_REMOVE(&todo, t, queue);
	task_end(t, EXTERNAL_FAILED, "");
}
