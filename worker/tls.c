/*
 * tls: see tls.h. Called by conn.c, and by client_login and secure.c, where TLS begins.
 *
 * OpenSSL reads and writes through a BIO of ours that has the rules of conn.h: a short recv means
 * that the kernel is drained (`dry`), so no read is made to see EAGAIN; with read-ahead a whole
 * record, or several, come by one recv. Writing never fails for lack of room: what the kernel does
 * not take waits in conn.raw, and nothing more is encrypted before that is gone. So SSL_write needs
 * no repetition with the same bytes, and reading never waits for writing.
 *
 * A handshake as the server costs a signature, a millisecond for RSA: only a few are done in a turn
 * of the loop, so that a crowd of newcomers delays nobody by more than that.
 *
 * Owns the SSL object and a reference to its context. What fails is for the caller to tell.
 */
#include "worker/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <arpa/inet.h>
#include <bsd/string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "conf/log.h"
#include "worker/state.h"
#include "worker/tls_private.h"

#define RECORD		16384
#define RAW_MAX		(512 * 1024) /* what a peer may make us owe it, reading nothing */
#define SHAKES_PER_TURN 4
#define READS_PER_CALL	16 /* more make no data: what comes is TLS's own, without end perhaps */

static char error_text[256];

const char *
tls_error(void)
{
	return error_text;
}

/* --- the BIO ---------------------------------------------------------------------------------- */

/* What had been received before TLS began. */
static int
read_first(struct tls *t, char *to, int size)
{
	uint32_t n = t->first->tail - t->first->head;

	if (n > (uint32_t)size)
		n = (uint32_t)size;
	memcpy(to, t->first->data + t->first->head, n);
	(void)chain_drop(&t->first, n);
	return (int)n;
}

static int
bio_read(BIO *bio, char *to, int size)
{
	struct conn *c = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (c->tls->first != NULL)
		return read_first(c->tls, to, size);
	if ((c->dry && !c->hup) || c->tls->reads++ >= READS_PER_CALL) {
		BIO_set_retry_read(bio);
		return -1;
	}
	do
		n = recv(c->src.fd, to, (size_t)size, 0);
	while (n == -1 && errno == EINTR);
	if (n > 0) {
		c->dry = n < size && !c->hup;
		return (int)n;
	}
	c->dry = true;
	if (n == -1 && errno == EAGAIN)
		BIO_set_retry_read(bio);
	else if (n == -1)
		c->tls->error = errno;
	else
		c->tls->eof = true;
	return n == 0 ? 0 : -1;
}

/* The rest of what was to be sent waits in conn.raw. */
static int
keep_raw(struct conn *c, const char *bytes, int n)
{
	c->tls->raw_bytes += (size_t)n;
	if (c->tls->raw_bytes > RAW_MAX) {
		c->tls->error = ENOBUFS;
		return -1;
	}
	chain_put(&c->raw, bytes, (size_t)n);
	return 0;
}

static int
bio_write(BIO *bio, const char *bytes, int size)
{
	struct conn *c = BIO_get_data(bio);
	ssize_t n = 0;

	BIO_clear_retry_flags(bio);
	if (c->raw == NULL && !c->blocked && !c->tls->held) {
		do
			n = send(c->src.fd, bytes, (size_t)size, MSG_NOSIGNAL);
		while (n == -1 && errno == EINTR);
		if (n == -1 && errno != EAGAIN) {
			c->tls->error = errno;
			return -1;
		}
		if (n == size)
			return size;
		if (n == -1)
			n = 0;
		conn_block(c);
	}
	return keep_raw(c, bytes + n, size - (int)n) == 0 ? size : -1;
}

static long
bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	const struct conn *c = BIO_get_data(bio);

	(void)num;
	(void)ptr;
	if (cmd == BIO_CTRL_FLUSH)
		return 1;
	return cmd == BIO_CTRL_EOF && c->tls->eof;
}

static BIO *
bio_new(struct conn *c)
{
	static BIO_METHOD *method;
	BIO *bio;

	if (method == NULL) {
		method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "conn");
		if (method == NULL || BIO_meth_set_read(method, bio_read) != 1 ||
		    BIO_meth_set_write(method, bio_write) != 1 ||
		    BIO_meth_set_ctrl(method, bio_ctrl) != 1)
			fatalx("OpenSSL cannot make a BIO");
	}
	bio = BIO_new(method);
	if (bio == NULL)
		return NULL;
	BIO_set_data(bio, c);
	BIO_set_init(bio, 1);
	return bio;
}

