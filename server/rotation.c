/* SPDX-License-Identifier: MIT */
#include "rotation.h"

#include "log.h"
#include "tls/tls.h"
#include "upgrade.h"

#include <string.h>

int rotation_open(struct rotation *rotation)
{
	unsigned char data[TLS_TICKET_KEYS_LEN];
	char why[TLS_WHY_LEN];
	bool are_given = upgrade_secret(data, sizeof(data));
	int ret = are_given ? tls_ticket_keys_take(&rotation->keys, data, why)
			    : tls_ticket_keys_random(&rotation->keys, why);

	explicit_bzero(data, sizeof(data));
	if (ret) {
		log_error("%s", why);
		return ret;
	}
	/* However often there is an upgrade, no key encrypts for longer than its time. */
	if (are_given && tls_ticket_keys_rotate(rotation->keys))
		log_warning("cannot generate a ticket key; that of the process before stays in use");
	return 0;
}

static void on_rotation(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct rotation *rotation = timer->data;

	if (tls_ticket_keys_rotate(rotation->keys))
		log_warning("cannot generate a ticket key; the current one stays in use");
}

void rotation_start(struct rotation *rotation, struct ev_loop *loop)
{
	ev_timer_init(&rotation->timer, on_rotation, TLS_TICKET_LIFETIME_S, TLS_TICKET_LIFETIME_S);
	rotation->timer.data = rotation;
	ev_timer_start(loop, &rotation->timer);
}

void rotation_close(struct rotation *rotation)
{
	tls_ticket_keys_put(rotation->keys);
}
