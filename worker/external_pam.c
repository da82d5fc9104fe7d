/*
 * external_pam: asks PAM. Called by external_helper.c, in a process of its own. The service's
 * modules get the user, the password and the client's address; what they say goes to the log.
 */
#include "worker/external.h"

#ifdef HAVE_PAM

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/stdlib.h>
#include <bsd/string.h>

#include <security/pam_appl.h>

struct talk {
	const char *user, *password;
	char *said; /* EXTERNAL_WHY bytes */
};

static const char *
reply_to(struct talk *t, const struct pam_message *m)
{
	if (m->msg_style == PAM_PROMPT_ECHO_OFF)
		return t->password;
	if (m->msg_style == PAM_PROMPT_ECHO_ON)
		return t->user;
	if (m->msg != NULL)
		strlcpy(t->said, m->msg, EXTERNAL_WHY);
	return "";
}

static int
converse(int n, const struct pam_message **msg, struct pam_response **resp, void *arg)
{
	struct pam_response *r = calloc((size_t)(n > 0 ? n : 1), sizeof(*r));
	int i;

	if (r == NULL)
		return PAM_CONV_ERR;
	for (i = 0; i < n; i++) {
		r[i].resp = strdup(reply_to(arg, msg[i]));
		if (r[i].resp == NULL)
			break;
	}
	if (i == n) {
		*resp = r;
		return PAM_SUCCESS;
	}
	while (i-- > 0)
		freezero(r[i].resp, strlen(r[i].resp));
	free(r);
	return PAM_CONV_ERR;
}

/* Modules ask for seconds of delay after a failure; others wait for this process, and there is
 * auth_failure_limit. */
static void
no_delay(int status, unsigned int us, void *arg)
{
	(void)status;
	(void)us;
	(void)arg;
}

static int
set_items(pam_handle_t *pam, const struct external_question *q)
{
	union {
		void (*fn)(int, unsigned int, void *);
		const void *item;
	} delay = {.fn = no_delay};
	int rc = pam_set_item(pam, PAM_FAIL_DELAY, delay.item);

	if (rc == PAM_SUCCESS && q->from[0] != '\0')
		rc = pam_set_item(pam, PAM_RHOST, q->from);
	return rc;
}

static bool
to_blame(int rc)
{
	return rc == PAM_AUTH_ERR || rc == PAM_USER_UNKNOWN || rc == PAM_MAXTRIES ||
	       rc == PAM_ACCT_EXPIRED || rc == PAM_NEW_AUTHTOK_REQD || rc == PAM_PERM_DENIED ||
	       rc == PAM_CRED_INSUFFICIENT || rc == PAM_AUTHTOK_EXPIRED;
}

enum external_verdict
external_pam(const struct external_question *q, char why[EXTERNAL_WHY])
{
	const char *service = external_get(q->options, "pamservice");
	struct talk talk = {q->user, q->password, why};
	const struct pam_conv conv = {converse, &talk};
	pam_handle_t *pam = NULL;
	char said[EXTERNAL_WHY];
	const char *step = "pam_start";
	int rc = pam_start(service == NULL ? "pgdrove" : service, q->user, &conv, &pam);

	if (rc == PAM_SUCCESS)
		rc = set_items(pam, q);
	if (rc == PAM_SUCCESS) {
		step = "pam_authenticate";
		rc = pam_authenticate(pam, 0);
	}
	if (rc == PAM_SUCCESS) {
		step = "pam_acct_mgmt";
		rc = pam_acct_mgmt(pam, 0);
	}
	if (rc != PAM_SUCCESS) {
		strlcpy(said, why, sizeof(said));
		(void)snprintf(why, EXTERNAL_WHY, "%s: %s%s%.120s", step, pam_strerror(pam, rc),
		    said[0] == '\0' ? "" : ": ", said);
	}
	if (pam != NULL)
		(void)pam_end(pam, rc);
	if (rc == PAM_SUCCESS)
		return EXTERNAL_RIGHT;
	return to_blame(rc) ? EXTERNAL_WRONG : EXTERNAL_FAILED;
}

#endif
