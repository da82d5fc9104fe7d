/* peer: see peer.h. Called by client_auth.c. A lookup under way outlives who asked for it. */
#include "worker/peer.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "conf/log.h"
#include "worker/loop.h"
#include "worker/offload.h"

struct peer_task {
	struct job job;
	struct peer_wait *wait; /* NULL: nobody waits any more */
	uid_t uid;
	int error; /* of the socket, or of the account database */
	char account[64];
};

static void
peer_work(struct job *j)
{
	struct peer_task *t = LOOP_CONTAINER(j, struct peer_task, job);
	struct passwd entry, *found = NULL;
	char space[4096];

	if (t->error != 0)
		return;
	t->error = getpwuid_r(t->uid, &entry, space, sizeof(space), &found);
	if (found != NULL)
		(void)snprintf(t->account, sizeof(t->account), "%s", found->pw_name);
}

static void
peer_done(struct job *j)
{
	struct peer_task *t = LOOP_CONTAINER(j, struct peer_task, job);
	struct peer_wait *w = t->wait;
	char why[96];

	if (w != NULL) {
		w->task = NULL;
		if (t->error != 0)
			(void)snprintf(why, sizeof(why), "%s", strerror(t->error));
		else
			(void)snprintf(
			    why, sizeof(why), "user id %u has no account", (unsigned int)t->uid);
		w->fn(w, t->account[0] == '\0' ? NULL : t->account, why);
	}
	free(t);
}

void
peer_ask(struct peer_wait *w, int fd,
    void (*fn)(struct peer_wait *, const char *account, const char *why))
{
	struct peer_task *t = calloc(1, sizeof(*t));
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (t == NULL)
		fatal("peer");
	t->job = (struct job){.work = peer_work, .done = peer_done};
	t->wait = w;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1)
		t->error = errno;
	else
		t->uid = cred.uid;
	w->task = t;
	w->fn = fn;
	offload(&t->job);
}

void
peer_cancel(struct peer_wait *w)
{
	if (w->task == NULL)
		return;
	w->task->wait = NULL;
	w->task = NULL;
}
