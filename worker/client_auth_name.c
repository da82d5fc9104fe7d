/*
 * client_auth_name: who the client is says somebody else: the kernel (peer), or a certificate.
 * Called by client_auth.c. The name must be the user's, or a map must let it stand for the user.
 */
#include "worker/client_auth_impl.h"

#include <stdio.h>
#include <string.h>

#include "conf/ident.h"
#include "worker/state.h"

/* May who has this name elsewhere come in under the user's? */
static bool
name_fits(const struct client_auth *a, const char *name)
{
	if (a->map[0] == '\0')
		return strcmp(name, a->user) == 0;
	return wk->conf->ident != NULL && ident_allows(wk->conf->ident, a->map, name, a->user);
}

static void
peer_known(struct peer_wait *w, const char *account, const char *why)
{
	struct client_auth *a = LOOP_CONTAINER(w, struct client_auth, peer);
	char text[128], reason[160];

	if (account != NULL && name_fits(a, account)) {
		auth_let_in(a);
		return;
	}
	snprintf(text, sizeof(text), "peer authentication failed for user \"%s\"", a->user);
	snprintf(reason, sizeof(reason), "the account is %s", account == NULL ? why : account);
	auth_refuse(a, "28000", text, reason);
}

void
auth_start_peer(struct client_auth *a)
{
	if (!a->client->conn.is_unix) {
		auth_refuse(a, "28000", "peer authentication needs a Unix socket",
		    "auth_type peer, and the client came by TCP");
		return;
	}
	auth_set_step(a, STEP_PEER);
	peer_ask(&a->peer, a->client->conn.src.fd, peer_known);
}

/* --- certificates ----------------------------------------------------------------------------- */

static const char *
cert_name(const struct client_auth *a)
{
	const struct conn *c = &a->client->conn;

	return a->name_is_dn ? tls_peer_dn(c) : tls_peer_cn(c);
}

/* False: there is no certificate that we have verified, and it was refused. */
static bool
has_cert(struct client_auth *a, const char *why)
{
	if (a->client->conn.tls != NULL && tls_peer_verified(&a->client->conn))
		return true;
	auth_refuse(a, "28000", "connection requires a valid client certificate", why);
	return false;
}

bool
auth_check_cert(struct client_auth *a, enum hba_clientcert want, const char *why)
{
	const char *name;
	char text[160], reason[256];

	if (!has_cert(a, why))
		return false;
	name = cert_name(a);
	if (want != HBA_CERT_VERIFY_FULL || (name != NULL && strcmp(name, a->user) == 0))
		return true;
	snprintf(text, sizeof(text), "certificate authentication failed for user \"%s\"", a->user);
	snprintf(reason, sizeof(reason), "%s wants verify-full, and the certificate is for %.120s",
	    why, name == NULL ? "nobody" : name);
	auth_refuse(a, "28000", text, reason);
	return false;
}

void
auth_start_cert(struct client_auth *a)
{
	const char *name;
	char text[160], reason[256];

	if (!has_cert(a, "the method is cert, and the client has shown none"))
		return;
	name = cert_name(a);
	if (name != NULL && name_fits(a, name)) {
		auth_let_in(a);
		return;
	}
	snprintf(text, sizeof(text), "certificate authentication failed for user \"%s\"", a->user);
	snprintf(reason, sizeof(reason), "the certificate is for %.180s",
	    name == NULL ? "nobody" : name);
	auth_refuse(a, "28000", text, reason);
}
