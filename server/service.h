/* SPDX-License-Identifier: MIT */
/*
 * A service: plain bytes in, plain bytes and file ranges out. It sees no socket, no TLS and no operation; the
 * connection (conn/input.c) offers it bytes and acts on what it returns. All functions are called on the
 * worker's thread, except max_files(), alpn_of(), verify(), prepare() and release(): main
 * thread.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include "access.h"
#include "base/step.h"
#include "outq.h"
#include "reason.h"

#include <stdbool.h>
#include <stddef.h>

struct access_queue;
struct conn_group;
struct counters;
struct ev_loop;
struct opt;
struct shard;
struct tally;
struct roster_desk;
struct roster_room;
struct peer; /* the connection, as a session sees it (conn/peer.h) */
struct taio;

/* Where a session is; this selects its deadline. */
enum phase {
	PHASE_IDLE, /* between requests: idle timeout, restarted by bytes */
	PHASE_HEAD, /* inside a request's header: header timeout, not restarted by bytes */
	PHASE_BODY, /* inside a request's body or a stream: idle timeout, restarted by bytes */
};

/* What a worker provides to its services. Outlives the site. */
struct service_env {
	struct taio *ring;    /* for the files that sessions append to their output; NULL in tests */
	const uint64_t *turn; /* changes before what has happened since is handled; NULL in tests */
	struct ev_loop *loop; /* for timers */
	/* Connections that a site opens itself have these (peer_open()); NULL in tests. */
	struct shard *shard;
	struct conn_group *group; /* the listener's, until no client comes any more */
	struct counters *counters;
	struct tally *tally;		   /* the listener's, of what is counted for each; NULL in tests */
	void (*resume)(struct peer *peer); /* peer_resume() (conn/peer.h); NULL in tests */
	const bool *draining;		   /* no client comes any more; NULL in tests */
	bool is_at_path; /* the listener: who may connect is up to the permissions of its socket */
	/* Where the worker asks all of them for their connections as JSON (roster.h); NULL in tests. */
	struct roster_desk *desk;
	const struct roster_room *room;
	/* Appends the counters of all workers in Prometheus text format: 0 or -ENOMEM. */
	int (*metrics)(void *arg, struct outq *out);
	void *metrics_arg;
	/*
	 * The access log. If *access is not NULL a session begins a record for each response before it appends any of
	 * it, and fills it in; NULL: no memory. It may use it until it begins the next or sets is_whole, and later by
	 * its number in respond_again(), if access_find() has it still. access NULL: there is nothing to tell.
	 */
	struct access_queue *const *access;
	struct access_record *(*access_begin)(struct peer *peer, const struct access_request *request);
	struct access_record *(*access_find)(struct peer *peer, uint32_t number);
};

#define SERVICE_SESSION_MAX 256
#define SERVICE_PREFACE_MAX 1024
#define SERVICE_ALPN_MAX    256

struct service {
	const char *name;
	const char *summary;
	const char *alpn; /* protocol offered under TLS, or NULL */
	/*
	 * The same for a service where it depends on the listener's words, which have been verified: writes
	 * the protocols, the preferred first, as "h2,http/1.1" to text[SERVICE_ALPN_MAX]. False: none. NULL:
	 * it does not.
	 */
	bool (*alpn_of)(const void *words, char *text);
	/* Sent in the place of an alert where TLS is expected and a peer speaks HTTP without it; NULL: an
	 * alert. */
	const char *plain_response;
	enum access_of access; /* what the access log has of its connections */
	unsigned int outgoing; /* connections that a session opens, at most one at a time of each */
	size_t session_size;   /* zeroed memory kept for a session; at most SERVICE_SESSION_MAX bytes */

	/*
	 * Its own options, and its own words of a listener ("root=DIR"). Each table ends with a row without a
	 * name; its offsets are into a struct whose size follows it. NULL and 0: none. Options hold for new
	 * connections after a reload. The help of a word is a sentence without a verb: "Directory to serve."
	 */
	const struct opt *options;
	size_t options_size;
	const struct opt *words;
	size_t words_size;

	/* Maximum files that a site keeps open, each attached to the ring. NULL: none. */
	unsigned int (*max_files)(const void *options);

	/* Checks a listener's words beyond their syntax, and leaves nothing open. @is_tls: the listener has
	 * the word tls. On failure -errno and a line in why[256]. NULL: nothing to check. */
	int (*verify)(const void *words, bool is_tls, char *why);

	/*
	 * Takes up what a listener's words name and what may take longer than a loop may wait, such as DNS:
	 * at the start and at each reload, before the sites are opened or reloaded. What it makes is kept in
	 * @words, behind what the options fill, and does not change from then on; release() gives it back.
	 * @before: the words that the listener had until now, or NULL. On failure -errno and a line in
	 * why[256]. NULL: there is nothing.
	 */
	int (*prepare)(void *words, const void *before, char *why);
	void (*release)(void *words);

