/*
 * fields: every number of the statistics segment, defined once.
 *
 * X(name, kind, unit, help): the name is also the struct member, the name in `pgdrove stat --get`,
 * the console column and the metric's stem. COUNTERs only grow (over a worker's deaths too: the
 * successor goes on in the same row); GAUGEs are the present state and are zeroed by the master
 * when their worker dies.
 */
#ifndef SHM_FIELDS_H
#define SHM_FIELDS_H

/* A row per worker; the steward has the last. The first eight, one line of the cache, are what
 * changes all the time. */
#define STATS_WORKER_FIELDS(X)                                                                     \
	X(heartbeat_us, GAUGE, "us", "monotonic time of the last turn of its loop")                \
	X(loop_turns, COUNTER, "count", "turns of the event loop")                                 \
	X(clients, GAUGE, "count", "connected clients, those logging in included")                 \
	X(clients_active, GAUGE, "count", "clients that hold a backend")                           \
	X(clients_waiting, GAUGE, "count", "clients in a queue for a backend")                     \
	X(backends, GAUGE, "count", "connections to PostgreSQL")                                   \
	X(backends_idle, GAUGE, "count", "of these, idle in a pool")                               \
	X(buffers, GAUGE, "count", "buffers with bytes in flight")                                 \
	X(pid, GAUGE, "pid", "process id, 0 = not running")                                        \
	X(incarnation, GAUGE, "count", "number of this worker's life, counted from 1")             \
	X(state, GAUGE, "enum", "0 down, 1 starting, 2 serving, 3 draining, 4 unused, 5 surplus")  \
	X(conf, GAUGE, "count", "number of the configuration in force, 1 = the one of the start")  \
	X(started_us, GAUGE, "us", "monotonic time of the process's start")                        \
	X(restarts, COUNTER, "count", "times this worker was replaced after a death")              \
	X(accepts, COUNTER, "count", "connections accepted")                                       \
	X(logins, COUNTER, "count", "clients logged in")                                           \
	X(login_failures, COUNTER, "count", "clients refused or lost before they were logged in")  \
	X(auth_failures, COUNTER, "count", "of these, wrong passwords, unknown names, rejections") \
	X(login_timeouts, COUNTER, "count", "of these, ended by client_login_timeout")             \
	X(auth_blocked, COUNTER, "count", "clients refused unheard: auth_failure_limit")           \
	X(protocol_errors, COUNTER, "count", "connections closed for breaking the protocol")       \
	X(tls_handshakes, COUNTER, "count", "TLS handshakes with clients")                         \
	X(tls_resumed, COUNTER, "count", "of these, by a session ticket")                          \
	X(tls_failures, COUNTER, "count", "TLS handshakes with clients that failed")               \
	X(server_tls_handshakes, COUNTER, "count", "TLS handshakes with PostgreSQL")               \
	X(server_tls_resumed, COUNTER, "count", "of these, of a session taken up again")           \
	X(cancel_requests, COUNTER, "count", "cancel requests received")                           \
	X(cancels_sent, COUNTER, "count", "cancel requests passed on to PostgreSQL")               \
	X(cancel_timeouts, COUNTER, "count", "of these, not taken within cancel_wait_timeout")     \
	X(orphans, GAUGE, "count", "backends of dead workers not yet confirmed gone")              \
	X(orphans_claimed, COUNTER, "count", "backends of dead workers taken over by the janitor") \
	X(orphans_freed, COUNTER, "count", "of these, confirmed gone and freed")                   \
	X(ledger_stalls, COUNTER, "count", "times the table's mutex could not be had in time")     \
	X(ledger_repairs, COUNTER, "count",                                                        \
	    "times the table was repaired after a death inside the mutex")                         \
	X(clients_given, COUNTER, "count", "clients handed over to the next generation")           \
	X(clients_received, COUNTER, "count", "clients taken over from the one before")            \
	X(clients_left, COUNTER, "count",                                                          \
	    "clients that did not move from a process that leaves, and ended by themselves")       \
	X(elders, GAUGE, "count",                                                                  \
	    "1: the generation before an upgrade has not left; 2: the change")                     \
	X(clients_sent_away, COUNTER, "count", "clients told to leave (57P01)")                    \
	X(backends_given, COUNTER, "count", "idle backends handed over to the next generation")    \
	X(backends_received, COUNTER, "count", "... taken over from the one before")               \
	X(dns_names, GAUGE, "count", "names of servers whose addresses are kept (dns_max_ttl)")    \
	X(dns_queries, GAUGE, "count", "names of servers that are being looked up")                \
	X(ddl_seen, COUNTER, "count",                                                              \
	    "statements that changed definitions: prepared statements are parsed anew")            \
	X(log_dropped, COUNTER, "count", "lines of the log that nobody took")                      \
	X(log_repeats, COUNTER, "count", "lines of the log held back as repeats")

