/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/net_internal.h"
#include "sandbox/net_policy.h"

static LaunchPolicy *find(const Net *net, uint32_t app_number) {
        for (size_t i = 0; i < net->n_policies; i++)
                if (net->policies[i].app_number == app_number)
                        return &net->policies[i];
        return NULL;
}

const LaunchPolicy *net_policy_find(const Net *net, uint32_t app_number) {
        assert(net);
        return find(net, app_number);
}

bool net_policy_equal(const LaunchPolicy *a, const LaunchPolicy *b) {
        LaunchPolicy left = *a;

        left.header = b->header;
        return memcmp(&left, b, sizeof(left)) == 0;
}

static int reserve(Net *net) {
        LaunchPolicy *policies =
                reallocarray(net->policies, net->n_policies + 1, sizeof(*policies));

        if (!policies)
                return -ENOMEM;
        net->policies = policies;
        return 0;
}

/* There is room for one more. */
static void keep(Net *net, const LaunchPolicy *policy) {
        LaunchPolicy *known = find(net, policy->app_number);

        if (!known && policy->serial != 0)
                known = &net->policies[net->n_policies++];
        if (known && policy->serial != 0)
                *known = *policy;
        else if (known)
                *known = net->policies[--net->n_policies];
}

int net_policy_restore(Net *net, const LaunchPolicy *policy) {
        int r;

        assert(net);
        assert(policy && policy->serial != 0);

        r = reserve(net);
        if (r < 0)
                return r;
        keep(net, policy);
        return 0;
}

int net_policy_check(Net *net, const LaunchPolicy *policy) {
        bool local = true;
        int r;

        assert(net);
        assert(policy);

        if (policy->fixed_source == 0)
                return 0;
        r = net_host_is_local(net->host, (struct in_addr){.s_addr = policy->fixed_source}, &local);
        if (r < 0)
                return r;
        return local ? 0 : -EADDRNOTAVAIL;
}

int net_policy_set(Net *net, const LaunchPolicy *policy) {
        int r;

        assert(net);
        assert(policy);

        r = reserve(net);
        if (r < 0)
                return r;
        keep(net, policy);
        return 0;
}