	/*
	 * One site for each worker and listener; a reload that changes its options or words makes another,
	 * and the old one is closed with its last session. @options and @words are the structs above, filled
	 * in; they live as long as the site. On failure -errno and a line in why[256]. Both functions are
	 * NULL in a service without state.
	 */
	int (*site_open)(void **site, const void *options, const void *words, const struct service_env *env,
			 char *why);
	void (*site_close)(void *site);

	/*
	 * The configuration is being reloaded, with the same options and words: takes up what its words name,
	 * which may be another thing by now. @words are equal to the site's, and prepared anew; those of the
	 * site stay. On failure -errno and a line in why[256], and the site is as it was. NULL: there is
	 * nothing.
	 */
	int (*site_reload)(void *site, const void *words, char *why);

	/* No client comes any more; those that are there stay until they end. NULL: it makes no difference.
	 */
	void (*site_leave)(void *site);

	/*
	 * An outgoing connection is made: writes what goes ahead of everything, a TLS handshake included, to
	 * text[SERVICE_PREFACE_MAX] and returns how many bytes. NULL: nothing.
	 */
	size_t (*preface)(void *session, char *text);

	/*
	 * All may be NULL, if a session needs only the zeroed memory. @peer is valid until close()
	 * returns. ended() is called when it is certain that the connection ends, and why, before its
	 * operations are: nothing more is called but close().
	 */
	void (*open)(void *session, void *site, struct peer *peer);
	void (*ended)(void *session, enum close_reason reason);
	void (*close)(void *session);

	/*
	 * @data holds all bytes received and not yet consumed; input() sets *used to how many it consumes.
	 * The first call comes before any bytes, once the connection is made and its handshake is over.
	 * The rest is offered again with more behind it. At most 64 KiB are kept, so a session that needs
	 * more in one piece must refuse earlier. Called only while @out is below the high-water mark
	 * (OUTQ_HIGH); input() returns once @out is above it. Returns
	 *
	 * STEP_MORE: read on once there is room for output;
	 *
	 * STEP_BLOCKED: the session waits for something else. Nothing is read until peer_resume(), which
	 * offers again what is left, possibly nothing. Until then it is not noticed if the peer goes away. A
	 * call before that returns the same;
	 *
	 * STEP_DONE: send what is queued, close the sending side, drain the peer, close;
	 *
	 * STEP_FAILED: close at once.
	 */
	enum step (*input)(void *session, const char *data, size_t len, size_t *used, struct outq *out);

	/*
	 * The peer has sent its last byte. @left bytes were not consumed: input() has seen them while @out
	 * was below the high-water mark, and needs more. STEP_DONE: nothing follows the queued output;
	 * STEP_BLOCKED: the session waits for something, and eof() is called again after peer_resume() and
	 * input(); STEP_FAILED: close at once.
	 */
	enum step (*eof)(void *session, size_t left, struct outq *out);

	/* Output may have been sent. NULL: the session does not care. */
	void (*sent)(void *session, const struct outq *out);

	enum phase (*phase)(const void *session);

	/* The other connection of a pair, or NULL. NULL in a service without pairs. */
	const struct peer *(*pair)(const void *session);

	/* The server drains. STEP_MORE: there is a request to finish first. NULL is STEP_DONE. */
	enum step (*drain)(void *session);

	/*
	 * The file of a response appended by outq_append_body() could not be read (@err is -errno), or is no
	 * longer what the head says it is (0). Nothing of the response was sent, and it is off the queue:
	 * appends another in its place. @note is the one given there, @file is borrowed. 0 or -errno: close
	 * at once. NULL in a service that appends none.
	 */
	int (*respond_again)(void *session, struct outq_file *file, uint32_t note, int err, struct outq *out);

	/*
	 * The limit of time that the request under way has broken, as a close reason, or CLOSE_NONE. Asked a
	 * few times a second in PHASE_HEAD and PHASE_BODY, also while nothing arrives or output is full.
	 * NULL: there are no such limits.
	 */
	enum close_reason (*limit)(void *session);

	/*
	 * The header timeout has passed in PHASE_HEAD, or limit() has returned @reason; no more input
	 * follows. STEP_DONE: send what is queued, possibly a response that this has appended (408), then
	 * close; STEP_FAILED: close at once. NULL is STEP_DONE.
	 */
	enum step (*timeout)(void *session, enum close_reason reason, struct outq *out);
};

/* Input stops while this many bytes of output or more are queued. */
#define OUTQ_HIGH (64 * 1024)

#endif