/* ErrorResponses by class, the first two characters of their SQLSTATE; in any order, other last. */
#define STATS_ERROR_FIELDS(X)                                                                      \
	X(errors_08, COUNTER, "count", "errors told to clients: connection (08)")                  \
	X(errors_0A, COUNTER, "count", "... not supported (0A)")                                   \
	X(errors_22, COUNTER, "count", "... data (22)")                                            \
	X(errors_23, COUNTER, "count", "... constraints (23)")                                     \
	X(errors_25, COUNTER, "count", "... transaction state (25)")                               \
	X(errors_26, COUNTER, "count", "... unknown statement (26)")                               \
	X(errors_28, COUNTER, "count", "... authorization (28)")                                   \
	X(errors_40, COUNTER, "count", "... serialization, deadlock (40)")                         \
	X(errors_42, COUNTER, "count", "... syntax, access, names (42)")                           \
	X(errors_53, COUNTER, "count", "... resources, connections, waits (53)")                   \
	X(errors_54, COUNTER, "count", "... limits of the program (54)")                           \
	X(errors_55, COUNTER, "count", "... locks, wrong state of an object (55)")                 \
	X(errors_57, COUNTER, "count", "... intervention, cancel, shutdown (57)")                  \
	X(errors_58, COUNTER, "count", "... system, files (58)")                                   \
	X(errors_XX, COUNTER, "count", "... internal (XX)")                                        \
	X(errors_other, COUNTER, "count", "... all other classes")

/* A row per (pool, worker): one writer each. Lines of eight: what other workers look at all the
 * time, and now and then; what each transaction counts. */