/* --- what contexts call ----------------------------------------------------------------------- */

/* A client that names protocols must name ours. */
static int
choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
    unsigned int inlen, void *arg)
{
	static const unsigned char ours[] = "\x0a" TLS_ALPN;
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, outlen, ours, sizeof(ours) - 1, in, inlen) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* A server's ticket. */
static int
got_session(SSL *ssl, SSL_SESSION *session)
{
	const struct conn *c = BIO_get_data(SSL_get_rbio(ssl));

	if (c->tls->place == NULL)
		return 0;
	tls_session_keep(c->tls->place, session);
	return 1;
}

/* Once for each context: the configuration knows nothing of workers. */
static void
hook(struct tls_ctx *t)
{
	static const unsigned char ours[] = "\x0a" TLS_ALPN;

	if (t->hooked)
		return;
	t->hooked = true;
	if (t->server) {
		SSL_CTX_set_alpn_select_cb(t->ssl, choose_alpn, NULL);
		tls_ticket_hook(t->ssl);
		tls_sni_hook(t);
		return;
	}
	(void)SSL_CTX_set_alpn_protos(t->ssl, ours, sizeof(ours) - 1);
	SSL_CTX_set_session_cache_mode(t->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(t->ssl, got_session);
}

/* --- the beginning ---------------------------------------------------------------------------- */

static void
tls_free(struct conn *c)
{
	struct tls *t = c->tls;

	SSL_free(t->ssl);
	chain_free(&t->first);
	tls_ctx_unref(t->ctx);
	free(t->place);
	free(t);
	c->tls = NULL;
}

static struct tls *
begin(struct conn *c, struct tls_ctx *ctx)
{
	struct tls *t = calloc(1, sizeof(*t));
	BIO *bio;

	ENSURE(c->tls == NULL && c->raw == NULL);
	if (t == NULL)
		return NULL;
	hook(ctx);
	t->ctx = tls_ctx_ref(ctx);
	t->ssl = SSL_new(ctx->ssl);
	bio = t->ssl == NULL ? NULL : bio_new(c);
	c->tls = t;
	if (bio == NULL) {
		tls_free(c);
		return NULL;
	}
	SSL_set_bio(t->ssl, bio, bio);
	c->raw = c->out;
	c->out = NULL;
	c->dry = !c->readable;
	return t;
}

int
tls_accept(struct conn *c, struct tls_ctx *ctx, bool direct)
{
	struct tls *t;

	ENSURE(direct || c->in == NULL);
	t = begin(c, ctx);
	if (t == NULL)
		return -1;
	t->direct = direct;
	t->first = c->in;
	c->in = NULL;
	c->readable |= direct;
	SSL_set_accept_state(t->ssl);
	return 0;
}

/* The name that is asked for and, if that is wanted, must stand in the certificate. */
static bool
set_name(SSL *ssl, char *host, bool check)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	unsigned char addr[16];

	if (inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1)
		return !check || X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
	if (SSL_set_tlsext_host_name(ssl, host) != 1)
		return false;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return !check || X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}

int
tls_connect(struct conn *c, struct tls_ctx *ctx, const char *host, uint16_t port)
{
	struct tls *t;
	SSL_SESSION *session;

	ENSURE(c->in == NULL);
	t = begin(c, ctx);
	if (t == NULL)
		return -1;
	t->place = calloc(1, sizeof(*t->place));
	if (t->place == NULL ||
	    strlcpy(t->place->host, host, sizeof(t->place->host)) >= sizeof(t->place->host) ||
	    !set_name(t->ssl, t->place->host, ctx->mode == TLS_VERIFY_FULL)) {
		tls_free(c);
		return -1;
	}
	t->place->serial = ctx->serial;
	t->place->port = port;
	session = tls_session_find(t->place);
	if (session != NULL)
		(void)SSL_set_session(t->ssl, session);
	SSL_SESSION_free(session);
	SSL_set_connect_state(t->ssl);
	return 0;
}

bool
tls_up(const struct conn *c)
{
	return c->tls != NULL && c->tls->up;
}

/* --- failing ---------------------------------------------------------------------------------- */

static int
fail_text(struct tls *t, const char *text)
{
	strlcpy(error_text, text, sizeof(error_text));
	t->broken = true;
	errno = EPROTO;
	return -1;
}

