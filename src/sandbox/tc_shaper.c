/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <string.h>

#include "sandbox/tc_shaper.h"

/* Bytes a second that no link has. */
#define NO_LIMIT UINT64_C(1000000000000)

/* Bytes that may go at once: what the kernel hands over in one piece (GSO), and a header. */
#define BURST_MIN (65536U + 256U)
/* Or what goes in 20 ms: timers of a busy host are late. */
#define BURSTS_PER_SECOND 50U
/* What waits longer than 0.1 s is dropped, so that senders slow down. */
#define QUEUES_PER_SECOND 10U

static struct nl_msg *qdisc_message(int type, int flags, int ifindex) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
        struct tcmsg t = {
                .tcm_family = AF_UNSPEC,
                .tcm_ifindex = ifindex,
                .tcm_parent = TC_H_ROOT,
        };

        if (!msg || nlmsg_append(msg, &t, sizeof(t), NLMSG_ALIGNTO) < 0)
                return NULL;
        return TAKE_PTR(msg);
}

static uint32_t at_most_u32(uint64_t value) {
        return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

/*
 * By hand: rtnl_qdisc_tbf_set_rate() of libnl-route 3.7 takes an int of bytes a second, less
 * than NO_LIMIT, and turns the burst into ticks, which come back as another number.
 */
static int put_bucket(struct nl_msg *msg, uint64_t rate) {
        uint64_t burst =
                rate / BURSTS_PER_SECOND > BURST_MIN ? rate / BURSTS_PER_SECOND : BURST_MIN;
        struct tc_tbf_qopt bucket = {
                .rate = {.linklayer = TC_LINKLAYER_ETHERNET, .rate = at_most_u32(rate)},
                .limit = at_most_u32(rate / QUEUES_PER_SECOND + burst),
        };
        struct nlattr *options;

        if (nla_put_string(msg, TCA_KIND, "tbf") < 0)
                return -ENOMEM;
        options = nla_nest_start(msg, TCA_OPTIONS);
        if (!options || nla_put(msg, TCA_TBF_PARMS, sizeof(bucket), &bucket) < 0 ||
            nla_put_u32(msg, TCA_TBF_BURST, at_most_u32(burst)) < 0)
                return -ENOMEM;
        if (rate > UINT32_MAX && nla_put_u64(msg, TCA_TBF_RATE64, rate) < 0)
                return -ENOMEM;
        nla_nest_end(msg, options);
        return 0;
}

int tc_shaper_set(NetRtnl *rtnl, int ifindex, uint64_t rate) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = NULL;

        assert(rtnl);
        assert(ifindex > 0);

        /* With these flags a bucket is changed, and anything else replaced. */
        msg = qdisc_message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, ifindex);
        if (!msg || put_bucket(msg, rate > 0 && rate < NO_LIMIT ? rate : NO_LIMIT) < 0)
                return -ENOMEM;
        return net_rtnl_request(rtnl, msg);
}

typedef struct ShaperSearch {
        int ifindex;
        uint64_t rate;
} ShaperSearch;

static int take_rate(struct nlmsghdr *answer, void *userdata) {
        struct nlattr *attrs[TCA_MAX + 1] = {0}, *options[TCA_TBF_MAX + 1] = {0};
        const struct tcmsg *t = nlmsg_data(answer);
        ShaperSearch *search = userdata;
        struct tc_tbf_qopt bucket;

        if (answer->nlmsg_type != RTM_NEWQDISC || t->tcm_ifindex != search->ifindex ||
            t->tcm_parent != TC_H_ROOT || nlmsg_parse(answer, sizeof(*t), attrs, TCA_MAX, NULL) < 0)
                return 0;
        if (!attrs[TCA_KIND] || !attrs[TCA_OPTIONS] || nla_strcmp(attrs[TCA_KIND], "tbf") != 0 ||
            nla_parse_nested(options, TCA_TBF_MAX, attrs[TCA_OPTIONS], NULL) < 0 ||
            !options[TCA_TBF_PARMS] || nla_len(options[TCA_TBF_PARMS]) < (int)sizeof(bucket))
                return 0;

        memcpy(&bucket, nla_data(options[TCA_TBF_PARMS]), sizeof(bucket));
        search->rate = bucket.rate.rate;
        if (options[TCA_TBF_RATE64])
                search->rate = nla_get_u64(options[TCA_TBF_RATE64]);
        return 0;
}

int tc_shaper_get(NetRtnl *rtnl, int ifindex, uint64_t *ret) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = NULL;
        ShaperSearch search = {.ifindex = ifindex};
        int r;

        assert(rtnl);
        assert(ret);

        /* A dump is of all links. What is told of one goes to listeners, and to us as an echo. */
        msg = qdisc_message(RTM_GETQDISC, NLM_F_ECHO, ifindex);
        r = net_rtnl_query(rtnl, msg, take_rate, &search);
        if (r < 0)
                return r;
        if (search.rate == 0)
                return -ENOENT; /* only what the kernel puts on every link */
        *ret = search.rate < NO_LIMIT ? search.rate : 0;
        return 0;
}
