/* SPDX-License-Identifier: MIT */
#include "options.h"

#include "place.h"

#define FIELD(name) offsetof(struct proxy_options, name)
#define WORD(name)  offsetof(struct proxy_words, name)

static const char *const balances[] = {"round-robin", "least-connections", NULL};
static const char *const no_yes[] = {"no", "yes", NULL};
static const char *const versions[] = {"off", "v1", "v2", NULL};

// clang-format off
const struct opt proxy_options[] = {
	{ .section = "Proxy",
	  .name = "lifetime-timeout", .type = OPT_DURATION, .offset = FIELD(lifetime_us), .arg = "DURATION", .deflt = "0",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "Maximum time that a proxied connection may last, whatever it does; 0 means no limit." },
	{ .name = "backend-rest", .type = OPT_DURATION, .offset = FIELD(rest_us), .arg = "DURATION", .deflt = "10s",
	  .on_reload = OPT_RELOAD_APPLY,
	  .help = "How long a backend that could not be reached is passed over.",
	  .more = "It is still tried if no other is left. Each worker finds out for itself." },
	{ 0 }
};

const struct opt proxy_words[] = {
	{ .name = "to", .type = OPT_LIST, .offset = WORD(to), .arg = "[PROTOCOL:]ADDRESS:PORT|[PROTOCOL:]unix:PATH",
	  .check = place_check,
	  .help = "Backend to connect to, of clients that have negotiated PROTOCOL by ALPN if one is given, as in "
		  "h2:127.0.0.1:8081, of the others if not; repeatable." },
	{ .name = "sni-map", .type = OPT_STRING, .offset = WORD(sni_map), .arg = "FILE",
	  .help = "Backends by the name that the client asks for (SNI): each line of FILE is NAME or *.NAME (all that end so), "
		  "then one or more backends as in to=; # begins a comment. A name that is not there goes to the backends "
		  "of to=, or nowhere if there are none. Read again on reload." },
	{ .name = "sni-route", .type = OPT_BOOL, .offset = WORD(sni_route), .arg = "yes|no", .deflt = "no",
	  .help = "TLS passed through, on a listener without tls: the client's first message is read for the name that "
		  "sni-map needs, and goes to the backend with all that follows." },
	{ .name = "balance", .type = OPT_ENUM, .offset = WORD(balance), .arg = "round-robin|least-connections",
	  .deflt = "round-robin", .choices = balances,
	  .help = "Way to choose among backends." },
	{ .name = "check", .type = OPT_DURATION, .offset = WORD(check_us), .arg = "DURATION", .deflt = "0",
	  .help = "Interval at which each worker connects to each backend, and under to-tls completes a handshake, to find out "
		  "whether it is down; 0 means never. One that is down is tried only if no other is left." },
	{ .name = "send-proxy", .type = OPT_ENUM, .offset = WORD(send_proxy), .arg = "off|v1|v2", .deflt = "off",
	  .choices = versions,
	  .help = "Version of the PROXY protocol header that tells the backend where the client is." },
	{ .name = "to-tls", .type = OPT_BOOL, .offset = WORD(to_tls), .arg = "yes|no", .deflt = "no",
	  .help = "TLS towards the backends." },
	{ .name = "verify", .type = OPT_ENUM, .offset = WORD(verify), .arg = "yes|no", .deflt = "yes", .choices = no_yes,
	  .help = "Whether the backends' certificates are checked." },
	{ .name = "ca", .type = OPT_STRING, .offset = WORD(ca), .arg = "FILE",
	  .help = "Certificates (PEM) that the backends' certificates must be signed by, instead of the system's." },
	{ .name = "client-cert", .type = OPT_STRING, .offset = WORD(client_cert), .arg = "FILE",
	  .help = "Certificate chain (PEM) for backends that ask for one." },
	{ .name = "client-key", .type = OPT_STRING, .offset = WORD(client_key), .arg = "FILE",
	  .help = "Its private key (PEM); by default read from the certificate's file." },
	{ .name = "to-alpn", .type = OPT_LIST, .offset = WORD(to_alpn), .arg = "NAME",
	  .help = "Protocol offered to the backends (ALPN), the preferred first; repeatable." },
	{ .name = "server-name", .type = OPT_STRING, .offset = WORD(server_name), .arg = "NAME",
	  .help = "Name that the backends' certificates must be for, and that is sent as SNI; by default that of the "
		  "first backend." },
	{ 0 }
};
// clang-format on
