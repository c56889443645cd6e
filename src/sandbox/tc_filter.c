/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdbool.h>

#include "sandbox/tc_filter.h"

/* The first to see a packet; one filter of ours per direction, so its handle is fixed. */
#define FILTER_PRIORITY 1U
#define FILTER_HANDLE 1U

static struct nl_msg *
tc_message(int type, int flags, int ifindex, uint32_t parent, uint32_t handle) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
        struct tcmsg t = {
                .tcm_family = AF_UNSPEC,
                .tcm_ifindex = ifindex,
                .tcm_parent = parent,
                .tcm_handle = handle,
        };

        if (parent != TC_H_CLSACT)
                t.tcm_info = TC_H_MAKE(FILTER_PRIORITY << 16, htons(ETH_P_ALL));
        if (!msg || nlmsg_append(msg, &t, sizeof(t), NLMSG_ALIGNTO) < 0)
                return NULL;

        return TAKE_PTR(msg);
}

static int add_clsact(NetRtnl *rtnl, int ifindex) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = NULL;
        int r;

        msg = tc_message(
                RTM_NEWQDISC,
                NLM_F_CREATE | NLM_F_EXCL,
                ifindex,
                TC_H_CLSACT,
                TC_H_MAKE(TC_H_CLSACT, 0));
        if (!msg || nla_put_string(msg, TCA_KIND, "clsact") < 0)
                return -ENOMEM;

        r = net_rtnl_request(rtnl, msg);
        return r == -EEXIST ? 0 : r;
}

static int
put_program(NetRtnl *rtnl, int ifindex, uint32_t minor, int program_fd, const char *name) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = NULL;
        struct nlattr *options;

        /* An existing filter of this handle is replaced in one step. */
        msg = tc_message(
                RTM_NEWTFILTER,
                NLM_F_CREATE | NLM_F_REPLACE,
                ifindex,
                TC_H_MAKE(TC_H_CLSACT, minor),
                FILTER_HANDLE);
        if (!msg || nla_put_string(msg, TCA_KIND, "bpf") < 0)
                return -ENOMEM;

        options = nla_nest_start(msg, TCA_OPTIONS);
        if (!options || nla_put_u32(msg, TCA_BPF_FD, (uint32_t)program_fd) < 0 ||
            nla_put_string(msg, TCA_BPF_NAME, name) < 0 ||
            nla_put_u32(msg, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT) < 0)
                return -ENOMEM;
        nla_nest_end(msg, options);

        return net_rtnl_request(rtnl, msg);
}

int tc_filter_attach(NetRtnl *rtnl, int ifindex, const TcProgram *program) {
        int r;

        assert(rtnl);
        assert(ifindex > 0);
        assert(program);

        r = add_clsact(rtnl, ifindex);
        if (r < 0)
                return r;

        r = put_program(rtnl, ifindex, TC_H_MIN_INGRESS, program->ingress_fd, "dynod_from");
        if (r < 0)
                return r;

        return put_program(rtnl, ifindex, TC_H_MIN_EGRESS, program->egress_fd, "dynod_to");
}

int tc_filter_attach_inside(NetRtnl *rtnl, int ifindex, const TcProgram *program) {
        int r;

        assert(rtnl);
        assert(ifindex > 0);
        assert(program);

        r = add_clsact(rtnl, ifindex);
        return r < 0 ? r
                     : put_program(
                               rtnl, ifindex, TC_H_MIN_INGRESS, program->inside_fd, "dynod_inside");
}

/* Looks for the program @id in the list of filters of one direction. */
typedef struct FilterSearch {
        uint32_t id;
        bool found;
} FilterSearch;

static int match_filter(struct nlmsghdr *answer, void *userdata) {
        FilterSearch *search = userdata;
        struct nlattr *attrs[TCA_MAX + 1] = {0}, *options[TCA_BPF_MAX + 1] = {0};

        if (answer->nlmsg_type != RTM_NEWTFILTER ||
            nlmsg_parse(answer, sizeof(struct tcmsg), attrs, TCA_MAX, NULL) < 0)
                return 0;
        if (!attrs[TCA_KIND] || !attrs[TCA_OPTIONS] || nla_strcmp(attrs[TCA_KIND], "bpf") != 0 ||
            nla_parse_nested(options, TCA_BPF_MAX, attrs[TCA_OPTIONS], NULL) < 0)
                return 0;

        /* Without direct action its answer would be taken for a class, and pass everything. */
        if (options[TCA_BPF_ID] && nla_get_u32(options[TCA_BPF_ID]) == search->id &&
            options[TCA_BPF_FLAGS] &&
            (nla_get_u32(options[TCA_BPF_FLAGS]) & TCA_BPF_FLAG_ACT_DIRECT))
                search->found = true;
        return 0;
}

static int find_program(NetRtnl *rtnl, int ifindex, uint32_t minor, uint32_t id) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = NULL;
        FilterSearch search = {.id = id};
        int r;

        msg = tc_message(RTM_GETTFILTER, NLM_F_DUMP, ifindex, TC_H_MAKE(TC_H_CLSACT, minor), 0);
        r = net_rtnl_query(rtnl, msg, match_filter, &search);
        if (r == -EINVAL)
                return -ENOENT; /* no clsact */
        if (r < 0)
                return r;

        return search.found ? 0 : -ENOENT;
}

int tc_filter_check(NetRtnl *rtnl, int ifindex, const TcProgram *program) {
        int r;

        assert(rtnl);
        assert(program);

        r = find_program(rtnl, ifindex, TC_H_MIN_INGRESS, program->ingress_id);
        if (r < 0)
                return r;

        return find_program(rtnl, ifindex, TC_H_MIN_EGRESS, program->egress_id);
}

int tc_filter_check_inside(NetRtnl *rtnl, int ifindex, const TcProgram *program) {
        assert(rtnl);
        assert(program);

        return find_program(rtnl, ifindex, TC_H_MIN_INGRESS, program->inside_id);
}