#define STATS_POOL_FIELDS(X)                                                                       \
	X(cl_active, GAUGE, "count", "clients that hold a backend")                                \
	X(cl_waiting, GAUGE, "count", "clients in the queue for a backend")                        \
	X(cl_idle, GAUGE, "count", "clients that are connected and need no backend")               \
	X(sv_active, GAUGE, "count", "backends that serve a client")                               \
	X(sv_idle, GAUGE, "count", "idle backends")                                                \
	X(oldest_wait_us, GAUGE, "us",                                                             \
	    "monotonic time since when the head of the queue waits, 0 = nobody")                   \
	X(oldest_held_us, GAUGE, "us",                                                             \
	    "monotonic time since when a client has held a backend longest, 0 = none does")        \
	X(cl_demand, GAUGE, "count",                                                               \
	    "256 times the clients that hold a backend or wait for one, over the last while")      \
	X(idle_since_us, GAUGE, "us",                                                              \
	    "monotonic time since when the coldest idle backend is idle, 0 = none is")             \
	X(sv_login, GAUGE, "count", "backends being connected")                                    \
	X(sv_cleaning, GAUGE, "count", "backends being checked, reset or closed")                  \
	X(cl_canceling, GAUGE, "count", "cancel requests of clients on their way")                 \
	X(sv_canceling, GAUGE, "count", "connections that carry a cancel request to PostgreSQL")   \
	X(sv_canceled, GAUGE, "count", "backends that a cancel request may still hit")             \
	X(hungry_db_us, GAUGE, "us",                                                               \
	    "monotonic time since when max_db_connections denies a backend, 0 = it does not")      \
	X(hungry_user_us, GAUGE, "us",                                                             \
	    "monotonic time since when max_user_connections denies one, 0 = it does not")          \
	X(sv_assigned, COUNTER, "count", "times a client got a backend")                           \
	X(query_time_us, COUNTER, "us", "time backends worked on what clients asked for")          \
	X(xact_count, COUNTER, "count", "transactions")                                            \
	X(query_count, COUNTER, "count", "queries: Query, FunctionCall and Execute messages")      \
	X(bytes_received, COUNTER, "bytes", "bytes read from clients")                             \
	X(bytes_sent, COUNTER, "bytes", "bytes written to clients")                                \
	X(xact_time_us, COUNTER, "us", "time backends were held by clients")                       \
	X(wait_time_us, COUNTER, "us", "time clients waited for a backend")                        \
	X(wait_count, COUNTER, "count", "times a client had to wait for a backend")                \
	X(cl_parse_count, COUNTER, "count", "Parse messages of clients")                           \
	X(cl_bind_count, COUNTER, "count", "Bind messages of clients")                             \
	X(sv_parse_count, COUNTER, "count", "Parse messages to PostgreSQL")                        \
	X(cl_logins, COUNTER, "count", "clients logged in")                                        \
	X(wait_timeouts, COUNTER, "count", "waits ended by query_wait_timeout")                    \
	X(query_timeouts, COUNTER, "count", "queries ended by query_timeout")                      \
	X(xact_timeouts, COUNTER, "count", "transactions ended by transaction_timeout")            \
	X(idle_xact_timeouts, COUNTER, "count", "transactions ended by idle_transaction_timeout")  \
	X(cl_idle_timeouts, COUNTER, "count", "clients ended by client_idle_timeout")              \
	X(stmts_parsed, COUNTER, "count", "statements prepared on a backend that lacked them")     \
	X(stmts_evicted, COUNTER, "count", "statements closed on a backend that had too many")     \
	X(cl_pinned, GAUGE, "count", "clients that keep a backend for their session's state")      \
	X(pins_temp, COUNTER, "count", "times a client was pinned by temporary objects")           \
	X(pins_listen, COUNTER, "count", "... by LISTEN")                                          \
	X(pins_locks, COUNTER, "count", "... by advisory locks of the session")                    \
	X(pins_cursors, COUNTER, "count", "... by cursors WITH HOLD")                              \
	X(pins_prepare, COUNTER, "count", "... by PREPARE")                                        \
	X(pins_sequence, COUNTER, "count", "... by currval() or lastval()")                        \
	X(pins_seed, COUNTER, "count", "... by setseed()")                                         \
	X(pins_load, COUNTER, "count", "... by LOAD")                                              \
	X(pins_other, COUNTER, "count", "... by functions such as dblink_connect()")               \
	X(pins_settings, COUNTER, "count", "... by settings")                                      \
	X(pin_timeouts, COUNTER, "count", "clients ended by pin_timeout")                          \
	X(session_probes, COUNTER, "count", "times a backend was asked for its session's state")   \
	X(replays, COUNTER, "count", "times a backend was given its client's settings")            \
	X(replays_alone, COUNTER, "count", "... in a round trip of their own")                     \
	X(sv_opened, COUNTER, "count", "connections to PostgreSQL opened")                         \
	X(sv_closed, COUNTER, "count", "connections to PostgreSQL closed")                         \
	X(sv_failed, COUNTER, "count", "connections to PostgreSQL that failed")                    \
	X(sv_connect_timeouts, COUNTER, "count", "hosts given up after server_connect_timeout")    \
	X(sv_checked, COUNTER, "count", "times server_check_query was run on an idle backend")     \
	X(sv_check_failed, COUNTER, "count", "of these, backends that did not pass")               \
	X(sv_evicted, COUNTER, "count", "idle backends closed as another pool needed the place")   \
	X(sv_yielded, COUNTER, "count",                                                            \
	    "backends closed as others had waited longer for their place")                         \
	X(sv_given, COUNTER, "count", "backends given to another worker")                          \
	X(sv_received, COUNTER, "count", "backends received from another worker")                  \
	STATS_ERROR_FIELDS(X)

/*
 * Histograms, a row per (pool, worker) as well: X(name, help). Bucket k counts what took at most
 * STATS_BUCKET_US << k microseconds and more than the bucket before; the last one counts the rest.
 * After the buckets stands the sum in microseconds.
 */
#define STATS_BUCKETS	24
#define STATS_BUCKET_US 16

#define STATS_TIMES(X)                                                                             \
	X(wait, "wait for a backend, those who need not wait included")                            \
	X(xact, "transaction, from its first message to the last answer")                          \
	X(query, "query, from the first message of a request to the end of its answer")            \
	X(connect, "opening a backend: connecting and logging in to PostgreSQL")                   \
	X(login, "login of a client, from the connection to ReadyForQuery")

enum stats_worker_state {
	STATS_DOWN,
	STATS_STARTING,
	STATS_SERVING,
	STATS_DRAINING,
	STATS_UNUSED, /* a place that a reload may fill (max_workers) */
	STATS_SURPLUS /* too many since a reload: ends with its last client */
};

#endif
