/* SPDX-License-Identifier: Apache-2.0 */

/*
 * dynod-firewall: loads the ruleset on its standard input in one transaction and ends.
 *
 * A process of its own, so that libnftables is in none that lasts. dynod runs it before
 * the first dyno starts and waits for it. The text is dynod's own template with numbers
 * and names that dynod checked; nothing of a tenant is in it.
 */

#include <errno.h>
#include <linux/capability.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "confine/confine.h"

#define RULES_SIZE ((size_t)4 * 1024 * 1024) /* bytes: 16384 dynos need about 1 MB */

/* Nothing but the right to change the packet filter. */
static int drop_privileges(void) {
        int r = confine_no_new_privs();

        return r < 0 ? r : confine_keep_capabilities(UINT64_C(1) << CAP_NET_ADMIN);
}

static int read_rules(char **ret) {
        _cleanup_free_ char *rules = malloc(RULES_SIZE);
        size_t used = 0;

        if (!rules)
                return -ENOMEM;
        for (;;) {
                ssize_t n = read(STDIN_FILENO, rules + used, RULES_SIZE - 1 - used);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                used += (size_t)n;
                if (used == RULES_SIZE - 1)
                        return -E2BIG;
        }

        rules[used] = '\0';
        *ret = TAKE_PTR(rules);
        return 0;
}

int main(void) {
        _cleanup_free_ char *rules = NULL;
        struct nft_ctx *nft;
        int r;

        log_open("dynod-firewall", false);

        r = drop_privileges();
        if (r < 0) {
                log_error_errno(r, "cannot drop privileges: %m");
                return EXIT_FAILURE;
        }
        r = read_rules(&rules);
        if (r < 0) {
                log_error_errno(r, "cannot read the ruleset: %m");
                return EXIT_FAILURE;
        }

        nft = nft_ctx_new(NFT_CTX_DEFAULT);
        if (!nft) {
                log_error("cannot start libnftables");
                return EXIT_FAILURE;
        }
        /* Errors go to stderr, with the line of the ruleset. */
        r = nft_run_cmd_from_buffer(nft, rules);
        nft_ctx_free(nft);

        return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
