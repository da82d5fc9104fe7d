/*
 * cancel: a CancelRequest on its way to PostgreSQL. The server closes the connection after the
 * signal was sent, so its end is the proof of delivery; until then the backend is kept from
 * everybody but its present client.
 */
#ifndef WORKER_CANCEL_H
#define WORKER_CANCEL_H

#include "worker/objects.h"

/* Sends one for the backend's running query. `ack` (may be NULL) is answered when it is done. */
struct cancel_ack {
	uint32_t worker; /* TABLE_NONE: nobody */
	uint32_t incarnation;
	uint64_t ticket;
};
void cancel_backend(struct backend *, const struct cancel_ack *);
/* For an orphan, known by its facts only. */
void cancel_facts(const struct ledger_backend *, void (*done)(void *arg), void *arg);
/* The backend is being freed. */
void cancel_forget(struct backend *);

/* A client's CancelRequest: finds the owner through the table and passes it on. */
void cancel_request(struct client *, int32_t pid, const uint8_t *key, size_t len);
/* For a client of ours, here or from another worker's inbox. The key is looked up anew: the row may
 * have changed hands while the message was under way. */
void cancel_asked(int32_t pid, const uint8_t *key, size_t len, const struct cancel_ack *);
/* From the inbox: the cancel with this ticket is done. */
void cancel_acked(uint64_t ticket);
/* A client that waits for an acknowledgement is gone. */
void cancel_client_gone(struct client *);

#endif