/* After a call of OpenSSL that returned `rc` and is not to be repeated: -1 with errno. */
static int
fail(struct tls *t)
{
	unsigned long e = ERR_peek_error();
	const char *reason = ERR_reason_error_string(e);
	char text[256];

	if (ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		snprintf(text, sizeof(text), "certificate verify failed: %s",
		    X509_verify_cert_error_string(SSL_get_verify_result(t->ssl)));
	else
		snprintf(text, sizeof(text), "TLS: %s", reason == NULL ? "protocol error" : reason);
	ERR_clear_error();
	(void)fail_text(t, text);
	if (t->error != 0)
		errno = t->error;
	else if (e == 0 && t->eof)
		errno = 0;
	return -1;
}

/* OpenSSL wants more than there is, or more than we read for one in a turn. */
static void
wait_for_more(struct conn *c)
{
	c->readable = c->tls->reads > READS_PER_CALL;
	if (c->readable)
		loop_again(&c->src);
}

/* Sends what is encrypted already. */
static enum conn_sent
send_raw(struct conn *c)
{
	c->tls->held = false;
	while (c->raw != NULL) {
		struct buf *b = c->raw;
		ssize_t n = send(c->src.fd, b->data + b->head, b->tail - b->head, MSG_NOSIGNAL);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno != EAGAIN)
			return CONN_BROKEN;
		if (n == -1) {
			conn_block(c);
			return CONN_BLOCKED;
		}
		(void)chain_drop(&c->raw, (size_t)n);
	}
	c->tls->raw_bytes = 0;
	return CONN_SENT;
}

/* --- the handshake ---------------------------------------------------------------------------- */

/* False: others have had this turn's share; the next turn goes on. */
static bool
may_shake(struct conn *c)
{
	static uint64_t turn;
	static int done;

	if (turn != loop_turns()) {
		turn = loop_turns();
		done = 0;
	}
	if (done++ < SHAKES_PER_TURN)
		return true;
	loop_again(&c->src);
	return false;
}

