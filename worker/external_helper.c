/*
 * external_helper: the helper process: reads questions from its worker, asks PAM or LDAP, answers.
 * Called by main.c for `pgdrove auth-helper`; standard input is the worker's socket. It knows no
 * configuration and no secret but those in the question, which it wipes. Whatever blocks or crashes
 * in here is the worker's problem only as long as its patience lasts.
 */
#include "worker/external.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bsd/string.h>
#include <bsd/unistd.h>

#include "conf/log.h"
#include "worker/worker.h"

/* The next string of the message. NULL: it is broken. */
static char *
next(char **at, char *end)
{
	char *s = *at;
	size_t n = s < end ? strnlen(s, (size_t)(end - s)) : 0;

	if (s >= end || s + n == end)
		return NULL;
	*at = s + n + 1;
	return s;
}

/* What is built in: a method that is not has no row. */
static const struct {
	enum auth_type method;
	enum external_verdict (*ask)(const struct external_question *, char why[EXTERNAL_WHY]);
} methods[] = {
#ifdef HAVE_PAM
    {AUTH_PAM, external_pam},
#endif
#ifdef HAVE_LDAP
    {AUTH_LDAP, external_ldap},
#endif
    {AUTH_REJECT, NULL},
};

static enum external_verdict
ask(const char *method, const struct external_question *q, char why[EXTERNAL_WHY])
{
	size_t i;

	why[0] = '\0';
	for (i = 0; methods[i].ask != NULL; i++)
		if (strcmp(method, auth_type_name(methods[i].method)) == 0)
			return methods[i].ask(q, why);
	strlcpy(why, "the method is not built in", EXTERNAL_WHY);
	return EXTERNAL_FAILED;
}

static enum external_verdict
answer(char *msg, size_t len, char why[EXTERNAL_WHY])
{
	char *at = msg, *end = msg + len, *method = next(&at, end);
	struct external options;
	struct external_question q = {.options = &options};

	q.user = next(&at, end);
	q.password = next(&at, end);
	q.from = next(&at, end);
	options = (struct external){.text = at, .len = (size_t)(end - at)};
	strlcpy(why, "broken question", EXTERNAL_WHY);
	if (method == NULL || q.user == NULL || q.password == NULL || q.from == NULL ||
	    (options.len > 0 && end[-1] != '\0'))
		return EXTERNAL_FAILED;
	return ask(method, &q, why);
}

int
worker_auth_helper(void)
{
	static char msg[EXTERNAL_MESSAGE_MAX];
	struct external_answer a;
	ssize_t n;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_DUMPABLE, 0); /* passwords pass through: no core */
	setproctitle("auth helper");
	log_set_name("auth helper");
	while ((n = recv(STDIN_FILENO, msg, sizeof(msg), 0)) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			(void)fprintf(stderr, "pgdrove: auth-helper is for pgdrove itself: %s\n",
			    strerror(errno));
			return 2;
		}
		memset(&a, 0, sizeof(a));
		a.verdict = (uint8_t)answer(msg, (size_t)n, a.why);
		explicit_bzero(msg, (size_t)n);
		if (send(STDIN_FILENO, &a, sizeof(a), MSG_NOSIGNAL) == -1)
			return 1;
	}
	return 0;
}
