/*
 * secure: see secure.h. Called by backend_login and cancel. The connection is the caller's, who
 * closes it after a failure and has the time limit.
 *
 * The server's answer is one byte. What is behind it was sent before TLS began, by whomever: it is
 * never read as if TLS had protected it, the connection ends.
 */
#include "worker/secure.h"

#include <errno.h>
#include <string.h>
#include <bsd/string.h>

#include "proto/wire.h"
#include "worker/tls.h"

static enum secure_result
failed(struct conn *c, const char **why)
{
	*why = errno == 0 ? "the server closed the connection when TLS was to begin" : conn_why(c);
	return SECURE_NO_TLS;
}

static enum secure_result
shake(struct secure *s, struct conn *c, const char **why)
{
	int rc = tls_shake(c);

	if (rc == -1)
		return failed(c, why);
	if (rc == 0)
		return SECURE_MORE;
	s->step = SECURE_DONE;
	return SECURE_READY;
}

static enum secure_result
begin(struct secure *s, struct conn *c, const char **why)
{
	if (tls_connect(c, s->ctx, s->host, s->port) == -1) {
		*why = "OpenSSL cannot begin";
		return SECURE_FAILED;
	}
	s->step = SECURE_SHAKES;
	return shake(s, c, why);
}

static enum secure_result
answered(struct secure *s, struct conn *c, uint8_t answer, const char **why)
{
	if (answer == 'S')
		return begin(s, c, why);
	if (answer == 'N' && s->ctx->mode < TLS_REQUIRE) {
		s->step = SECURE_DONE;
		return SECURE_READY;
	}
	*why = answer == 'N' ? "the server has no TLS, and server_tls_sslmode wants it"
			     : "the server does not understand the request for TLS";
	return SECURE_FAILED;
}

static enum secure_result
hear(struct secure *s, struct conn *c, const char **why)
{
	struct buf *in;
	uint8_t answer;
	int n;

	if (conn_unsent(c) && conn_send(c, NULL, NULL) == CONN_BROKEN)
		return failed(c, why);
	n = conn_can_recv(c) ? conn_recv(c) : 0;
	if (n == -1)
		return failed(c, why);
	if (n == 0)
		return SECURE_MORE;
	in = c->in;
	answer = in->data[in->head];
	n = (int)(in->tail - in->head);
	conn_forget_input(c);
	if (n > 1) {
		*why = "received unencrypted data behind the answer to the request for TLS";
		return SECURE_FAILED;
	}
	return answered(s, c, answer, why);
}

enum secure_result
secure_start(struct secure *s, struct conn *c, struct tls_ctx *ctx, const char *host, uint16_t port,
    const char **why)
{
	uint8_t msg[8];
	struct wire_out w;

	*s = (struct secure){.ctx = tls_ctx_ref(ctx), .port = port};
	strlcpy(s->host, host, sizeof(s->host)); /* a longer one is no host's name */
	if (ctx == NULL) {
		s->step = SECURE_DONE;
		return SECURE_READY;
	}
	if (ctx->negotiation == TLS_DIRECT)
		return begin(s, c, why);
	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 0);
	wire_int32(&w, WIRE_CODE_SSL);
	wire_end(&w);
	conn_put(c, msg, w.len);
	s->step = SECURE_ASKED;
	return secure_go_on(s, c, why);
}

enum secure_result
secure_go_on(struct secure *s, struct conn *c, const char **why)
{
	switch (s->step) {
	case SECURE_ASKED:
		return hear(s, c, why);
	case SECURE_SHAKES:
		if (c->raw != NULL && conn_send(c, NULL, NULL) == CONN_BROKEN)
			return failed(c, why);
		return shake(s, c, why);
	case SECURE_NOT:
	case SECURE_DONE:
		break;
	}
	return SECURE_READY;
}

void
secure_fini(struct secure *s)
{
	tls_ctx_unref(s->ctx);
	*s = (struct secure){.step = SECURE_NOT};
}
