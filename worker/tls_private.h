/* tls_private: the body of struct tls, for tls.c and tls_peer.c. */
#ifndef WORKER_TLS_PRIVATE_H
#define WORKER_TLS_PRIVATE_H

#include <openssl/types.h>

#include "worker/tls.h"

struct tls {
	SSL *ssl;
	struct tls_ctx *ctx;
	struct buf *first;	 /* received before TLS began */
	struct tls_place *place; /* we are the client: where its sessions are kept */
	size_t raw_bytes;	 /* put into conn.raw since that was empty */
	int reads;		 /* of the socket, in this call of ours */
	int error;		 /* errno of the socket */
	bool eof;
	bool direct;
	bool held;   /* what is encrypted waits in conn.raw for what comes next */
	bool up;     /* the handshake is done */
	bool broken; /* nothing more can be said */
};

#endif