/* What OpenSSL does not look at. */
static const char *
not_good_enough(const struct tls *t)
{
	const unsigned char *alpn = NULL;
	unsigned int len = 0;
	const X509 *cert = SSL_get0_peer_certificate(t->ssl);

	SSL_get0_alpn_selected(t->ssl, &alpn, &len);
	if (t->direct && len == 0)
		return "TLS without SSLRequest, and without ALPN";
	if (t->ctx->server && cert != NULL && SSL_session_reused(t->ssl) == 1 &&
	    X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
		return "certificate verify failed: certificate has expired";
	return NULL;
}

static void
count_up(const struct tls *t)
{
	bool reused = SSL_session_reused(t->ssl) == 1;

	if (t->ctx->server) {
		stats_add(&wk->row->tls_handshakes, 1);
		stats_add(&wk->row->tls_resumed, reused);
	} else {
		stats_add(&wk->row->server_tls_handshakes, 1);
		stats_add(&wk->row->server_tls_resumed, reused);
	}
}

/* One step of the handshake. A server's last word of TLS 1.3 is a ticket, for which nobody waits:
 * it is held back, and goes out in one piece with the answer to what the client says next. */
static int
step(struct conn *c)
{
	struct tls *t = c->tls;
	int rc;

	ERR_clear_error();
	t->reads = 0;
	t->held = t->ctx->server;
	rc = SSL_do_handshake(t->ssl);
	if (rc != 1 || SSL_version(t->ssl) < TLS1_3_VERSION)
		(void)send_raw(c); /* if it is broken, reading tells */
	return rc;
}

int
tls_shake(struct conn *c)
{
	struct tls *t = c->tls;
	const char *why;
	int rc;

	if (t->up)
		return 1;
	if (t->broken)
		return fail_text(t, error_text);
	if (t->ctx->server && !may_shake(c))
		return 0;
	rc = step(c);
	if (rc != 1 && SSL_get_error(t->ssl, rc) == SSL_ERROR_WANT_READ) {
		wait_for_more(c);
		return 0;
	}
	why = rc == 1 ? not_good_enough(t) : NULL;
	if (rc != 1 || why != NULL) {
		if (t->ctx->server)
			stats_add(&wk->row->tls_failures, 1);
		c->readable = false;
		return why != NULL ? fail_text(t, why) : fail(t);
	}
	t->up = true;
	c->readable = true; /* there may be more behind it */
	count_up(t);
	return 1;
}

/* --- receiving -------------------------------------------------------------------------------- */

/* After SSL_read said no, with nothing read before: as conn_recv returns. */
static int
read_end(struct conn *c, int rc)
{
	struct tls *t = c->tls;
	int e = SSL_get_error(t->ssl, rc);

	c->readable = false;
	if (e == SSL_ERROR_WANT_READ) {
		wait_for_more(c);
		conn_trim(c);
		return 0;
	}
	if (e != SSL_ERROR_ZERO_RETURN)
		return fail(t);
	errno = 0;
	return -1;
}

int
tls_recv(struct conn *c)
{
	struct tls *t = c->tls;
	uint32_t got = 0;
	int rc = tls_shake(c);

	if (rc != 1)
		return rc;
	if (c->in == NULL)
		c->in = buf_get();
	ERR_clear_error();
	t->reads = 0;
	while (c->in->tail < buf_cap()) {
		rc = SSL_read(t->ssl, c->in->data + c->in->tail, (int)(buf_cap() - c->in->tail));
		if (rc <= 0)
			break;
		c->in->tail += (uint32_t)rc;
		got += (uint32_t)rc;
	}
	if (rc > 0 || got == 0)
		return got > 0 || rc > 0 ? (int)got : read_end(c, rc);
	if (SSL_get_error(t->ssl, rc) == SSL_ERROR_WANT_READ)
		wait_for_more(c); /* else the next call tells the end */
	return (int)got;
}

/* --- sending ---------------------------------------------------------------------------------- */

/* One record's worth: in place if it is one piece, else put together, so that a short answer of
 * several pieces is one record and one send. */
static const void *
one_record(const struct iovec *iov, int count, size_t *len)
{
	static uint8_t together[RECORD];
	size_t n = 0, part;
	int i;

	if (count == 1 || iov[0].iov_len >= RECORD) {
		*len = iov[0].iov_len < RECORD ? iov[0].iov_len : RECORD;
		return iov[0].iov_base;
	}
	for (i = 0; i < count && n < RECORD; i++) {
		part = iov[i].iov_len < RECORD - n ? iov[i].iov_len : RECORD - n;
		memcpy(together + n, iov[i].iov_base, part);
		n += part;
	}
	*len = n;
	return together;
}

enum conn_sent
tls_send(struct conn *dst, struct conn *src, uint64_t *sent)
{
	struct iovec iov[CONN_IOV];
	enum conn_sent r = dst->tls->held ? CONN_SENT : send_raw(dst);
	int count, rc;
	size_t len;

	if (r != CONN_SENT)
		return r;
	if (!dst->tls->up) {
		rc = tls_shake(dst);
		if (rc != 1)
			return rc == 0 ? CONN_BLOCKED : CONN_BROKEN;
		loop_again(&dst->src); /* what came behind the handshake waits to be read */
	}
	ERR_clear_error();
	while (conn_gather(dst, src, iov, &count) > 0) {
		const void *bytes = one_record(iov, count, &len);
		rc = SSL_write(dst->tls->ssl, bytes, (int)len);
		if (rc <= 0) {
			(void)fail(dst->tls);
			return CONN_BROKEN;
		}
		conn_gathered_sent(dst, src, (size_t)rc);
		if (sent != NULL)
			*sent += (uint64_t)rc;
		if (dst->tls->held && (r = send_raw(dst)) != CONN_SENT)
			return r;
		if (dst->raw != NULL)
			return CONN_BLOCKED;
	}
	if (src != NULL)
		conn_trim(src);
	return dst->tls->held ? send_raw(dst) : CONN_SENT;
}

/* --- the end ---------------------------------------------------------------------------------- */

void
tls_bye(struct conn *c)
{
	struct tls *t = c->tls;

	if (!t->up || t->broken || (SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN) != 0)
		return;
	(void)SSL_shutdown(t->ssl);
	if (t->held)
		(void)send_raw(c);
	ERR_clear_error();
}

void
tls_drop(struct conn *c)
{
	if (c->tls == NULL)
		return;
	tls_free(c);
	chain_free(&c->in);
	chain_free(&c->out);
	c->out = c->raw;
	c->raw = NULL;
	c->readable = true;
}

void
tls_close(struct conn *c)
{
	struct tls *t = c->tls;

	if (!c->hup && c->src.fd != -1)
		tls_bye(c);
	/* An end without a goodbye is no reason to trust the session less. */
	if (t->up && !t->broken)
		SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	tls_free(c);
	ERR_clear_error();
}
